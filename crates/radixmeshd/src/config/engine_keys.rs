//! The keys of a `[[source]]` table: one engine behind this node. They stand beside [`KEYS`](super::KEYS), for there may be
//! many such tables; how they fit together is in [`engine`](super::engine).

use super::keys::{Default, Key};
use super::kind::Kind;

/// What the names of these keys begin with.
pub const SOURCE_PREFIX: &str = "source.";

/// Every key of a `[[source]]` table, in the order of `config default`.
///
/// A default is what the key is in a table that does not set it.
pub const SOURCE_KEYS: &[Key] = &[
    Key {
        name: "source.name",
        kind: Kind::Text { chars_max: 64 },
        default: Default::Required("vllm-0"),
        doc: "What you call the engine, in `radixmeshd status`, in metrics and in logs. Unique on a node.",
    },
    Key {
        name: "source.kind",
        kind: Kind::Engine,
        default: Default::Required("vllm"),
        doc: "What the engine is. `approximate` is any engine that says nothing of its cache: prompts that were routed\n\
              to it are taken for cached, which is a guess and shown as one.",
    },
    Key {
        name: "source.endpoint",
        kind: Kind::ZmqEndpoint,
        default: Default::Unset("tcp://127.0.0.1:5557"),
        doc: "ZeroMQ socket on which the engine publishes its KV events (PUB). Either this or `url`. With several\n\
              `ranks` it is that of the first; the others are at the ports behind.",
    },
    Key {
        name: "source.bind",
        kind: Kind::Flag,
        default: Default::Toml("false"),
        doc: "This node listens at `endpoint` and the engine connects. vLLM connects when its own endpoint has neither\n\
              `*` nor `::`; SGLang when told `\"bind\": false`; TensorRT-LLM never.",
    },
    Key {
        name: "source.replay",
        kind: Kind::ZmqEndpoint,
        default: Default::Unset("tcp://127.0.0.1:5657"),
        doc: "ZeroMQ socket at which lost batches are asked for again (ROUTER; vLLM's `replay_endpoint`). Without it\n\
              every lost batch and every reconnect leaves the source degraded: set it. Ports as `endpoint`.",
    },
    Key {
        name: "source.topic",
        kind: Kind::Text { chars_max: 1_024 },
        default: Default::Unset("kv@"),
        doc: "Only messages whose topic begins so are taken. Unset: all.",
    },
    Key {
        name: "source.url",
        kind: Kind::Url,
        default: Default::Unset("http://127.0.0.1:8100"),
        doc: "HTTP address of the engine. vLLM and SGLang are asked there for their endpoints; TensorRT-LLM is drained\n\
              there of its events, which nobody else may do then. Either this or `endpoint`.",
    },
    Key {
        name: "source.id",
        kind: Kind::Count {
            min: 0,
            max: 65_535,
        },
        default: Default::Unset("0"),
        doc: "Number under which the first rank publishes; the other ranks follow. By default behind those of the tables\n\
              before it, 0 for the first. Peers know copies by it: keep it, and add tables at the end.",
    },
    Key {
        name: "source.ranks",
        kind: Kind::Count { min: 1, max: 256 },
        default: Default::Toml("1"),
        doc: "Data-parallel ranks of the engine. Each is followed by itself, and is a source of its own.",
    },
    Key {
        name: "source.model",
        kind: Kind::Text { chars_max: 256 },
        default: Default::Unset("llama-3.1-70b"),
        doc: "Namespace of the engine's prompts that have neither adapter nor salt: what requests to `/match` and\n\
              `/route` give as `namespace`. Unset: the empty one. Engines of different models need different ones.",
    },
    Key {
        name: "source.down_after",
        kind: Kind::Time {
            min_ms: 100,
            max_ms: 24 * 3_600_000,
        },
        default: Default::Toml("\"5s\""),
        doc: "The engine's copies are withdrawn from the mesh when it cannot be reached for so long. Shorter sends fewer\n\
              requests to a dead cache, longer survives restarts of a network without a reset.",
    },
    Key {
        name: "source.blocks_max",
        kind: Kind::Count {
            min: 1,
            max: 1 << 24,
        },
        default: Default::Toml("16777216"),
        doc: "Blocks that are remembered of each rank. One costs 200 to 300 bytes of memory. Choose more than all tiers\n\
              of the engine hold; beyond it blocks are left out and the source is degraded.",
    },
    Key {
        name: "source.ttl",
        kind: Kind::Time {
            min_ms: 100,
            max_ms: 24 * 3_600_000,
        },
        default: Default::Toml("\"2m\""),
        doc: "Only `kind = \"approximate\"`: how long a prompt is taken for cached after it was last routed there.",
    },
    Key {
        name: "source.drain_every",
        kind: Kind::Time {
            min_ms: 1,
            max_ms: 60_000,
        },
        default: Default::Toml("\"100ms\""),
        doc: "Only `kind = \"tensorrt-llm\"` with `url`: the wait after an answer without events. Shorter learns of blocks\n\
              sooner, for a request each time.",
    },
];

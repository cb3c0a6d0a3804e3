//! The result: one JSON object, or a table for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;

use super::fault::{FalseHitRate, Kind, Membership, Memory};
use super::netns::Means;
use super::stats::{Distribution, Spread};
use super::target::Target;

/// Everything that a run found. The order of the fields is the order in JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Nodes of the cluster.
    pub(crate) nodes: u16,
    /// Requests that were served.
    pub(crate) requests: u64,
    /// Tokens of their prompts; of the inserts in a burst.
    pub(crate) tokens: u64,
    /// Copies that were born. Unit: pages.
    pub(crate) inserts: u64,
    /// Copies that died. Unit: pages.
    pub(crate) removes: u64,
    /// All nodes had equal logs and digests in the end.
    pub(crate) converged: bool,
    /// From the last publish until then; with faults, from the end of the last one until the nodes had healed.
    pub(crate) converge_ms: f64,
    /// From the ready line of a killed node until it had caught up; absent when none was killed.
    pub(crate) recover_ms: Option<Recover>,
    /// By tokens of a publish: until the last node had it.
    pub(crate) propagation_us: BTreeMap<u32, Spread>,
    /// Bytes of frames that carry ops, for each new token and other node.
    pub(crate) wire_bytes_per_token: f64,
    /// Ops of all logs, over the time from the first publish until all nodes agreed.
    pub(crate) ops_per_second: f64,
    /// Longest time that a publish waited for a peer, a queue or a lock.
    pub(crate) publishes_blocked_ms_max: f64,
    /// Requests whose engine had less than the router said: the answer was true, and older than the eviction.
    pub(crate) false_hits: u64,
    /// Lookups that were held against the logs: all of them.
    pub(crate) lookups_checked: u64,
    /// Share of prompt pages that prefill engines had; absent in a burst.
    pub(crate) hit_rate: Option<HitRate>,
    /// Largest resident set of a node.
    pub(crate) memory_bytes_max: u64,
    /// By rank: one number for all logs as that node has them.
    pub(crate) digests: BTreeMap<u16, String>,

    /// Answers of routers.
    pub(crate) lookups: u64,
    /// Lookups that disagree with the logs.
    pub(crate) lookups_wrong: u64,
    /// Lookups of which one log could not be compared: a killed node had sent ops that its record does not hold.
    pub(crate) lookups_beyond_record: u64,
    /// Requests that were not served.
    pub(crate) requests_lost: u64,
    /// Requests over the time of the traffic.
    pub(crate) requests_per_second: f64,
    /// Steps that another node did because the chosen one was gone.
    pub(crate) fallbacks: u64,
    /// Steps that were tried again.
    pub(crate) retries: u64,
    /// Time of `POST /route` over HTTP, parsing the prompt included.
    pub(crate) route_us: Option<Spread>,
    /// Ops of all logs.
    pub(crate) ops: u64,
    /// Processor time of a node for each op of a burst, parsing its share of the publishes included.
    pub(crate) cpu_ns_per_op: Option<f64>,
    /// The same of a router, which only applies and relays.
    pub(crate) cpu_ns_per_op_router: Option<f64>,
    /// Bytes of frames that carry ops.
    pub(crate) data_bytes: u64,
    /// Bytes of frames that carry snapshots.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of all other frames.
    pub(crate) control_bytes: u64,
    /// Frames that a full lane refused.
    pub(crate) sends_dropped: u64,
    /// What went wrong on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<FaultReport>,
    /// From the end of each fault until the nodes had healed, where no other fault hid it; absent without faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heal_ms: Option<Distribution>,
    /// Who came and went at run time; absent where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) membership: Option<Membership>,
    /// Faults after which the nodes did not heal.
    pub(crate) faults_unhealed: usize,
    /// How often a request was routed to copies that were not there; absent in a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) false_hit_rate: Option<FalseHitRate>,
    /// Longest answer of an engine whose node was neither stopped nor dead, over HTTP; absent in a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blocked_ms_max: Option<f64>,
    /// Resident memory of each node at three moments; absent without faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_mb: Option<Memory>,
    /// What the system's network offered; absent without `--netns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) netns: Option<Means>,
    /// All links were TLS sessions in which both ends proved who they are.
    pub(crate) tls: bool,
    /// What the run is held against, and whether each target was met.
    pub(crate) targets: Vec<Target>,
    /// Seed of what was drawn by chance.
    pub(crate) seed: u64,
    /// What makes this run a failure. Empty: it is none.
    pub(crate) failures: Vec<String>,
    /// The command that repeats it.
    pub(crate) command: String,
    /// Where it ran.
    pub(crate) machine: String,
}

/// Recoveries of killed nodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Recover {
    /// The median.
    pub(crate) p50: f64,
    /// The longest.
    pub(crate) max: f64,
}

/// One fault. Unit of times: seconds from the beginning of the traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FaultReport {
    /// What kind.
    pub(crate) kind: Kind,
    /// To whom it happened.
    pub(crate) target: Vec<u16>,
    /// When it really began.
    pub(crate) start_s: f64,
    /// When it really ended: killed processes listened again.
    pub(crate) end_s: f64,
    /// From then until all nodes that suffered nothing else saw each other as up and ready and had everything that any of
    /// them had had; absent where another fault hid it.
    pub(crate) heal_ms: Option<f64>,
    /// What was particular about it.
    pub(crate) how: String,
}

impl Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultReport {
            kind,
            target,
            start_s,
            end_s,
            heal_ms,
            how,
        } = self;
        write!(f, "{kind} of {target:?}, {start_s:.1} s to {end_s:.1} s")?;
        match heal_ms {
            Some(heal) => write!(f, ", healed in {heal:.0} ms")?,
            None => write!(f, ", another fault hid its healing")?,
        }
        if how.is_empty() {
            return Ok(());
        }
        write!(f, " ({how})")
    }
}

/// Hit rates: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct HitRate {
    /// This cluster.
    pub(crate) mesh: f64,
    /// The same engines, each request to any of them.
    pub(crate) random: f64,
    /// The same engines in turn.
    pub(crate) round_robin: f64,
    /// One engine with the capacity of all.
    pub(crate) ideal: f64,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "{name:<26} {value}");
        line("nodes", &self.nodes)?;
        line(
            "requests",
            &format_args!("{} served, {} lost", self.requests, self.requests_lost),
        )?;
        line("tokens", &self.tokens)?;
        line(
            "pages",
            &format_args!("{} inserted, {} removed", self.inserts, self.removes),
        )?;
        let yes = if self.converged { "yes" } else { "NO" };
        let since = if self.faults.is_empty() {
            "publish"
        } else {
            "fault"
        };
        line(
            "converged",
            &format_args!("{yes}, {:.1} ms after the last {since}", self.converge_ms),
        )?;
        for fault in &self.faults {
            line("fault", fault)?;
        }
        if let Some(heal) = self.heal_ms {
            let Distribution {
                count,
                p50,
                p99,
                max,
            } = heal;
            line(
                "healed",
                &format_args!("{count} times: p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms"),
            )?;
        }
        if let Some(came) = &self.membership {
            let Membership {
                joined,
                replaced,
                left,
                forgotten,
                join_ms,
            } = came;
            let Distribution { p50, max, .. } = join_ms.unwrap_or_default();
            let text = format!(
                "{joined} joined, {replaced} replaced (ready after p50 {p50:.0} ms, max {max:.0} ms), {left} left, \
                 {forgotten} forgotten"
            );
            line("members", &text)?;
        }
        if let Some(rate) = &self.false_hit_rate {
            let percent = |rate: Option<f64>| match rate {
                Some(rate) => format!("{:.2} %", rate * 100.0),
                None => "none asked".to_owned(),
            };
            let rates = [rate.before, rate.during, rate.cut_off, rate.after].map(percent);
            let [before, during, cut_off, after] = rates;
            let text = format!(
                "{before} before faults, {during} in the 5 s of a crash, {cut_off} cut off, {after} later"
            );
            line("false hits", &text)?;
        }
        if let Some(blocked) = self.blocked_ms_max {
            line(
                "longest answer",
                &format_args!("{blocked:.0} ms of an engine that ran"),
            )?;
        }
        if let Some(memory) = &self.memory_mb {
            let Memory {
                max,
                growth,
                growing,
                ..
            } = memory;
            let flat = if *growing == 0 { "flat" } else { "NOT FLAT" };
            line(
                "memory of a node",
                &format_args!("{flat}: {growth:.1} MB of growth, {max:.1} MB at most"),
            )?;
        }
        if self.tls {
            line("links", &"TLS, with a certificate for each node")?;
        }
        if let Some(means) = &self.netns {
            line("network", means)?;
        }
        if let Some(Recover { p50, max }) = self.recover_ms {
            line(
                "recovery",
                &format_args!("p50 {p50:.0} ms, max {max:.0} ms"),
            )?;
        }
        for (tokens, Spread { p50, p99 }) in &self.propagation_us {
            let name = format!("propagation, {tokens} tokens");
            line(&name, &format_args!("p50 {p50:.0} us, p99 {p99:.0} us"))?;
        }
        line(
            "wire bytes per token",
            &format_args!("{:.3} for each other node", self.wire_bytes_per_token),
        )?;
        let (data, snapshots, control) = (self.data_bytes, self.snapshot_bytes, self.control_bytes);
        line(
            "wire bytes",
            &format_args!("{data} of ops, {snapshots} of snapshots, {control} else"),
        )?;
        line(
            "ops",
            &format_args!("{}, {:.0} a second", self.ops, self.ops_per_second),
        )?;
        if let (Some(node), Some(router)) = (self.cpu_ns_per_op, self.cpu_ns_per_op_router) {
            line(
                "processor time per op",
                &format_args!("{node:.0} ns a node, {router:.0} ns a router"),
            )?;
        }
        line(
            "publishes blocked",
            &format_args!("{:.3} ms at most", self.publishes_blocked_ms_max),
        )?;
        if let Some(HitRate {
            mesh,
            random,
            round_robin,
            ideal,
        }) = self.hit_rate
        {
            let [mesh, random, turn, ideal] =
                [mesh, random, round_robin, ideal].map(|rate| rate * 100.0);
            let rates = format!(
                "{mesh:.2} % (random {random:.2} %, round robin {turn:.2} %, ideal {ideal:.2} %)"
            );
            line("hit rate", &rates)?;
            let checked = format!("{} of {} checked", self.lookups_checked, self.lookups);
            let (wrong, beyond) = (self.lookups_wrong, self.lookups_beyond_record);
            line(
                "lookups",
                &format_args!("{checked}, {wrong} wrong, {beyond} partly beyond the record"),
            )?;
            line("engines had less", &self.false_hits)?;
            line(
                "requests a second",
                &format_args!("{:.1}", self.requests_per_second),
            )?;
            line(
                "went elsewhere",
                &format_args!("{} steps, {} tried again", self.fallbacks, self.retries),
            )?;
        }
        if let Some(Spread { p50, p99 }) = self.route_us {
            line(
                "route over http",
                &format_args!("p50 {p50:.0} us, p99 {p99:.0} us"),
            )?;
        }
        let mib = self.memory_bytes_max as f64 / f64::from(1 << 20);
        line("largest node", &format_args!("{mib:.0} MiB resident"))?;
        let mut digests: Vec<&String> = self.digests.values().collect();
        digests.dedup();
        line(
            "digest",
            &digests
                .iter()
                .map(|digest| digest.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        )?;
        line("seed", &self.seed)?;
        line("command", &self.command)?;
        line("machine", &self.machine)?;
        for target in &self.targets {
            line("target", target)?;
        }
        for failure in &self.failures {
            line("FAILED", failure)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_agreed_keys_first_and_in_order() {
        let text = serde_json::to_string(&Report::default()).unwrap();
        let keys = [
            "nodes",
            "requests",
            "tokens",
            "inserts",
            "removes",
            "converged",
            "converge_ms",
            "recover_ms",
            "propagation_us",
            "wire_bytes_per_token",
            "ops_per_second",
            "publishes_blocked_ms_max",
            "false_hits",
            "lookups_checked",
            "hit_rate",
            "memory_bytes_max",
            "digests",
        ];
        let places: Vec<usize> = keys
            .iter()
            .map(|key| text.find(&format!("\"{key}\":")).expect(key))
            .collect();
        assert!(places.is_sorted(), "{text}");
    }
}

//! The command line of `cargo xtask test-cluster`. What the numbers mean is said here, where `--help` shows it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::fault::Kinds;

/// Most members of each role that one machine is asked to run.
const MEMBERS_MAX: i64 = 64;

/// Shortest run with faults: some of each part must fit.
const SECONDS_MIN: u64 = 20;

/// Pages of each prompt size whose propagation is measured when none are named. Unit: tokens.
const PROPAGATION_DEFAULT: [u32; 3] = [16, 1_024, 8_192];

/// Runs a real cluster on this machine, one process a node, drives it and checks every answer.
///
/// The exit status is 1 when the nodes differ at the end, a lookup disagrees with the published logs, or a
/// request was lost. Progress goes to stderr, the result to stdout.
///
/// How it is measured:
///
/// * every lookup: the holders and depths that a router answered are compared with the logs that the nodes
///   recorded, folded by a naive model up to the version vector that the answer names;
/// * propagation: from the publisher's monotonic clock when the publish was in its log to the clock of the last
///   node when it was in its tree, after the traffic, read from the nodes' own traces;
/// * recover: from the ready line of a restarted node until it says that it is ready and its version vector has
///   reached all that the others had when that line came; traffic goes on meanwhile;
/// * converge: from the last publish until all nodes report equal logs, positions and digests;
/// * with `--fault`: converge is from the end of the last fault until every node sees every other as up and ready and
///   has all that any of them had when that fault ended, while traffic goes on; all are compared in the end, too;
///   blocked is the longest answer of an engine whose node was neither stopped nor killed;
/// * wire bytes per token: bytes of frames that carry ops, over (new tokens published x other nodes).
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Prefill nodes. Default: 3.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MEMBERS_MAX))]
    pub(crate) prefill: Option<u16>,
    /// Decode nodes. Default: 2.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MEMBERS_MAX))]
    pub(crate) decode: Option<u16>,
    /// Routers; requests go to them in turn. Default: 1.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MEMBERS_MAX))]
    pub(crate) router: Option<u16>,
    /// Request trace in the JSON lines of Mooncake.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["synthetic", "burst"])]
    pub(crate) trace: Option<PathBuf>,
    /// This many requests of generated chats; at `--speed 1`, ten a second. The default source, with 500 requests.
    #[arg(long, value_name = "REQUESTS", conflicts_with = "burst")]
    pub(crate) synthetic: Option<usize>,
    /// Only the first N requests of the trace.
    #[arg(long, value_name = "N", requires = "trace")]
    pub(crate) requests: Option<usize>,
    /// Multiple of the trace's own pace, or `max`: as fast as the requests in flight allow.
    /// Default: `max`; 4 with `--fault`.
    #[arg(long, value_name = "X|max")]
    pub(crate) speed: Option<Speed>,
    /// Tokens in a page. Default: 16; 1 with `--join-pages`, where prompts are long enough as they are.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) page_size: Option<u16>,
    /// Pages that each simulated engine can hold. Default: 84000; 1500 with `--fault`, so that copies are evicted.
    #[arg(long, value_name = "N")]
    pub(crate) pages_per_node: Option<usize>,
    /// Fan-out of the broadcast; 1 is the ring.
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) fanout: u16,
    /// Requests in flight at one time. A request that continues one in flight waits for it at any number.
    /// Default: 4; 32 with `--fault`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) in_flight: Option<u16>,
    /// Seed of everything that is drawn by chance: chats, random routing, burst tokens.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kill this many nodes with SIGKILL, one after the other from rank 0, and restart each 2 s later. The traffic
    /// is slowed down while one is gone, so that every kill happens in the middle of it.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "burst")]
    pub(crate) kill: u16,
    /// Let these faults happen, one at a time or two at once, in an order drawn from the seed: `kill` (SIGKILL, then a
    /// restart), `pause` (SIGSTOP, SIGCONT), `partition`, `one-way`, `slow`, `flap`, `churn` (in quick succession members
    /// are killed and restarted, replaced, join, leave and are forgotten), or `mixed`: all. Every link between two nodes then goes through a proxy.
    #[arg(long, value_name = "FAULT,..", requires = "seconds", conflicts_with_all = ["burst", "kill"])]
    pub(crate) fault: Option<Kinds>,
    /// Run each node in a network namespace of its own, linked by a bridge, instead of on loopback. Faults then happen in
    /// the system's network: packets are lost. Needs root and `ip`; with `nft` or `iptables` links work in one direction,
    /// with `tc` they are slow. What is missing is named, and faults that need it are left out.
    #[arg(long)]
    pub(crate) netns: bool,
    /// Give each node a certificate, made by `radixmeshd cert`: all links are TLS 1.3, and both ends prove who they are.
    #[arg(long, conflicts_with = "hostile")]
    pub(crate) tls: bool,
    /// A target that is missed makes the run a failure, too: exit status 1.
    #[arg(long)]
    pub(crate) strict: bool,
    /// How long the traffic runs, with `--fault`. The first part and the last are without faults.
    #[arg(long, value_name = "N", requires = "fault", value_parser = clap::value_parser!(u64).range(SECONDS_MIN..=86_400))]
    pub(crate) seconds: Option<u64>,
    /// Nodes in all, shared out evenly between the roles, the rest to prefill. With `--fault`, 6 is the default.
    #[arg(long, value_name = "N", conflicts_with_all = ["prefill", "decode", "router"],
        value_parser = clap::value_parser!(u16).range(3..=3 * MEMBERS_MAX))]
    pub(crate) nodes: Option<u16>,
    /// Publish sizes whose propagation is measured after the traffic, or `none`. Default: 16,1024,8192; none with
    /// `--burst` or `--fault`. Unit: tokens.
    #[arg(long, value_name = "TOKENS,..")]
    pub(crate) propagation: Option<Sizes>,
    /// No requests: each prefill and decode node publishes COUNT distinct inserts of TOKENS random tokens, as fast
    /// as it can.
    #[arg(long, value_name = "COUNTxTOKENS")]
    pub(crate) burst: Option<Burst>,
    /// No requests: a mesh that holds this many pages, and routers with new ranks that join it one after the other,
    /// while all engine nodes publish; then heartbeats over a limited link that snapshots fill. Says how long a join takes
    /// until the node is ready, what it costs on the wire, and what publishes and heartbeats feel of it.
    #[arg(long, value_name = "N", conflicts_with_all = ["trace", "synthetic", "burst", "kill", "fault", "netns", "propagation"])]
    pub(crate) join_pages: Option<u64>,
    /// How many join, with `--join-pages`.
    #[arg(long, value_name = "N", requires = "join_pages", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) joins: u16,
    /// What the limited link lets through, with `--join-pages`. Default: 1 Gbit/s. Unit: bytes a second.
    #[arg(long, value_name = "N", requires = "join_pages", default_value_t = 125_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    pub(crate) link_rate: u64,
    /// No requests: strangers and a member that went mad attack a mesh, and publishes go on meanwhile. Says of each
    /// attack under which name it was refused and counted, what memory it cost, and what publishes felt of it.
    #[arg(long, conflicts_with_all = ["trace", "synthetic", "burst", "kill", "fault", "netns", "propagation", "join_pages"])]
    pub(crate) hostile: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep configuration, logs, records and last states in this directory, which must be empty or absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Use this `radixmeshd` instead of building one.
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
}

impl Options {
    /// Returns how many tokens are in a page.
    pub(crate) fn page_size(&self) -> u16 {
        let default = if self.join_pages.is_some() { 1 } else { 16 };
        self.page_size.unwrap_or(default)
    }

    /// Returns how many prefill, decode and router nodes run.
    pub(crate) fn roles(&self) -> [u16; 3] {
        let evenly = self.fault.as_ref().map(|_| 6).filter(|_| {
            [self.prefill, self.decode, self.router]
                .iter()
                .all(Option::is_none)
        });
        if let Some(nodes) = self.nodes.or(evenly) {
            let third = nodes / 3;
            return [nodes - 2 * third, third, third];
        }
        [(self.prefill, 3), (self.decode, 2), (self.router, 1)]
            .map(|(count, default)| count.unwrap_or(default))
    }

    /// Returns how many prefill nodes run. They have the lowest ranks.
    pub(crate) fn prefill(&self) -> u16 {
        self.roles()[0]
    }

    /// Returns how many nodes run.
    pub(crate) fn nodes(&self) -> u16 {
        self.roles().iter().sum()
    }

    /// Returns how many nodes host an engine. They have the lowest ranks.
    pub(crate) fn engines(&self) -> u16 {
        let [prefill, decode, _] = self.roles();
        prefill + decode
    }

    /// Returns the ranks of the routers.
    pub(crate) fn routers(&self) -> std::ops::Range<u16> {
        self.engines()..self.nodes()
    }

    /// Returns how fast requests come.
    pub(crate) fn speed(&self) -> Speed {
        let default = match self.fault {
            Some(_) => Speed::Times(4.0),
            None => Speed::Max,
        };
        self.speed.unwrap_or(default)
    }

    /// Returns how many requests may be in flight at one time.
    pub(crate) fn in_flight(&self) -> u16 {
        let default = if self.fault.is_some() { 32 } else { 4 };
        self.in_flight.unwrap_or(default)
    }

    /// Returns how many pages an engine can hold.
    pub(crate) fn pages_per_node(&self) -> usize {
        let default = if self.fault.is_some() { 1_500 } else { 84_000 };
        self.pages_per_node.unwrap_or(default)
    }

    /// Returns how long one step of a request is waited for, when that is bounded here.
    pub(crate) fn step_max(&self) -> Option<Duration> {
        self.fault.as_ref().map(|_| Duration::from_secs(2))
    }

    /// Returns the publish sizes whose propagation is to be measured. Unit: tokens.
    pub(crate) fn propagation_sizes(&self) -> Vec<u32> {
        match (&self.propagation, &self.burst) {
            (Some(Sizes(sizes)), _) => sizes.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) if self.fault.is_some() => Vec::new(),
            (None, None) => PROPAGATION_DEFAULT.to_vec(),
        }
    }

    /// Checks what the parts cannot check alone.
    ///
    /// Errors: a sentence that names the values.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let (kill, nodes) = (self.kill, self.nodes());
        anyhow::ensure!(
            kill <= nodes,
            "--kill {kill} is more than the {nodes} nodes of the cluster"
        );
        let page = u32::from(self.page_size());
        let sizes = self
            .propagation_sizes()
            .into_iter()
            .chain(self.burst.map(|burst| burst.tokens));
        if let Some(tokens) = sizes.filter(|&tokens| tokens < page).min() {
            anyhow::bail!("a publish of {tokens} tokens holds no whole page of {page}");
        }
        Ok(())
    }
}

/// How fast a trace is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// As fast as the requests in flight allow.
    Max,
    /// Multiple of the trace's own pace.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let times = text
            .parse::<f64>()
            .ok()
            .filter(|times| times.is_finite() && *times > 0.0);
        times
            .map(Speed::Times)
            .ok_or_else(|| format!("{text:?} is neither `max` nor a number above 0"))
    }
}

/// A list of publish sizes. Unit: tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes(pub(crate) Vec<u32>);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Sizes(Vec::new()));
        }
        let size = |text: &str| {
            let size = text
                .trim()
                .parse::<u32>()
                .ok()
                .filter(|size| (1..=TOKENS_MAX).contains(size));
            size.ok_or_else(|| format!("{text:?} is not a number of tokens from 1 to {TOKENS_MAX}"))
        };
        text.split(',')
            .map(size)
            .collect::<Result<_, _>>()
            .map(Sizes)
    }
}

/// What each engine node publishes in a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Burst {
    /// Inserts of each node.
    pub(crate) count: u32,
    /// Length of each.
    pub(crate) tokens: u32,
}

impl FromStr for Burst {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (count, tokens) = text.split_once('x')?;
            let (count, tokens) = (count.parse::<u32>().ok()?, tokens.parse::<u32>().ok()?);
            (count > 0 && (1..=TOKENS_MAX).contains(&tokens)).then_some(Burst { count, tokens })
        };
        parse().ok_or_else(|| {
            format!(
                "{text:?} is not COUNTxTOKENS, such as 2000x16, with at most {TOKENS_MAX} tokens"
            )
        })
    }
}

/// Longest single publish of a measurement. Unit: tokens.
const TOKENS_MAX: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    impl Options {
        /// The options of a command line that is right.
        pub(crate) fn of(arguments: &str) -> Options {
            parse(arguments).unwrap()
        }
    }

    fn parse(arguments: &str) -> Result<Options, String> {
        let words = std::iter::once("test-cluster").chain(arguments.split_whitespace());
        let options = Cli::try_parse_from(words)
            .map_err(|error| error.to_string())?
            .options;
        options.check().map_err(|error| error.to_string())?;
        Ok(options)
    }

    #[test]
    fn the_defaults_are_three_prefill_two_decode_and_one_router() {
        let options = parse("").unwrap();
        assert_eq!(options.roles(), [3, 2, 1]);
        assert_eq!(
            (options.nodes(), options.engines(), options.routers()),
            (6, 5, 5..6)
        );
        assert_eq!(options.speed(), Speed::Max);
        assert_eq!(options.propagation_sizes(), PROPAGATION_DEFAULT);
    }

    #[test]
    fn values_with_a_form_of_their_own_are_parsed() {
        let options = parse("--burst 2000x16 --speed 2.5 --fanout 2").unwrap();
        assert_eq!(
            options.burst,
            Some(Burst {
                count: 2_000,
                tokens: 16
            })
        );
        assert_eq!(options.speed(), Speed::Times(2.5));
        assert_eq!(
            options.propagation_sizes(),
            [0; 0],
            "a burst measures no propagation unless asked"
        );
        assert_eq!(
            parse("--propagation 16,64").unwrap().propagation_sizes(),
            [16, 64]
        );
        assert_eq!(
            parse("--propagation none").unwrap().propagation_sizes(),
            [0; 0]
        );
    }

    #[test]
    fn with_faults_the_cluster_is_small_and_even_and_the_traffic_paced() {
        let options = parse("--fault mixed --seconds 60").unwrap();
        assert_eq!(options.roles(), [2, 2, 2]);
        assert_eq!(options.speed(), Speed::Times(4.0));
        assert_eq!((options.in_flight(), options.pages_per_node()), (32, 1_500));
        assert_eq!(options.propagation_sizes(), [0; 0]);
        assert_eq!(parse("--nodes 11").unwrap().roles(), [5, 3, 3]);
        let options = parse("--fault kill,slow --seconds 60 --router 1").unwrap();
        assert_eq!(options.roles(), [3, 2, 1]);
    }

    #[test]
    fn a_join_has_pages_of_one_token_unless_told_otherwise() {
        let options = parse("--join-pages 1000000").unwrap();
        assert_eq!((options.page_size(), options.joins), (1, 3));
        assert_eq!(options.link_rate, 125_000_000);
        assert_eq!(
            parse("--join-pages 9 --page-size 4").unwrap().page_size(),
            4
        );
        assert_eq!(parse("").unwrap().page_size(), 16);
        assert!(parse("--hostile --strict").unwrap().hostile);
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_value() {
        let check = |arguments: &str, expect: &str| {
            let error = parse(arguments).expect_err(arguments);
            assert!(error.contains(expect), "{arguments}: {error}");
        };
        check("--speed 0", "\"0\" is neither");
        check("--speed fast", "\"fast\" is neither");
        check("--burst 2000", "\"2000\" is not COUNTxTOKENS");
        check("--burst 0x16", "\"0x16\" is not COUNTxTOKENS");
        check("--burst 10x8", "8 tokens holds no whole page of 16");
        check("--propagation 16,x", "\"x\" is not a number of tokens");
        check("--propagation 8", "8 tokens holds no whole page");
        check("--kill 7", "--kill 7 is more than the 6 nodes");
        check("--prefill 0", "0 is not in 1..");
        check("--trace a --synthetic 5", "cannot be used with");
        check("--burst 1x16 --kill 1", "cannot be used with");
        check("--requests 5", "--trace");
        check("--fault kill", "--seconds");
        check("--fault kill,fire --seconds 60", "\"fire\" is none of");
        check("--fault kill --seconds 5", "5 is not in 20..");
        check("--nodes 6 --prefill 2", "cannot be used with");
        check("--nodes 2", "2 is not in 3..");
        check("--joins 2", "--join-pages");
        check("--join-pages 9 --kill 1", "cannot be used with");
        check("--hostile --join-pages 9", "cannot be used with");
        check("--join-pages 9 --link-rate 5", "5 is not in 100000..");
    }
}

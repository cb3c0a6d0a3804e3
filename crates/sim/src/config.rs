//! What one run is told. Everything else is drawn from the seed.

use std::fmt;

use crate::links::Hop;

/// One run of the simulator. Equal configurations give equal runs, event by event.
#[derive(Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes. Range 1 ..= [`NODES_MAX`](crate::limits::NODES_MAX); default 5.
    pub nodes: u16,
    /// Fan-out of the broadcast: 1 is the ring. `None` draws 1, 2 or 4 from the seed (the default).
    pub fanout: Option<u16>,
    /// What the engines say in all, over all nodes. Default 1,000.
    pub publishes: u32,
    /// How long faults and publishes go on. Unit: virtual milliseconds; default 10,000.
    pub fault_ms: u64,
    /// How long the nodes may then take to agree. Unit: virtual milliseconds; default 20,000: some seeds have windows of
    /// two ops and a slow node that alone has the rest.
    pub converge_ms_max: u64,
    /// Whether anything goes wrong at all. Default true.
    pub faults: bool,
    /// How long hops take, instead of what the seed draws. For measurements; default none.
    pub hop: Option<Hop>,
    /// Whether the checkers look. Default true; without them only the nodes' own time passes.
    pub checks: bool,
    /// How many of the last events are kept as text, for a failure to show. Default 0; it costs time and changes
    /// nothing else.
    pub trace: usize,
}

impl SimConfig {
    /// Returns the defaults for one seed.
    #[must_use]
    pub fn new(seed: u64) -> SimConfig {
        SimConfig {
            seed,
            nodes: 5,
            fanout: None,
            publishes: 1_000,
            fault_ms: 10_000,
            converge_ms_max: 20_000,
            faults: true,
            hop: None,
            checks: true,
            trace: 0,
        }
    }

    /// Returns the command that runs this again, with its last events.
    #[must_use]
    pub fn reproduce(&self) -> String {
        format!("cargo xtask sim {self} --trace")
    }
}

/// The options as the command line takes them.
impl fmt::Display for SimConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --nodes {}", self.seed, self.nodes)?;
        if let Some(fanout) = self.fanout {
            write!(f, " --fanout {fanout}")?;
        }
        write!(
            f,
            " --publishes {} --fault-ms {} --converge-ms-max {}",
            self.publishes, self.fault_ms, self.converge_ms_max
        )?;
        if !self.faults {
            write!(f, " --no-faults")?;
        }
        Ok(())
    }
}

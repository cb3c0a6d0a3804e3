//! The log of another rank, as far as this replica has it.

use radix_core::id::{OriginId, Seq};
use radix_core::time::Timestamp;

use crate::chain::Chain;
use crate::config::Config;
use crate::fetch::Fetch;
use crate::reorder::Reorder;
use crate::tail::Tail;

/// One life of another rank.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) origin: OriginId,
    /// The last op applied.
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
    pub(crate) tail: Tail,
    pub(crate) reorder: Reorder,
    pub(crate) fetch: Fetch,
    /// When it was last dropped for a digest mismatch.
    pub(crate) repaired: Option<Timestamp>,
}

impl Remote {
    pub(crate) fn new(origin: OriginId, config: &Config) -> Remote {
        Remote {
            origin,
            seq: Seq::ZERO,
            chain: Chain::start(origin),
            tail: Tail::new(config.tail_ops_max, config.tail_bytes_max),
            reorder: Reorder::new(config.reorder_ops_max, config.reorder_bytes_max),
            fetch: Fetch::default(),
            repaired: None,
        }
    }

    /// Goes back to the empty log; what waits behind a gap and what is known of peers stays.
    pub(crate) fn restart(&mut self) {
        self.seq = Seq::ZERO;
        self.chain = Chain::start(self.origin);
        self.tail.clear();
    }

    /// Goes on behind a snapshot.
    pub(crate) fn resume(&mut self, seq: Seq, chain: u64) {
        self.seq = seq;
        self.chain = Chain::resume(chain);
        self.tail.clear();
    }
}

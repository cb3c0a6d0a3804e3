//! When version vectors are compared, and with whom.

use radix_core::id::Rank;
use radix_core::time::Timestamp;

use crate::message::Message;
use crate::output::Output;
use crate::timers::Timer;
use crate::topology::Topology;

impl Topology {
    /// Compares version vectors with the successor, with one other member, drawn at random, and with one that is
    /// linked and takes no part.
    // spec: TOPO-12
    pub(crate) fn exchange(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.arm_exchange(now);
        self.exchange_apart(out);
        let mut up = self.ring.up();
        let Some(successor) = up.next() else { return };
        let others = up.count();
        self.exchange_with(successor, out);
        if others > 0 {
            let drawn = self.random.usize(..others);
            if let Some(with) = self.ring.up().nth(1 + drawn) {
                self.exchange_with(with, out);
            }
        }
    }

    /// Who is linked and takes no part was forgotten, perhaps, and did not hear of it: the floor that it has to know
    /// goes with the version vector.
    fn exchange_apart(&mut self, out: &mut Vec<Output>) {
        let takes_part = |rank: &Rank| {
            let record = self.table.get(*rank);
            record.is_some_and(|record| record.status.in_view())
        };
        let open = self.links.iter().filter(|(_, link)| link.is_open());
        let apart: Vec<Rank> = open
            .map(|(rank, _)| *rank)
            .filter(|rank| !takes_part(rank))
            .collect();
        if !apart.is_empty() {
            let with = apart[self.random.usize(..apart.len())];
            self.exchange_with(with, out);
        }
    }

    pub(crate) fn arm_exchange(&mut self, now: Timestamp) {
        let jitter = u64::try_from(self.config.jitter.as_nanos()).unwrap_or(u64::MAX / 2);
        let shift = self.random.u64(0..=jitter.saturating_mul(2));
        let earliest = now.after(self.config.exchange.saturating_sub(self.config.jitter));
        let at = Timestamp(earliest.0.saturating_add(shift));
        self.timers.set(Timer::Exchange, at);
    }

    /// Compares version vectors with a member, and tables by the way.
    pub(crate) fn exchange_with(&self, with: Rank, out: &mut Vec<Output>) {
        out.push(Output::Exchange { with });
        let table = self.table.hash();
        self.send(with, Message::Digest { table }, out);
    }
}

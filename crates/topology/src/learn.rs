//! What follows when a record changes: by what others say, by what this node finds, by its own start and end.

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::mutation::{self, Mutation};
use radix_core::time::Timestamp;

use crate::limits;
use crate::link::Link;
use crate::message::Message;
use crate::output::{Event, Output};
use crate::record::{Record, Role, Status};
use crate::table::Merged;
use crate::timers::Timer;
use crate::topology::Topology;

impl Topology {
    /// Merges what `from` says, and counts what it cannot have meant.
    pub(crate) fn learn_all(
        &mut self,
        now: Timestamp,
        from: Rank,
        records: &[Record],
        out: &mut Vec<Output>,
    ) {
        let source = Some(from).filter(|&from| from != self.config.me);
        for record in records.iter().filter(|record| record.is_sound()) {
            self.learn(now, source, record, out);
        }
        let count = records.iter().filter(|record| !record.is_sound()).count();
        if count > 0 {
            out.push(Output::Event(Event::BadRecords { from, count }));
        }
    }

    /// Merges one record; what is new is passed on to others, but not back to its source.
    // spec: TOPO-15, TOPO-18
    pub(crate) fn learn(
        &mut self,
        now: Timestamp,
        source: Option<Rank>,
        record: &Record,
        out: &mut Vec<Output>,
    ) {
        if record.rank == self.config.me {
            return self.hear_of_me(source, record, out);
        }
        match self.table.merge(record) {
            Merged::Old => {}
            Merged::Full => out.push(Output::Event(Event::TableFull { rank: record.rank })),
            Merged::Taken(before) => {
                self.news.add(record.clone(), source);
                self.changed(now, record, before.as_ref(), out);
            }
        }
    }

    /// Says more of a member's present life than is known: this node found it.
    pub(crate) fn claim(
        &mut self,
        now: Timestamp,
        rank: Rank,
        status: Status,
        out: &mut Vec<Output>,
    ) {
        if let Some(record) = self.table.get(rank) {
            let record = Record {
                status,
                ..record.clone()
            };
            self.learn(now, None, &record, out);
        }
    }

    /// Somebody says something of this node itself: it objects to what is not true of this life.
    // spec: TOPO-20
    fn hear_of_me(&mut self, source: Option<Rank>, record: &Record, out: &mut Vec<Output>) {
        let Some(own) = self.table.get(self.config.me) else {
            return;
        };
        if record.inc > own.inc {
            return out.push(Output::Outlived { inc: record.inc });
        }
        // Who says that this life has left forgets it; the logs then ask for a new one.
        let is_old = record.inc < own.inc || record.precedence(own).is_le();
        if is_old || record.status == Status::Left || mutation::is_on(Mutation::SuspicionNotRefuted)
        {
            return;
        }
        let own = Record {
            counter: record.counter.saturating_add(1),
            ..own.clone()
        };
        out.push(Output::Event(Event::Refuted {
            rank: own.rank,
            counter: own.counter,
        }));
        if record.status != Status::Alive {
            self.doubt(1, out);
        }
        self.table.put(own.clone());
        self.news.add(own.clone(), None);
        if let Some(source) = source {
            self.tell(source, vec![own], None, out);
        }
    }

    /// The record of another member is a greater one now.
    fn changed(
        &mut self,
        now: Timestamp,
        record: &Record,
        before: Option<&Record>,
        out: &mut Vec<Output>,
    ) {
        let rank = record.rank;
        if before.is_none() {
            self.add_link(now, rank);
        }
        self.peers_changed |= before.is_none_or(|before| before.address != record.address);
        self.timers.cancel(Timer::Suspicion(rank));
        self.timers.cancel(Timer::Forget(rank));
        match record.status {
            Status::Alive => self.lives(now, record, before, out),
            Status::Suspect => {
                self.stop_asking(rank);
                let at = now.after(self.suspicion_time());
                if !mutation::is_on(Mutation::SuspicionNeverEnds) {
                    self.timers.set(Timer::Suspicion(rank), at);
                }
                self.tell(rank, vec![record.clone()], None, out);
            }
            Status::Down => {
                self.stop_asking(rank);
                let at = now.after(self.config.forget_after);
                self.timers.set(Timer::Forget(rank), at);
                let inc = record.inc;
                out.push(Output::Event(Event::Died { rank, inc }));
                self.tell(rank, vec![record.clone()], None, out);
            }
            Status::Left => {
                let inc = record.inc;
                out.push(Output::Event(Event::Left { rank, inc }));
                if !mutation::is_on(Mutation::LeftNotFinal) {
                    return self.forget(rank, inc, out);
                }
            }
        }
        self.settle(rank, out);
    }

    /// A life begins, or goes on although others doubted it.
    fn lives(
        &mut self,
        now: Timestamp,
        record: &Record,
        before: Option<&Record>,
        out: &mut Vec<Output>,
    ) {
        let rank = record.rank;
        self.stop_asking(rank);
        let is_new = before.is_none_or(|before| before.inc < record.inc);
        if is_new {
            let inc = record.inc;
            out.push(Output::Event(Event::Joined { rank, inc }));
        } else if before.is_some_and(|before| before.status != Status::Alive) {
            let counter = record.counter;
            out.push(Output::Event(Event::Refuted { rank, counter }));
        }
        let Some(link) = self.links.get_mut(&rank).filter(|link| link.is_cut()) else {
            return;
        };
        // Its objection came here through others: they reach it. A new life may still have to be linked.
        link.others_reach = !is_new;
        let at = if is_new {
            self.patience()
        } else {
            self.config
                .heartbeat
                .saturating_mul(limits::RECOVERY_HEARTBEATS)
        };
        self.timers.set(Timer::Ask(rank), now.after(at));
    }

    /// The own log ends here now.
    // spec: TOPO-19
    pub(crate) fn moved(&mut self, inc: Incarnation, seq: Seq) {
        self.position = (inc, seq);
        let Some(own) = self.table.get(self.config.me) else {
            return;
        };
        if inc > own.inc {
            let own = Record {
                inc,
                counter: 0,
                status: Status::Alive,
                ..own.clone()
            };
            self.table.put(own.clone());
            self.news.add(own, None);
        }
    }

    /// Says goodbye to everybody linked.
    // spec: TOPO-21
    pub(crate) fn leave(&mut self, out: &mut Vec<Output>) {
        let me = self.config.me;
        let Some(own) = self.table.get(me) else {
            return;
        };
        let own = Record {
            counter: own.counter.saturating_add(1),
            status: Status::Left,
            ..own.clone()
        };
        self.table.put(own.clone());
        for &to in self.links.keys() {
            let records = vec![own.clone()];
            let all_of = None;
            self.send(to, Message::Members { records, all_of }, out);
        }
        self.timers.clear();
        self.left = true;
    }

    /// Enters a member of which no life is known (any more).
    pub(crate) fn put_never_seen(
        &mut self,
        now: Timestamp,
        rank: Rank,
        role: Role,
        address: String,
    ) {
        let mut record = Record::never_seen(rank, role, address);
        if rank == self.config.me {
            record.status = Status::Alive;
        } else {
            self.add_link(now, rank);
        }
        self.table.put(record);
    }

    /// A new member; the first one starts the clocks.
    fn add_link(&mut self, now: Timestamp, rank: Rank) {
        if self.links.is_empty() {
            self.timers
                .set(Timer::Heartbeat, now.after(self.config.heartbeat));
            self.arm_exchange(now);
        }
        self.links.entry(rank).or_insert_with(Link::new);
        self.ring.insert(rank);
    }
}

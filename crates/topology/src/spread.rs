//! How records reach everybody: news over the fingers at once, and whole tables where two hashes differ.

use std::collections::BTreeMap;

use radix_core::id::Rank;
use radix_core::time::Timestamp;

use crate::limits;
use crate::message::Message;
use crate::output::{Event, Output};
use crate::record::Record;
use crate::topology::Topology;

/// Records that changed here, with who said so.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    records: BTreeMap<Rank, (Record, Option<Rank>)>,
}

impl News {
    pub(crate) fn add(&mut self, record: Record, source: Option<Rank>) {
        self.records.insert(record.rank, (record, source));
    }

    fn is_about(&self, rank: Rank) -> bool {
        self.records.contains_key(&rank)
    }

    /// What `reader` did not say itself.
    fn for_reader(&self, reader: Rank) -> Vec<Record> {
        let news = self.records.values();
        news.filter(|&&(_, source)| source != Some(reader))
            .map(|(record, _)| record.clone())
            .collect()
    }
}

impl Topology {
    /// Passes on what changed in this call, once, to the delegates of a broadcast of our own.
    ///
    /// Whoever is linked but out of the arcs gets what this node says of itself all the same: it may have
    /// to learn that this node lives.
    // spec: TOPO-18
    pub(crate) fn spread_news(&mut self, out: &mut Vec<Output>) {
        if self.news.records.is_empty() {
            return;
        }
        let news = std::mem::take(&mut self.news);
        let me = self.config.me;
        let mut arcs = Vec::new();
        let arms = self.arms().max(limits::FINGER_FANOUT);
        self.ring.arcs(arms, me, &mut arcs);
        let mut readers: Vec<Rank> = arcs.iter().map(|arc| arc.to).collect();
        if news.is_about(me) {
            let doubters = self.links.iter().filter(|(_, link)| !link.shown.in_arcs());
            readers.extend(doubters.map(|(&rank, _)| rank));
        }
        for reader in readers {
            self.tell_many(reader, &news.for_reader(reader), out);
        }
    }

    /// Sends records over one link.
    pub(crate) fn tell(
        &self,
        to: Rank,
        records: Vec<Record>,
        all_of: Option<(Rank, Rank)>,
        out: &mut Vec<Output>,
    ) {
        self.send(to, Message::Members { records, all_of }, out);
    }

    fn tell_many(&self, to: Rank, records: &[Record], out: &mut Vec<Output>) {
        for chunk in records.chunks(limits::RECORDS_PER_MESSAGE_MAX) {
            self.tell(to, chunk.to_vec(), None, out);
        }
    }

    /// Says to a linked member what is known of it and of this node; it answers with what it knows better.
    // spec: TOPO-20, TOPO-22
    pub(crate) fn greet(&self, peer: Rank, out: &mut Vec<Output>) {
        let me = self.config.me;
        let known = self.table.seen(me, me).chain(self.table.seen(peer, peer));
        self.tell(peer, known.cloned().collect(), Some((peer, peer)), out);
    }

    /// A peer's table hashes to this: who has another one answers with its own, in pieces.
    // spec: TOPO-22
    pub(crate) fn compare(&self, from: Rank, table: u64, out: &mut Vec<Output>) {
        if table == self.table.hash() {
            return;
        }
        let all: Vec<Record> = self.records().cloned().collect();
        let mut pieces = all.chunks(limits::RECORDS_PER_MESSAGE_MAX).peekable();
        if pieces.peek().is_none() {
            let all_of = Some((Rank(0), Rank(u16::MAX)));
            return self.tell(from, Vec::new(), all_of, out);
        }
        let mut first = Rank(0);
        while let Some(piece) = pieces.next() {
            let last = match (pieces.peek(), piece.last()) {
                (Some(_), Some(record)) => record.rank,
                (None, _) | (_, None) => Rank(u16::MAX),
            };
            self.tell(from, piece.to_vec(), Some((first, last)), out);
            first = Rank(last.0.saturating_add(1));
        }
    }

    /// Records came; what is known better goes back when they were all of a range.
    // spec: TOPO-18, TOPO-22
    pub(crate) fn members_came(
        &mut self,
        now: Timestamp,
        from: Rank,
        records: &[Record],
        all_of: Option<(Rank, Rank)>,
        out: &mut Vec<Output>,
    ) {
        let count = records.len();
        let is_turned = all_of.is_some_and(|(first, last)| first > last);
        if count > limits::RECORDS_PER_MESSAGE_MAX || is_turned {
            return out.push(Output::Event(Event::BadRecords { from, count }));
        }
        self.learn_all(now, from, records, out);
        let Some((first, last)) = all_of else { return };
        let said: BTreeMap<Rank, &Record> =
            records.iter().map(|record| (record.rank, record)).collect();
        let beside = said.keys().filter(|&&rank| rank < first || rank > last);
        let beside = beside.flat_map(|&rank| self.table.seen(rank, rank));
        let better = self.table.seen(first, last).chain(beside).filter(|known| {
            said.get(&known.rank)
                .is_none_or(|said| known.precedence(said).is_gt())
        });
        let better: Vec<Record> = better.cloned().collect();
        self.tell_many(from, &better, out);
    }
}

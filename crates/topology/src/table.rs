//! All records that this node has, merged, with two hashes kept up to date: of everything, and of the view.

use std::collections::BTreeMap;
use std::fmt;

use radix_core::id::{Incarnation, Rank};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::record::{Record, Status};

/// Names a set of members that take part: equal exactly (but for a collision of 64 bits) where the same
/// lives of the same ranks in the same roles are alive or suspected.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ViewId(pub u64);

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Records and floors. It knows neither who "me" is nor what follows from a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<Rank, Record>,
    /// Lives up to these are forgotten for ever. At most one entry for each possible rank.
    floors: BTreeMap<Rank, Incarnation>,
    /// Sums of one hash per record, so that a change costs one record and not the table.
    hash: u64,
    view: u64,
    in_view: usize,
}

/// What became of a record that was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Nothing new: not greater than what is known, or forgotten.
    Old,
    /// It holds now, in place of this (life, counter, status).
    Taken(Option<(Incarnation, u32, Status)>),
    /// It is about one member more than the table has room for.
    Full,
}

impl Table {
    pub(crate) fn get(&self, rank: Rank) -> Option<&Record> {
        self.records.get(&rank)
    }

    /// All records in rank order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.records.values()
    }

    /// The records of lives that were seen, of ranks `first ..= last`: those that are told to others.
    pub(crate) fn seen(&self, first: Rank, last: Rank) -> impl Iterator<Item = &Record> + '_ {
        let seen = |record: &&Record| !record.is_never_seen();
        self.records
            .range(first..=last)
            .map(|(_, record)| record)
            .filter(seen)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= limits::MEMBERS_MAX
    }

    /// How many take part.
    pub(crate) fn in_view(&self) -> usize {
        self.in_view
    }

    // spec: TOPO-17
    pub(crate) fn view_id(&self) -> ViewId {
        ViewId(self.view)
    }

    /// Equal exactly where the same records of seen lives are known.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn floor(&self, rank: Rank) -> Incarnation {
        self.floors.get(&rank).copied().unwrap_or_default()
    }

    /// Takes a record when it is greater than what is known and not forgotten.
    // spec: TOPO-15, TOPO-16
    pub(crate) fn merge(&mut self, record: &Record) -> Merged {
        if record.inc <= self.floor(record.rank) {
            return Merged::Old;
        }
        let known = self.records.get(&record.rank);
        if known.is_some_and(|known| record.precedence(known).is_le()) {
            return Merged::Old;
        }
        if known.is_none() && self.is_full() {
            return Merged::Full;
        }
        let before = known.map(|known| (known.inc, known.counter, known.status));
        self.put(record.clone());
        Merged::Taken(before)
    }

    /// Sets a record without asking whether it is greater.
    pub(crate) fn put(&mut self, record: Record) {
        self.remove(record.rank);
        self.hash = self.hash.wrapping_add(hash(&record));
        if record.status.in_view() {
            self.view = self.view.wrapping_add(view_hash(&record));
            self.in_view += 1;
        }
        self.records.insert(record.rank, record);
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        let Some(record) = self.records.remove(&rank) else {
            return;
        };
        self.hash = self.hash.wrapping_sub(hash(&record));
        if record.status.in_view() {
            self.view = self.view.wrapping_sub(view_hash(&record));
            self.in_view -= 1;
        }
    }

    /// Raises a floor; returns whether it was lower. Leaves the record alone.
    pub(crate) fn raise_floor(&mut self, rank: Rank, floor: Incarnation) -> bool {
        if floor <= self.floor(rank) {
            return false;
        }
        self.floors.insert(rank, floor);
        true
    }
}

/// A record as a number; 0 for one that is not told to others.
fn hash(record: &Record) -> u64 {
    if record.is_never_seen() {
        return 0;
    }
    let small = u64::from(record.rank.0) << 48
        | u64::from(record.role as u8) << 40
        | u64::from(record.status as u8) << 32
        | u64::from(record.counter);
    let mut state = mix(mix(1, record.inc.0), small);
    for chunk in record.address.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = mix(state, u64::from_le_bytes(word));
    }
    mix(state, record.address.len() as u64)
}

fn view_hash(record: &Record) -> u64 {
    let small = u64::from(record.rank.0) << 8 | u64::from(record.role as u8);
    mix(mix(2, record.inc.0), small)
}

/// The finalizer of SplitMix64 over both words. Equal on every node, and of every version: views are compared.
fn mix(state: u64, word: u64) -> u64 {
    let mut x = state
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(word)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

//! All records that this node has, merged, with two hashes kept up to date: of everything, and of the view.

use std::collections::BTreeMap;
use std::fmt;

use radix_core::id::{Incarnation, Rank};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::record::Record;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Nothing new: not greater than what is known, or forgotten.
    Old,
    /// It holds now, in place of this one; of none for a new member.
    Taken(Option<Record>),
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
        Merged::Taken(self.put(record.clone()))
    }

    /// Sets a record without asking whether it is greater; returns the one before.
    pub(crate) fn put(&mut self, record: Record) -> Option<Record> {
        let before = self.remove(record.rank);
        self.hash = self.hash.wrapping_add(hash(&record));
        if record.status.in_view() {
            self.view = self.view.wrapping_add(view_hash(&record));
            self.in_view += 1;
        }
        self.records.insert(record.rank, record);
        before
    }

    pub(crate) fn remove(&mut self, rank: Rank) -> Option<Record> {
        let record = self.records.remove(&rank)?;
        self.hash = self.hash.wrapping_sub(hash(&record));
        if record.status.in_view() {
            self.view = self.view.wrapping_sub(view_hash(&record));
            self.in_view -= 1;
        }
        Some(record)
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

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::record::{Role, Status};

    fn record() -> impl Strategy<Value = Record> {
        let status = prop_oneof![
            Just(Status::Alive),
            Just(Status::Suspect),
            Just(Status::Down),
            Just(Status::Left)
        ];
        let role = prop_oneof![Just(Role::Prefill), Just(Role::Router)];
        let address = prop_oneof![Just("a:1"), Just("b:1"), Just("a-longer-name:1")];
        (0..4u16, role, address, 0..4u64, 0..3u32, status).prop_map(
            |(rank, role, address, inc, counter, status)| Record {
                rank: Rank(rank),
                role,
                address: address.to_owned(),
                inc: Incarnation(inc),
                counter,
                status,
            },
        )
    }

    fn merged(records: &[Record], floors: &[(u16, u64)]) -> Table {
        let mut table = Table::default();
        for &(rank, floor) in floors {
            table.raise_floor(Rank(rank), Incarnation(floor));
        }
        for record in records {
            table.merge(record);
        }
        table
    }

    fn same(a: &Table, b: &Table) -> bool {
        a.records == b.records && a.hash == b.hash && a.view == b.view && a.in_view == b.in_view
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        // spec: TOPO-15
        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            records in prop::collection::vec(record(), 0..12),
            floors in prop::collection::vec((0..4u16, 0..3u64), 0..3),
            order in prop::collection::vec(any::<prop::sample::Index>(), 24),
        ) {
            let once = merged(&records, &floors);
            let mut shuffled: Vec<Record> = records.clone();
            shuffled.extend(records.iter().cloned());
            for (at, index) in order.iter().enumerate().take(shuffled.len()) {
                let with = index.index(shuffled.len());
                shuffled.swap(at, with);
            }
            prop_assert!(same(&once, &merged(&shuffled, &floors)));
            // Two tables merge into one like the records one by one.
            let (left, right) = records.split_at(records.len() / 2);
            let mut joined = merged(left, &floors);
            for record in merged(right, &floors).records() {
                joined.merge(record);
            }
            prop_assert!(same(&once, &joined));
        }

        #[test]
        fn precedence_is_a_total_order(a in record(), b in record(), c in record()) {
            let (b, c) = (Record { rank: a.rank, ..b }, Record { rank: a.rank, ..c });
            prop_assert_eq!(a.precedence(&b), b.precedence(&a).reverse());
            prop_assert_eq!(a.precedence(&b) == Ordering::Equal, a == b);
            if a.precedence(&b).is_le() && b.precedence(&c).is_le() {
                prop_assert!(a.precedence(&c).is_le());
            }
        }

        #[test]
        fn hashes_follow_every_change(
            steps in prop::collection::vec((record(), any::<bool>()), 0..20),
        ) {
            let mut table = Table::default();
            for (record, goes) in steps {
                if goes {
                    table.remove(record.rank);
                } else {
                    table.put(record);
                }
            }
            let mut fresh = Table::default();
            for record in table.records() {
                fresh.put(record.clone());
            }
            prop_assert!(same(&table, &fresh));
        }
    }

    fn alive(rank: u16, inc: u64) -> Record {
        Record {
            rank: Rank(rank),
            role: Role::Decode,
            address: "a:1".to_owned(),
            inc: Incarnation(inc),
            counter: 0,
            status: Status::Alive,
        }
    }

    // spec: TOPO-15
    #[test]
    fn life_beats_counter_beats_severity() {
        let check = |less: Record, more: Record| {
            assert_eq!(less.precedence(&more), Ordering::Less, "{less:?} {more:?}");
        };
        let with = |inc, counter, status| Record {
            counter,
            status,
            ..alive(1, inc)
        };
        check(with(1, 0, Status::Alive), with(1, 0, Status::Suspect));
        check(with(1, 0, Status::Suspect), with(1, 0, Status::Down));
        check(with(1, 0, Status::Down), with(1, 0, Status::Left));
        check(with(1, 0, Status::Left), with(1, 1, Status::Alive));
        check(with(1, 9, Status::Left), with(2, 0, Status::Alive));
    }

    // spec: TOPO-17
    #[test]
    fn only_joining_leaving_and_being_down_change_the_view() {
        let mut table = merged(&[alive(1, 1), alive(2, 1)], &[]);
        let view = table.view_id();
        let mut becomes = |status, counter, expect_change| {
            let record = Record {
                status,
                counter,
                ..alive(2, 1)
            };
            assert!(matches!(table.merge(&record), Merged::Taken(_)));
            assert_eq!(table.view_id() != view, expect_change, "{status}");
        };
        becomes(Status::Suspect, 0, false);
        becomes(Status::Alive, 1, false);
        becomes(Status::Down, 1, true);
        becomes(Status::Alive, 2, false);
        becomes(Status::Left, 2, true);
        table.merge(&alive(2, 2));
        assert_ne!(table.view_id(), view, "a new life is a new member");
    }

    // spec: TOPO-16
    #[test]
    fn a_forgotten_life_never_comes_back() {
        let mut table = Table::default();
        assert!(table.raise_floor(Rank(1), Incarnation(5)));
        assert!(!table.raise_floor(Rank(1), Incarnation(4)));
        assert_eq!(table.merge(&alive(1, 5)), Merged::Old);
        assert_eq!(table.merge(&alive(1, 6)), Merged::Taken(None));
    }

    // spec: TOPO-22
    #[test]
    fn members_that_were_never_seen_do_not_count_in_the_hash() {
        let mut table = merged(&[alive(1, 1)], &[]);
        let hash = table.hash();
        table.put(Record::never_seen(Rank(9), Role::Decode, "z:1".to_owned()));
        assert_eq!(table.hash(), hash);
        assert_eq!(table.seen(Rank(0), Rank(u16::MAX)).count(), 1);
    }

    #[test]
    fn a_full_table_takes_no_new_rank_but_news_of_those_it_has() {
        let mut table = Table::default();
        for rank in 0..4096 {
            table.put(alive(rank, 1));
        }
        assert_eq!(table.merge(&alive(5000, 1)), Merged::Full);
        assert!(matches!(table.merge(&alive(7, 2)), Merged::Taken(Some(_))));
    }
}

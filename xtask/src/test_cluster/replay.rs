//! One replica's life, replayed: the model of every log at one version vector, moved on to later ones.

use std::fmt;

use super::feed::Feed;
use super::model::Log;

/// A version vector: by rank, (incarnation, last op); (0, 0) where nothing is known.
pub(crate) type Vector = Vec<(u64, u64)>;

/// The place behind the last op of a log that was forgotten: nothing of that life is held, and nothing of it comes.
pub(crate) const GONE: u64 = u64::MAX;

/// Why the model cannot stand at a version vector.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The record does not hold that op yet.
    NotYet,
    /// The vector lies before the model's: a replica never goes back.
    Back {
        /// Whose log.
        rank: usize,
        /// Where the model stands.
        model: (u64, u64),
    },
    /// The record is wrong in itself.
    Record(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::NotYet => write!(f, "the records do not hold the ops that the vector names"),
            Stop::Back {
                rank,
                model: (inc, seq),
            } => {
                write!(
                    f,
                    "the vector went back: an earlier answer had op {seq} of rank {rank} incarnation {inc}"
                )
            }
            Stop::Record(reason) => write!(f, "the record is wrong: {reason}"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Replay<F> {
    logs: Vec<(Log, F)>,
    /// Ranks whose answering replica is ahead of the record for good: their log cannot be checked.
    pub(crate) lost: Vec<bool>,
}

impl<F: Feed> Replay<F> {
    /// Returns the replay of a replica that knows nothing; one feed for each rank.
    pub(crate) fn new(feeds: Vec<F>) -> Self {
        let lost = vec![false; feeds.len()];
        Replay {
            logs: feeds
                .into_iter()
                .map(|feed| (Log::default(), feed))
                .collect(),
            lost,
        }
    }

    /// Begins again, as a restarted replica does.
    pub(crate) fn restart(&mut self) {
        for (log, feed) in &mut self.logs {
            log.begin(0);
            feed.rewind();
        }
        self.lost.fill(false);
    }

    /// Moves every log to the vector's place.
    ///
    /// Errors: [`Stop`]; the logs up to the one that stopped have moved. After `NotYet` the same vector may be
    /// tried again.
    pub(crate) fn advance(&mut self, to: &[(u64, u64)]) -> Result<(), Stop> {
        for (rank, &target) in to.iter().enumerate() {
            self.advance_log(rank, target)?;
        }
        Ok(())
    }

    fn advance_log(&mut self, rank: usize, target: (u64, u64)) -> Result<(), Stop> {
        let (log, feed) = &mut self.logs[rank];
        if target < (log.inc, log.seq) {
            return Err(Stop::Back {
                rank,
                model: (log.inc, log.seq),
            });
        }
        if log.inc < target.0 {
            log.begin(target.0);
            self.lost[rank] = false;
        }
        if target.1 == GONE {
            log.begin(target.0);
            log.seq = GONE;
            self.lost[rank] = false;
        }
        while log.seq < target.1 && !self.lost[rank] {
            let record = |error: std::io::Error| Stop::Record(format!("rank {rank}: {error}"));
            let Some(entry) = feed.peek().map_err(record)? else {
                return Err(Stop::NotYet);
            };
            if entry.inc < log.inc {
                // The end of an earlier life, which this replica never saw.
                feed.take();
                continue;
            }
            if entry.inc > log.inc {
                // That life is over: what the vector names will never be recorded.
                return Err(Stop::NotYet);
            }
            if entry.seq != log.seq + 1 {
                let (inc, seq, at) = (entry.inc, entry.seq, log.seq);
                return Err(Stop::Record(format!(
                    "rank {rank} incarnation {inc}: op {seq} stands behind op {at}"
                )));
            }
            let entry = feed.take().expect("it was peeked at");
            log.apply(&entry.op);
        }
        Ok(())
    }

    /// Gives up the logs whose part of the vector the record does not hold; returns them. Until their next life
    /// they are not compared.
    pub(crate) fn give_up(&mut self, to: &[(u64, u64)]) -> Vec<usize> {
        let mut given_up = Vec::new();
        for (rank, &target) in to.iter().enumerate() {
            if self.advance_log(rank, target) == Err(Stop::NotYet) {
                self.lost[rank] = true;
                self.logs[rank].0.seq = target.1;
                given_up.push(rank);
            }
        }
        given_up
    }

    /// Returns the logs by rank.
    pub(crate) fn logs(&self) -> impl Iterator<Item = (usize, &Log)> {
        self.logs.iter().map(|(log, _)| log).enumerate()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;

    use oplog::{Insert, Op, Pages, Parent};
    use radix_core::Fingerprint;
    use radix_core::id::{Namespace, SourceId, Tier};

    use super::super::feed::Entry;
    use super::*;

    /// A feed that holds its entries.
    #[derive(Debug, Default)]
    pub(crate) struct Held {
        pub(crate) entries: Vec<Entry>,
        pub(crate) at: usize,
    }

    impl Feed for Held {
        fn peek(&mut self) -> io::Result<Option<&Entry>> {
            Ok(self.entries.get(self.at))
        }

        fn take(&mut self) -> Option<Entry> {
            self.at += 1;
            self.entries.get(self.at - 1).cloned()
        }

        fn rewind(&mut self) {
            self.at = 0;
        }
    }

    /// An insert of `pages` at the root as op `seq` of life `inc`.
    pub(crate) fn stored(inc: u64, seq: u64, pages: &[u64]) -> Entry {
        let pages = Pages(pages.iter().copied().map(Fingerprint).collect());
        let parent = Parent::Root(Namespace::DEFAULT);
        Entry {
            inc,
            seq,
            op: Op::Insert(Insert {
                source: SourceId(0),
                tier: Tier::Device,
                parent,
                pages,
            }),
        }
    }

    fn replay(entries: Vec<Entry>) -> Replay<Held> {
        Replay::new(vec![Held { entries, at: 0 }])
    }

    fn position(replay: &Replay<Held>) -> (u64, u64) {
        let (_, log) = replay.logs().next().expect("there is one rank");
        (log.inc, log.seq)
    }

    #[test]
    fn it_stops_exactly_at_the_vector() {
        let mut replay = replay((1..=5).map(|seq| stored(7, seq, &[seq])).collect());
        assert_eq!(replay.advance(&[(7, 3)]), Ok(()));
        assert_eq!(position(&replay), (7, 3));
        assert_eq!(
            replay.advance(&[(7, 2)]),
            Err(Stop::Back {
                rank: 0,
                model: (7, 3)
            })
        );
        assert_eq!(replay.advance(&[(7, 6)]), Err(Stop::NotYet));
        assert_eq!(position(&replay), (7, 5));
    }

    #[test]
    fn a_new_life_begins_empty_and_skips_the_unseen_end_of_the_old_one() {
        let entries = vec![stored(7, 1, &[1]), stored(7, 2, &[2]), stored(8, 1, &[3])];
        let mut replay = replay(entries);
        assert_eq!(replay.advance(&[(7, 1)]), Ok(()));
        assert_eq!(
            replay.advance(&[(8, 0)]),
            Ok(()),
            "a life without ops needs no record"
        );
        assert_eq!(
            replay.logs().next().map(|(_, log)| log.sources().count()),
            Some(0)
        );
        assert_eq!(replay.advance(&[(8, 1)]), Ok(()));
        assert_eq!(position(&replay), (8, 1));
    }

    #[test]
    fn ops_that_a_killed_life_never_recorded_are_given_up_until_the_next_life() {
        let mut replay = replay(vec![stored(7, 1, &[1]), stored(8, 1, &[2])]);
        assert_eq!(replay.advance(&[(7, 2)]), Err(Stop::NotYet));
        assert_eq!(replay.give_up(&[(7, 2)]), [0]);
        assert_eq!(replay.advance(&[(7, 3)]), Ok(()));
        assert_eq!(replay.lost, [true]);
        assert_eq!(replay.advance(&[(8, 1)]), Ok(()));
        assert_eq!(replay.lost, [false]);
    }

    #[test]
    fn a_log_that_was_forgotten_holds_nothing_until_its_next_life() {
        let mut replay = replay(vec![
            stored(7, 1, &[1]),
            stored(7, 2, &[1]),
            stored(8, 1, &[2]),
        ]);
        assert_eq!(replay.advance(&[(7, 1)]), Ok(()));
        assert_eq!(replay.advance(&[(7, GONE)]), Ok(()));
        let sources = |replay: &Replay<Held>| {
            let log = replay.logs().next();
            log.map(|(_, log)| log.sources().count())
        };
        assert_eq!(sources(&replay), Some(0));
        assert_eq!(replay.advance(&[(7, GONE)]), Ok(()));
        assert!(matches!(
            replay.advance(&[(7, 2)]),
            Err(Stop::Back { rank: 0, .. })
        ));
        assert_eq!(replay.advance(&[(8, 1)]), Ok(()));
        assert_eq!((position(&replay), sources(&replay)), ((8, 1), Some(1)));
    }

    #[test]
    fn a_gap_in_a_record_is_an_error() {
        let mut replay = replay(vec![stored(7, 1, &[1]), stored(7, 3, &[2])]);
        assert!(matches!(replay.advance(&[(7, 3)]), Err(Stop::Record(_))));
    }

    #[test]
    fn a_restart_folds_from_the_first_op() {
        let mut replay = replay((1..=5).map(|seq| stored(7, seq, &[seq])).collect());
        assert_eq!(replay.advance(&[(7, 5)]), Ok(()));
        replay.restart();
        assert_eq!(replay.advance(&[(7, 2)]), Ok(()));
        assert_eq!(position(&replay), (7, 2));
    }
}

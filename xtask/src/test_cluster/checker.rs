//! Holds every lookup against the published logs while the cluster runs, and finds the one that is wrong.
//!
//! Answers come out of order when several requests are in flight, but one replica's version vectors form a chain, so
//! one model per router is enough: it takes the answers in the order of their vectors. What is asked after an answer
//! came sees at least as much; so the first of the waiting answers may be taken when every request is answered that
//! was asked before some waiting answer came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::feed::Feed;
use super::lookup::{Lookup, compare, vector};
use super::replay::{GONE, Replay, Stop, Vector};

/// Complaints that are kept as text; all are counted.
const COMPLAINTS_MAX: usize = 10;
/// How long ops that a vector names may be missing from the record. They are written before they are sent.
const RECORD_PATIENCE: Duration = Duration::from_secs(3);
/// Pause between two looks at records that lack an op.
const RECORD_POLL: Duration = Duration::from_millis(1);
/// Pause when nothing is told.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// What the driver tells the checker.
#[derive(Debug)]
pub(crate) enum Event {
    /// A request leaves for a router. Numbers grow.
    Asked {
        /// Its rank.
        router: u16,
        /// Of the request.
        number: u64,
    },
    /// It was answered.
    Answered(Lookup),
    /// A member leaves or is forgotten: from now on a replica may drop its log.
    MayForget {
        /// Whose.
        rank: u16,
    },
    /// It will not be answered.
    Failed {
        /// Its rank.
        router: u16,
        /// Of the request.
        number: u64,
    },
}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Lookups compared with the logs.
    pub(crate) checked: u64,
    /// Those that disagreed.
    pub(crate) wrong: u64,
    /// Those of which one log could not be compared: the vector names ops that a killed node sent and never
    /// recorded.
    pub(crate) beyond_record: u64,
    /// The first of the wrong ones, in words.
    pub(crate) complaints: Vec<String>,
}

/// See the module. `M` makes the feeds of all logs, one for each rank.
#[derive(Debug)]
pub(crate) struct Checker<F, M> {
    make_feeds: M,
    routers: BTreeMap<u16, Router<F>>,
    /// Ranks whose log may be dropped.
    may_forget: BTreeSet<u16>,
    tally: Tally,
}

/// One router's answers.
#[derive(Debug)]
struct Router<F> {
    replay: Replay<F>,
    /// Incarnation of the router whose life is replayed.
    life: u64,
    /// Unanswered requests, each with the furthest answer that had come when it was asked.
    in_flight: BTreeMap<u64, Option<Seen>>,
    asked_last: u64,
    /// The furthest answer so far.
    furthest: Option<Seen>,
    waiting: BTreeMap<Place, Waiting>,
}

/// Order in which answers are taken: by the router's life, then by version vector. For vectors that form a chain
/// the lexicographic order is that of the chain. The number makes it unique.
type Place = (Seen, u64);
/// Life of the router, and the version vector it answered at.
type Seen = (u64, Vector);

#[derive(Debug)]
struct Waiting {
    lookup: Lookup,
    /// The last request that was asked before this answer came.
    asked_last: u64,
    /// Since when its ops are missing from the record.
    missing_since: Option<Instant>,
}

impl<F: Feed, M: Fn() -> Vec<F>> Checker<F, M> {
    /// Returns a checker that has seen nothing.
    pub(crate) fn new(make_feeds: M) -> Self {
        Checker {
            make_feeds,
            routers: BTreeMap::new(),
            may_forget: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Takes in an event; [`Checker::turn`] acts on it.
    pub(crate) fn event(&mut self, event: Event) {
        match event {
            Event::Asked { router, number } => {
                let router = self.router(router);
                router.in_flight.insert(number, router.furthest.clone());
                router.asked_last = number;
            }
            Event::Failed { router, number } => {
                self.router(router).in_flight.remove(&number);
            }
            Event::MayForget { rank } => {
                self.may_forget.insert(rank);
            }
            Event::Answered(lookup) => self.answered(lookup),
        }
    }

    fn answered(&mut self, lookup: Lookup) {
        let (rank, number) = (lookup.router, lookup.number);
        let router = self.router(rank);
        let floor = router.in_flight.remove(&number).flatten();
        let vector = match vector(&lookup.answer.version, router.replay.lost.len()) {
            Ok(vector) => vector,
            Err(reason) => return self.wrong(&lookup, &reason),
        };
        let seen = self.told_gone((vector[usize::from(rank)].0, vector), rank);
        let router = self.router(rank);
        if floor.is_some_and(|floor| seen < floor) {
            return self.wrong(
                &lookup,
                "the vector went back: an answer that came before it was asked had more",
            );
        }
        router.furthest = router.furthest.take().max(Some(seen.clone()));
        let asked_last = router.asked_last;
        router.waiting.insert(
            (seen, number),
            Waiting {
                lookup,
                asked_last,
                missing_since: None,
            },
        );
    }

    /// A log that the router had and that it dropped stands behind all that it had of it, so that vectors stay a chain.
    fn told_gone(&mut self, (life, mut vector): Seen, router: u16) -> Seen {
        let furthest = self.router(router).furthest.clone();
        if let Some((of_life, before)) = furthest
            && of_life == life
        {
            for &rank in &self.may_forget {
                let rank = usize::from(rank);
                let (Some(now), Some(before)) = (vector.get_mut(rank), before.get(rank)) else {
                    continue;
                };
                // Also of a log whose life was known and that had no op yet.
                let less = now.0 < before.0 || now.0 == before.0 && before.1 > 0;
                if now.1 == 0 && less {
                    *now = (before.0, GONE);
                }
            }
        }
        (life, vector)
    }

    fn router(&mut self, rank: u16) -> &mut Router<F> {
        self.routers.entry(rank).or_insert_with(|| Router {
            replay: Replay::new((self.make_feeds)()),
            life: 0,
            in_flight: BTreeMap::new(),
            asked_last: 0,
            furthest: None,
            waiting: BTreeMap::new(),
        })
    }

    /// Checks every answer whose turn has come. `over`: nothing more will be asked or answered.
    ///
    /// Returns whether answers wait for the records.
    pub(crate) fn turn(&mut self, now: Instant, over: bool) -> bool {
        let mut waits = false;
        let ranks: Vec<u16> = self.routers.keys().copied().collect();
        for rank in ranks {
            waits |= self.turn_router(rank, now, over);
        }
        waits
    }

    fn turn_router(&mut self, rank: u16, now: Instant, over: bool) -> bool {
        loop {
            let router = self.router(rank);
            let asked_last = router
                .waiting
                .values()
                .map(|waiting| waiting.asked_last)
                .min();
            let Some(mut first) = router.waiting.first_entry() else {
                return false;
            };
            let unanswered = router
                .in_flight
                .first_key_value()
                .map(|(&number, _)| number);
            if !over
                && unanswered.is_some_and(|number| asked_last.is_some_and(|last| number <= last))
            {
                return false;
            }
            let ((life, vector), _) = first.key().clone();
            if router.life < life {
                router.life = life;
                router.replay.restart();
            }
            let standing = match router.replay.advance(&vector) {
                Err(Stop::NotYet) => {
                    let since = *first.get_mut().missing_since.get_or_insert(now);
                    if now.duration_since(since) < RECORD_PATIENCE {
                        return true;
                    }
                    router.replay.give_up(&vector);
                    Ok(())
                }
                standing => standing,
            };
            let lookup = first.remove().lookup;
            let beyond = router.replay.lost.contains(&true);
            let verdict = match standing {
                Ok(()) => compare(&router.replay, &lookup),
                Err(stop) => Err(stop.to_string()),
            };
            self.tally.beyond_record += u64::from(beyond);
            match verdict {
                Ok(()) => self.tally.checked += 1,
                Err(reason) => self.wrong(&lookup, &reason),
            }
        }
    }

    fn wrong(&mut self, lookup: &Lookup, reason: &str) {
        self.tally.checked += 1;
        self.tally.wrong += 1;
        if self.tally.complaints.len() < COMPLAINTS_MAX {
            let Lookup {
                number,
                router,
                answer,
                ..
            } = lookup;
            let at: Vec<String> = answer
                .version
                .iter()
                .map(|at| format!("{}:{}:{}", at.rank, at.incarnation, at.seq))
                .collect();
            let text = format!(
                "lookup {number} of router {router} at {}: {reason}",
                at.join(" ")
            );
            self.tally.complaints.push(text);
        }
    }
}

/// Checks events as they come, until all senders are gone and every answer is checked.
pub(crate) fn run<F: Feed>(
    mut checker: Checker<F, impl Fn() -> Vec<F>>,
    events: &Receiver<Event>,
) -> Tally {
    let mut waits = false;
    let mut over = false;
    while !over || waits {
        let patience = if waits { RECORD_POLL } else { IDLE_POLL };
        match events.recv_timeout(patience) {
            Ok(event) => {
                checker.event(event);
                events.try_iter().for_each(|event| checker.event(event));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if over => std::thread::sleep(RECORD_POLL),
            Err(RecvTimeoutError::Disconnected) => over = true,
        }
        waits = checker.turn(Instant::now(), over);
    }
    checker.tally
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use radix_core::Fingerprint;
    use radix_core::id::Namespace;
    use radixmesh::admin::api::{HolderMatch, Position};

    use super::super::chain::Key;
    use super::super::feed::Entry;
    use super::super::lookup::Answer;
    use super::super::replay::tests::{Held, stored};
    use super::*;

    const ROUTER: u16 = 2;

    /// Ranks 0 and 1 published, rank 2 is the router. Op `seq` of either stores pages `1 ..= seq`.
    fn entries(rank: u64) -> Vec<Entry> {
        (1..=5)
            .map(|seq| stored(10 + rank, seq, &(1..=seq).collect::<Vec<_>>()))
            .collect()
    }

    fn checker() -> Checker<Held, impl Fn() -> Vec<Held>> {
        Checker::new(|| {
            let held = |entries| Held { entries, at: 0 };
            vec![held(entries(0)), held(entries(1)), held(Vec::new())]
        })
    }

    fn path() -> Arc<[Key]> {
        let pages: Vec<Fingerprint> = (1..=8).map(Fingerprint).collect();
        Key::root(Namespace::DEFAULT).walk(&pages).collect()
    }

    fn holder(rank: u16, pages: u32) -> HolderMatch {
        let role = "prefill".to_owned();
        HolderMatch {
            rank,
            source: 0,
            role,
            pages,
            device_pages: pages,
            host_pages: pages,
            routable: true,
        }
    }

    /// The right answer when `seqs` ops of ranks 0 and 1 were applied in life `life` of the router.
    fn lookup(number: u64, life: u64, seqs: [u64; 2]) -> Lookup {
        let at = |rank, incarnation, seq| Position {
            rank,
            incarnation,
            seq,
        };
        let depth = |seq: u64| u32::try_from(seq).unwrap();
        let holders = (0..)
            .zip(seqs)
            .filter(|(_, seq)| *seq > 0)
            .map(|(rank, seq)| holder(rank, depth(seq)));
        let version = vec![at(0, 10, seqs[0]), at(1, 11, seqs[1]), at(ROUTER, life, 0)];
        let answer = Answer {
            pages: 8,
            holders: holders.collect(),
            version,
            chosen: vec![(0, depth(seqs[0]))],
        };
        Lookup {
            router: ROUTER,
            number,
            path: path(),
            answer,
        }
    }

    fn check(lookups: Vec<Lookup>) -> Tally {
        let mut checker = checker();
        for lookup in lookups {
            checker.event(Event::Asked {
                router: ROUTER,
                number: lookup.number,
            });
            checker.event(Event::Answered(lookup));
        }
        let now = Instant::now();
        checker.turn(now, true);
        checker.turn(now + RECORD_PATIENCE, true);
        checker.tally
    }

    #[test]
    fn right_answers_pass() {
        let lookups = (0u64..)
            .zip([[0, 0], [1, 0], [1, 3], [1, 3], [5, 5]])
            .map(|(n, seqs)| lookup(n, 7, seqs));
        let tally = check(lookups.collect());
        assert_eq!(
            tally,
            Tally {
                checked: 5,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn every_tampered_answer_is_found() {
        let tampered = |name: &str, expect: &str, tamper: fn(&mut Answer)| {
            let mut wrong = lookup(1, 7, [3, 2]);
            tamper(&mut wrong.answer);
            let tally = check(vec![lookup(0, 7, [3, 2]), wrong, lookup(2, 7, [4, 4])]);
            assert_eq!((tally.checked, tally.wrong), (3, 1), "{name}");
            assert!(
                tally.complaints[0].contains(expect),
                "{name}: {}",
                tally.complaints[0]
            );
        };
        tampered("a page more", "the logs say", |answer| {
            answer.holders[0].pages += 1
        });
        tampered("a page less", "the logs say", |answer| {
            answer.holders[1].pages -= 1
        });
        tampered("a slower tier", "the logs say", |answer| {
            answer.holders[0].device_pages = 0
        });
        tampered("a holder missing", "the logs say", |answer| {
            drop(answer.holders.pop())
        });
        tampered("a holder too many", "the logs say", |answer| {
            answer.holders.push(holder(ROUTER, 1))
        });
        tampered("a holder twice", "the logs say", |answer| {
            answer.holders.push(holder(1, 2))
        });
        tampered("another source", "the logs say", |answer| {
            answer.holders[0].source = 1
        });
        tampered("an op not applied", "the logs say", |answer| {
            answer.version[1].seq += 1
        });
        tampered("an op too many", "went back", |answer| {
            answer.version[0].seq -= 1
        });
        tampered("an op of another log", "went back", |answer| {
            answer.version[1].seq -= 1
        });
        tampered("an unknown rank", "rank 9", |answer| {
            answer.version[0].rank = 9
        });
        tampered("a rank twice", "twice", |answer| answer.version[1].rank = 0);
        tampered("another prompt", "8 pages, not 7", |answer| {
            answer.pages = 7
        });
        tampered("another depth for the choice", "chose rank 0", |answer| {
            answer.chosen[0].1 = 2
        });
    }

    #[test]
    fn answers_that_overtook_each_other_are_taken_in_the_order_of_their_vectors() {
        let mut checker = checker();
        for number in 0..3 {
            checker.event(Event::Asked {
                router: ROUTER,
                number,
            });
        }
        checker.event(Event::Answered(lookup(2, 7, [3, 3])));
        checker.event(Event::Answered(lookup(1, 7, [2, 3])));
        checker.turn(Instant::now(), false);
        assert_eq!(
            checker.tally.checked, 0,
            "request 0 may still come with less"
        );
        checker.event(Event::Asked {
            router: ROUTER,
            number: 3,
        });
        checker.event(Event::Answered(lookup(0, 7, [2, 2])));
        checker.turn(Instant::now(), false);
        assert_eq!(
            checker.tally,
            Tally {
                checked: 3,
                ..Tally::default()
            },
            "request 3 was asked later"
        );
    }

    #[test]
    fn a_failed_request_holds_nobody_up() {
        let mut checker = checker();
        for number in 0..2 {
            checker.event(Event::Asked {
                router: ROUTER,
                number,
            });
        }
        checker.event(Event::Answered(lookup(1, 7, [1, 1])));
        checker.event(Event::Failed {
            router: ROUTER,
            number: 0,
        });
        checker.turn(Instant::now(), false);
        assert_eq!(checker.tally.checked, 1);
    }

    #[test]
    fn a_replica_that_goes_back_is_wrong_and_a_restarted_one_is_not() {
        let mut checker = checker();
        for (number, (life, seqs)) in (0..).zip([(7, [3, 3]), (7, [2, 3]), (8, [1, 1])]) {
            checker.event(Event::Asked {
                router: ROUTER,
                number,
            });
            checker.event(Event::Answered(lookup(number, life, seqs)));
            checker.turn(Instant::now(), false);
        }
        let tally = &checker.tally;
        assert_eq!((tally.checked, tally.wrong), (3, 1));
        assert!(
            tally.complaints[0].contains("lookup 1 of router 2"),
            "{}",
            tally.complaints[0]
        );
    }

    #[test]
    fn a_log_may_be_dropped_by_whoever_was_told_and_by_nobody_else() {
        let wrong = |told: bool| {
            let mut checker = checker();
            if told {
                checker.event(Event::MayForget { rank: 1 });
            }
            for (number, seqs) in (0..).zip([[3, 3], [4, 0], [5, 0]]) {
                checker.event(Event::Asked {
                    router: ROUTER,
                    number,
                });
                checker.event(Event::Answered(lookup(number, 7, seqs)));
                checker.turn(Instant::now(), false);
            }
            assert_eq!(checker.tally.checked, 3);
            checker.tally.wrong
        };
        assert_eq!((wrong(true), wrong(false)), (0, 2));
    }

    #[test]
    fn a_life_without_an_op_may_be_dropped_like_any_other() {
        let wrong = |told: bool| {
            let mut checker = checker();
            if told {
                checker.event(Event::MayForget { rank: 1 });
            }
            for number in 0..2 {
                checker.event(Event::Asked {
                    router: ROUTER,
                    number,
                });
                let mut lookup = lookup(number, 7, [3, 0]);
                if number == 1 {
                    lookup.answer.version[1].incarnation = 0;
                }
                checker.event(Event::Answered(lookup));
                checker.turn(Instant::now(), false);
            }
            checker.tally.wrong
        };
        assert_eq!((wrong(true), wrong(false)), (0, 1));
    }

    #[test]
    fn ops_beyond_the_record_are_counted_apart_and_the_other_logs_still_compared() {
        let beyond = |pages| {
            let mut lookup = lookup(0, 7, [5, 2]);
            lookup.answer.version[0].seq = 6;
            lookup.answer.holders[1].pages = pages;
            lookup
        };
        assert_eq!(
            check(vec![beyond(2)]),
            Tally {
                checked: 1,
                beyond_record: 1,
                ..Tally::default()
            }
        );
        assert_eq!(check(vec![beyond(1)]).wrong, 1);
    }
}

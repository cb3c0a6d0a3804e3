//! What the watchers believe, and what the holders are.

use super::record::{Record, Status};
use super::{HOLDERS, Scope, WATCHERS};

/// A node that believes something of the rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Watcher {
    pub(crate) record: Record,
    pub(crate) floor: u8,
    /// Holders that it has a link with; one bit for each.
    pub(crate) linked: u8,
    /// The highest life that it knew to be left. For the properties only.
    pub(crate) left: u8,
    /// The highest life that it was told to forget. For the properties only.
    pub(crate) forgot: u8,
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Nothing,
    Running,
    /// It said that it leaves, and is not gone yet.
    Leaving,
}

/// A process that holds the rank, or claims to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) doing: Doing,
    /// Its last life.
    pub(crate) inc: u8,
    pub(crate) counter: u8,
    /// Somebody let it in in this run; before that it hears nothing and is not heard.
    pub(crate) member: bool,
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) watchers: [Watcher; WATCHERS],
    pub(crate) holders: [Holder; HOLDERS],
    /// Records that were ever spoken of; one bit for each, see [`Record::index`].
    pub(crate) said: u128,
    /// Floors that were ever spoken of; one bit for each.
    pub(crate) said_floors: u8,
    pub(crate) restarts: u8,
    /// A watcher took a second live holder while it heard the first.
    pub(crate) doubled: bool,
    /// A watcher's record went back.
    pub(crate) went_back: bool,
    /// Out of scope.
    pub(crate) beyond: bool,
}

impl Watcher {
    pub(crate) const NEW: Watcher = Watcher {
        record: Record::NEVER,
        floor: 0,
        linked: 0,
        left: 0,
        forgot: 0,
    };

    fn keeps_away(&self) -> bool {
        let Record { inc, status, .. } = self.record;
        inc == 0
            || (inc > self.forgot
                && (inc > self.left || (inc == self.left && status == Status::Left)))
    }
}

impl Holder {
    /// What it says of itself.
    pub(crate) fn record(&self, holder: u8) -> Record {
        let status = if self.doing == Doing::Leaving {
            Status::Left
        } else {
            Status::Alive
        };
        Record {
            inc: self.inc,
            counter: self.counter,
            status,
            holder,
        }
    }
}

impl State {
    pub(crate) fn new(scope: Scope) -> State {
        let nobody = Holder {
            doing: Doing::Nothing,
            inc: 0,
            counter: 0,
            member: false,
        };
        State {
            watchers: [Watcher::NEW; WATCHERS],
            holders: [nobody; HOLDERS],
            said: 0,
            said_floors: 0,
            restarts: scope.restarts,
            doubled: false,
            went_back: false,
            beyond: false,
        }
    }

    /// Returns whether no watcher shows a life that it knew to be over.
    pub(crate) fn keeps_away(&self) -> bool {
        self.watchers.iter().all(Watcher::keeps_away)
    }

    pub(crate) fn is_running(&self, holder: usize) -> bool {
        self.holders[holder].doing == Doing::Running
    }

    /// Returns the records that were spoken of.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        (0..128)
            .filter(|index| self.said & (1 << index) != 0)
            .map(Record::at)
    }
}

//! Whether belief can still become true, from wherever it is: nobody starts, leaves or is suspected, and all talk to all.

use super::record::{Record, Status};
use super::state::{Doing, State};
use super::{HOLDERS, Membership, WATCHERS};

/// Rounds in which everybody tells everybody what it has. A floor comes to the holder, its new life comes back, and is
/// passed on: three. One more for good measure.
const ROUNDS: usize = 4;

impl Membership {
    /// Returns whether the only live holder ends alive in every table, in its present life.
    pub(crate) fn can_be_alive(&self, state: &State) -> bool {
        let mut state = quiet(state);
        let mut running = (0..HOLDERS).filter(|holder| state.is_running(*holder));
        let (Some(holder), None) = (running.next(), running.next()) else {
            return true;
        };
        for at in 0..WATCHERS {
            if state.watchers[at].linked & (1 << holder) == 0 {
                self.connect(&mut state, holder, at, true);
            }
        }
        for _ in 0..ROUNDS {
            self.exchange(&mut state);
            for at in 0..WATCHERS {
                let (record, floor) = (state.watchers[at].record, state.watchers[at].floor);
                self.hear_floor(&mut state, holder, floor);
                if record != Record::NEVER {
                    self.hear(&mut state, holder, record);
                }
                let own = state.holders[holder].record(holder as u8);
                self.merge(&mut state, at, own);
            }
        }
        let own = state.holders[holder].record(holder as u8);
        own.status == Status::Alive && state.watchers.iter().all(|watcher| watcher.record == own)
    }

    /// Returns whether the watchers end with equal tables when they only talk to each other.
    pub(crate) fn can_be_equal(&self, state: &State) -> bool {
        let mut state = *state;
        for _ in 0..ROUNDS {
            self.exchange(&mut state);
        }
        let table = |at: usize| (state.watchers[at].record, state.watchers[at].floor);
        table(0) == table(1)
    }

    /// Each watcher sends its table, then each takes the other's.
    fn exchange(&self, state: &mut State) {
        let before = state.watchers;
        for (at, other) in [(0, before[1]), (1, before[0])] {
            self.tell_floor(state, at, other.floor);
            if other.record != Record::NEVER {
                self.merge(state, at, other.record);
            }
        }
    }
}

/// Those that are leaving are gone.
fn quiet(state: &State) -> State {
    let mut state = *state;
    for holder in 0..HOLDERS {
        if state.holders[holder].doing == Doing::Leaving {
            state.holders[holder].doing = Doing::Nothing;
            for watcher in &mut state.watchers {
                watcher.linked &= !(1 << holder);
            }
        }
    }
    state
}

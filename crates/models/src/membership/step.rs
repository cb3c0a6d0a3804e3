//! What can happen next.

use super::record::{Record, Status};
use super::state::{Doing, State, Watcher};
use super::{HOLDERS, Membership, Rule, WATCHERS};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A process starts and claims the rank.
    Start { holder: usize },
    /// It asks a watcher for a link. `heard`: the watcher heard the holder that it is linked with lately.
    Connect {
        holder: usize,
        at: usize,
        heard: bool,
    },
    /// A link breaks.
    Unlink { holder: usize, at: usize },
    /// It says that it leaves.
    Leave { holder: usize },
    /// It is gone.
    Stop { holder: usize },
    /// A watcher suspects it, with reason or without.
    Suspect { at: usize },
    /// A suspicion was not refuted in time.
    Condemn { at: usize },
    /// A watcher forgets it.
    Forget { at: usize },
    /// A watcher hears a record.
    Tell { at: usize, record: Record },
    /// A watcher hears a floor.
    TellFloor { at: usize, floor: u8 },
    /// A holder hears a record of its own rank.
    Hear { holder: usize, record: Record },
    /// A holder hears a floor of its own rank.
    HearFloor { holder: usize, floor: u8 },
    /// A watcher loses all that it knew, and comes back.
    Restart { at: usize },
}

impl Membership {
    pub(crate) fn possible(&self, state: &State, out: &mut Vec<Action>) {
        let floors: Vec<u8> = (1..8)
            .filter(|floor| state.said_floors & (1 << floor) != 0)
            .collect();
        for holder in 0..self.scope.holders {
            let doing = state.holders[holder].doing;
            if doing == Doing::Nothing {
                out.push(Action::Start { holder });
                continue;
            }
            out.push(Action::Stop { holder });
            if state.holders[holder].member {
                out.extend(
                    state
                        .records()
                        .map(|record| Action::Hear { holder, record }),
                );
                out.extend(floors.iter().map(|floor| Action::HearFloor {
                    holder,
                    floor: *floor,
                }));
            }
            if doing == Doing::Running {
                if state.holders[holder].member {
                    out.push(Action::Leave { holder });
                }
                for at in 0..WATCHERS {
                    if state.watchers[at].linked & (1 << holder) != 0 {
                        out.push(Action::Unlink { holder, at });
                    } else {
                        out.extend([true, false].map(|heard| Action::Connect {
                            holder,
                            at,
                            heard,
                        }));
                    }
                }
            }
        }
        for at in 0..WATCHERS {
            match state.watchers[at].record.status {
                _ if state.watchers[at].record == Record::NEVER => {}
                Status::Alive => out.push(Action::Suspect { at }),
                Status::Suspect => out.push(Action::Condemn { at }),
                Status::Down | Status::Left => out.push(Action::Forget { at }),
            }
            out.extend(state.records().map(|record| Action::Tell { at, record }));
            out.extend(
                floors
                    .iter()
                    .map(|floor| Action::TellFloor { at, floor: *floor }),
            );
            if state.restarts > 0 {
                out.push(Action::Restart { at });
            }
        }
    }

    pub(crate) fn take(&self, state: &mut State, action: Action) {
        let before = state.watchers;
        match action {
            Action::Start { holder } => {
                let process = &mut state.holders[holder];
                (process.doing, process.inc, process.counter, process.member) =
                    (Doing::Running, above(process.inc, holder), 0, false);
                state.beyond |= process.inc > self.scope.inc_max;
            }
            Action::Connect { holder, at, heard } => self.connect(state, holder, at, heard),
            Action::Unlink { holder, at } => state.watchers[at].linked &= !(1 << holder),
            Action::Leave { holder } => {
                let process = &mut state.holders[holder];
                (process.doing, process.counter) = (Doing::Leaving, process.counter + 1);
                self.say(state, state.holders[holder].record(holder as u8));
            }
            Action::Stop { holder } => {
                state.holders[holder].doing = Doing::Nothing;
                for watcher in &mut state.watchers {
                    watcher.linked &= !(1 << holder);
                }
            }
            Action::Suspect { at } => self.mark(state, at, Status::Suspect),
            Action::Condemn { at } => self.mark(state, at, Status::Down),
            Action::Forget { at } => return self.forget(state, at),
            Action::Tell { at, record } => self.merge(state, at, record),
            Action::TellFloor { at, floor } => return self.tell_floor(state, at, floor),
            Action::Hear { holder, record } => self.hear(state, holder, record),
            Action::HearFloor { holder, floor } => self.hear_floor(state, holder, floor),
            Action::Restart { at } => {
                state.restarts -= 1;
                state.watchers[at] = Watcher::NEW;
                return;
            }
        }
        let mut pairs = before.iter().zip(&state.watchers);
        state.went_back |= pairs.any(|(before, after)| after.record < before.record);
    }

    /// A process asks for a link; the first one lets it in.
    pub(crate) fn connect(&self, state: &mut State, holder: usize, at: usize, heard: bool) {
        let Watcher {
            record,
            floor,
            linked,
            ..
        } = state.watchers[at];
        let mut others =
            (0..HOLDERS).filter(|other| *other != holder && linked & (1 << other) != 0);
        let other_lives = others.any(|other| state.is_running(other));
        if other_lives && heard {
            if self.keeps(Rule::Refuse) {
                return;
            }
            state.doubled = true;
        }
        let own = state.holders[holder].record(holder as u8);
        let over = own.inc <= floor
            || record.inc > own.inc
            || (record.inc == own.inc && record.holder != own.holder);
        if over {
            self.renew(state, holder, floor.max(record.inc));
        }
        state.watchers[at].linked = 1 << holder;
        state.holders[holder].member = true;
        let own = state.holders[holder].record(holder as u8);
        self.say(state, own);
        self.merge(state, at, own);
    }

    /// A watcher changes its mind about the holder.
    fn mark(&self, state: &mut State, at: usize, status: Status) {
        let record = &mut state.watchers[at].record;
        record.status = status;
        record.counter += u8::from(!self.keeps(Rule::Own));
        let record = *record;
        self.say(state, record);
    }

    fn forget(&self, state: &mut State, at: usize) {
        let watcher = &mut state.watchers[at];
        let inc = watcher.record.inc;
        watcher.record = Record::NEVER;
        watcher.forgot = inc;
        if self.keeps(Rule::Floor) {
            watcher.floor = inc;
            state.said_floors |= 1 << inc;
        }
    }

    pub(crate) fn merge(&self, state: &mut State, at: usize, record: Record) {
        let watcher = &mut state.watchers[at];
        if record.inc > watcher.floor && (record > watcher.record || !self.keeps(Rule::Order)) {
            watcher.record = record;
            if record.status == Status::Left {
                watcher.left = watcher.left.max(record.inc);
            }
        }
    }

    pub(crate) fn tell_floor(&self, state: &mut State, at: usize, floor: u8) {
        let watcher = &mut state.watchers[at];
        if floor > watcher.floor {
            (watcher.floor, watcher.forgot) = (floor, floor);
            if watcher.record.inc <= floor {
                watcher.record = Record::NEVER;
            }
        }
    }

    /// A holder hears what is believed of its rank.
    pub(crate) fn hear(&self, state: &mut State, holder: usize, record: Record) {
        let process = &mut state.holders[holder];
        let own = process.record(holder as u8);
        if record.inc == own.inc && record.holder == own.holder {
            let left = process.doing == Doing::Leaving;
            if record.is_alive()
                || record.counter < own.counter
                || (left && self.keeps(Rule::Final))
            {
                return;
            }
            process.doing = Doing::Running;
            process.counter = record.counter + u8::from(self.keeps(Rule::Refute));
            self.say(state, state.holders[holder].record(holder as u8));
        } else if record.inc >= own.inc && process.doing == Doing::Running {
            // A later life, or the same one of somebody else.
            self.renew(state, holder, record.inc);
        }
    }

    pub(crate) fn hear_floor(&self, state: &mut State, holder: usize, floor: u8) {
        let process = &state.holders[holder];
        if floor >= process.inc && process.doing == Doing::Running {
            self.renew(state, holder, floor);
        }
    }

    /// A running holder goes on in a life above `inc`.
    fn renew(&self, state: &mut State, holder: usize, inc: u8) {
        if self.keeps(Rule::Renew) {
            let process = &mut state.holders[holder];
            (process.inc, process.counter) = (above(inc, holder), 0);
            if process.member {
                self.say(state, state.holders[holder].record(holder as u8));
            }
        }
    }

    /// Everybody may hear it from now on.
    fn say(&self, state: &mut State, record: Record) {
        let within = record.inc <= self.scope.inc_max && record.counter <= self.scope.counter_max;
        match record.index().filter(|_| within) {
            Some(index) => state.said |= 1 << index,
            None => state.beyond = true,
        }
    }
}

/// Returns the next life above `inc`: odd for the first process, even for the other. Lives come from clocks, so two
/// processes never draw the same; that is an assumption, and what breaks without it is told in docs/testing-models.md.
fn above(inc: u8, holder: usize) -> u8 {
    let next = inc + 1;
    next + u8::from(usize::from(next % 2) == holder)
}

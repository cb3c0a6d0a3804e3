//! Membership: what everybody believes of one rank, while its holder comes, goes, is suspected wrongly and rightly, and a
//! second process claims the same rank.
//!
//! Records of different ranks do not touch each other, so one rank is enough: two watchers, its holder, and the other claimant.
//! The network is the set of all records and floors ever spoken of; any of them may be heard by anybody at any later
//! time, or never. Timers are not here: whatever a timer may cause may happen at any time, also when it should not.
//! `docs/protocols/topology.md` has the rules.

mod heal;
mod record;
mod rule;
mod state;
mod step;

use stateright::{Model, Property};

pub(crate) use rule::Rule;
use state::{State, Watcher};
use step::Action;

/// Nodes that believe something of the rank.
pub(crate) const WATCHERS: usize = 2;
/// Processes that may hold it.
pub(crate) const HOLDERS: usize = 2;

/// How much can happen. Beyond it a state is not looked into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Processes that claim the rank, 1 or 2.
    pub(crate) holders: usize,
    /// The highest life.
    pub(crate) inc_max: u8,
    /// The highest counter.
    pub(crate) counter_max: u8,
    /// Restarts of watchers, which lose what they knew.
    pub(crate) restarts: u8,
}

/// The rules, all but one perhaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) scope: Scope,
    pub(crate) without: Option<Rule>,
}

impl Membership {
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// Names of the properties.
pub(crate) mod property {
    pub(crate) const ONE: &str = "no node takes a second live holder of a rank that it hears";
    pub(crate) const GONE: &str = "who left or was forgotten never comes back in that life";
    pub(crate) const FORWARD: &str = "a record never goes back";
    pub(crate) const ALIVE: &str = "a live member can still become alive everywhere";
    pub(crate) const EQUAL: &str = "tables can still become equal";
}

impl Model for Membership {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.scope)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        self.take(&mut next, action);
        (next != *state).then_some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        !state.beyond
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(property::ONE, |_, state: &State| !state.doubled),
            Property::always(property::GONE, |_, state: &State| state.keeps_away()),
            Property::always(property::FORWARD, |_, state: &State| !state.went_back),
            Property::always(property::ALIVE, |model: &Membership, state: &State| {
                model.can_be_alive(state)
            }),
            Property::always(property::EQUAL, |model: &Membership, state: &State| {
                model.can_be_equal(state)
            }),
            Property::sometimes("a suspicion is refuted", |_, state: &State| {
                all(state, |watcher| {
                    watcher.record.is_alive() && watcher.record.counter > 0
                })
            }),
            Property::sometimes("all know that it left", |_, state: &State| {
                all(state, |watcher| watcher.left > 0)
            }),
            Property::sometimes(
                "a forgotten rank is back in a new life",
                |_, state: &State| {
                    all(state, |watcher| {
                        watcher.floor > 0 && watcher.record.is_alive()
                    })
                },
            ),
        ];
        if self.scope.holders > 1 {
            properties.extend([
                Property::sometimes(
                    "the other claimant took the rank over",
                    |_, state: &State| {
                        all(state, |watcher| {
                            watcher.linked == 0b10 && watcher.record.holder == 1
                        })
                    },
                ),
                Property::sometimes("each watcher has another holder", |_, state: &State| {
                    state.watchers[0].linked == 0b01 && state.watchers[1].linked == 0b10
                }),
            ]);
        }
        properties
    }
}

fn all(state: &State, what: fn(&Watcher) -> bool) -> bool {
    state.watchers.iter().all(what)
}

//! The logs: every rank writes one, three nodes hold copies of each, and the network does what it likes.
//!
//! The network is the set of all that was ever said: at each step any node may be handed any batch, snapshot or word of a
//! position that somebody could have sent by then. So everything may be lost, doubled, late, or out of order, and a
//! node that crashed may be told things from before. An op brings a copy to life or ends one, so order matters.
//!
//! Beside the nodes stands what no node knows: what each life of a rank really wrote. `docs/protocols/oplog.md`
//! has the rules; a batch that waits behind a gap is the same here as one that is still on its way.

mod heal;
mod node;
mod rule;
mod state;
mod step;

use stateright::{Model, Property};

pub(crate) use rule::Rule;
use state::{Node, State};
use step::Action;

/// Nodes. All hold copies, the first [`Scope::origins`] also write.
pub(crate) const NODES: usize = 3;
/// Ranks that write at most.
pub(crate) const ORIGINS_MAX: usize = 2;

/// Ops of a log at most.
pub(crate) const OPS_MAX: usize = 4;
/// Lives of a rank at most: the first, one for each crash, and one for each time that it hears of its end.
pub(crate) const LIVES_MAX: usize = 6;

/// How much can happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Ranks that write.
    pub(crate) origins: usize,
    /// Ops of a log.
    pub(crate) ops: u8,
    /// Ops of a batch.
    pub(crate) batch: u8,
    /// Restarts that lose everything but the incarnation, all nodes together.
    pub(crate) crashes: u8,
    /// Times that a node forgets a rank, all nodes together.
    pub(crate) forgets: u8,
}

/// The rules, all but one perhaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    pub(crate) scope: Scope,
    pub(crate) without: Option<Rule>,
}

impl Log {
    /// Returns whether a rule is in force.
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// Names of the properties.
pub(crate) mod property {
    pub(crate) const PREFIX: &str = "a copy is the fold of a prefix of its log (I5)";
    pub(crate) const NAMES: &str = "a name is given to one op only (I6)";
    pub(crate) const FORWARD: &str = "positions never go back (I7)";
    pub(crate) const GONE: &str = "what was forgotten stays away (I7)";
    pub(crate) const AGREE: &str = "all can still come to agree";
}

impl Model for Log {
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
        if self.without.is_none() {
            // Those that only hold copies are alike. Where a way to a fault is shown, they keep their numbers.
            next.nodes[self.scope.origins..].sort_unstable();
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(property::PREFIX, |_, state: &State| state.is_prefix()),
            Property::always(property::NAMES, |_, state: &State| !state.renamed),
            Property::always(property::FORWARD, |_, state: &State| !state.went_back),
            Property::always(property::GONE, |_, state: &State| state.keeps_away()),
            Property::always(property::AGREE, |model: &Log, state: &State| {
                model.can_agree(state)
            }),
            Property::sometimes(
                "all hold all ops of all logs",
                |model: &Log, state: &State| {
                    let mut copies = state
                        .nodes
                        .iter()
                        .flat_map(|node| &node.copies[..model.scope.origins]);
                    copies.all(|copies| copies.seq == model.scope.ops && copies.live != 0)
                },
            ),
        ];
        if self.scope.crashes > 0 && self.scope.forgets > 0 {
            properties.extend([
                Property::sometimes("a copy is two lives behind", |_, state: &State| {
                    let [writer, copy, _] = state.nodes.map(|node| node.copies[0]);
                    copy.live != 0 && writer.inc >= copy.inc + 2
                }),
                Property::sometimes(
                    "a forgotten rank lives on with its copies",
                    |_, state: &State| {
                        let [writer, copy, _] = state.nodes;
                        copy.floors[0] > 0
                            && copy.copies[0].live != 0
                            && copy
                                == Node {
                                    forgot: copy.forgot,
                                    ..writer
                                }
                    },
                ),
            ]);
        }
        properties
    }
}

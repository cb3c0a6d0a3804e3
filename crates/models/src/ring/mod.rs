//! The ring check: a token goes round twice, and who sees its second lap knows that all members had one view.
//!
//! The network is the set of all tokens ever sent, so each may be lost, doubled and late. Who passes a token on may skip
//! whom it cannot reach, that is: anybody. Views change at any time. Beside the nodes stands which views each had since the
//! round began. One round is enough: tokens of two rounds have different names, so neither knows of the other. `docs/protocols/topology.md` has the rules.

mod state;

use stateright::{Model, Property};

use state::{Action, State};

/// Nodes, and the largest view.
pub(crate) const NODES: usize = 4;
/// The views that there are: the members, one bit for each. The second one differs from the first in a member's life only.
pub(crate) const VIEWS: [u8; 4] = [0b1111, 0b1111, 0b0111, 0b1011];

/// A rule of the ring check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A view counts as stable in the second lap only.
    SecondLap,
    /// Who was visited is compared with who is in the view.
    Visited,
    /// The token names the view, and whoever has another one says so.
    View,
    /// A member that has another view when the token comes says so for good.
    Fold,
}

impl Rule {
    pub(crate) const ALL: [Rule; 4] = [Rule::SecondLap, Rule::Visited, Rule::View, Rule::Fold];

    /// Returns what the rule says.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Rule::SecondLap => "a view is stable in the second lap only",
            Rule::Visited => "who was visited is compared with the view",
            Rule::View => "the token names the view",
            Rule::Fold => "who has another view says so in the token",
        }
    }
}

/// How much can happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Changes of a view, all nodes together.
    pub(crate) changes: u8,
}

/// The rules, all but one perhaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    pub(crate) scope: Scope,
    pub(crate) without: Option<Rule>,
}

impl Ring {
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

pub(crate) mod property {
    pub(crate) const STABLE: &str = "a stable view was every member's view during the round";
}

impl Model for Ring {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        (0..VIEWS.len() as u8)
            .map(|view| State::new(self.scope, view))
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        self.take(&mut next, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(property::STABLE, |_, state: &State| !state.wrong),
            Property::sometimes("all have the same stable view", |_, state: &State| {
                state.stable.iter().all(|stable| stable & 1 != 0)
            }),
            Property::sometimes("a view that changed becomes stable", |_, state: &State| {
                state.stable.iter().all(|stable| stable & 0b10 != 0)
            }),
            Property::sometimes("a smaller view becomes stable", |_, state: &State| {
                state.stable[..3].iter().all(|stable| stable & 0b100 != 0)
            }),
        ]
    }
}

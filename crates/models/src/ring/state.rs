//! Nodes, tokens, and what happens to them.

use super::{NODES, Ring, Rule, Scope, VIEWS};

/// A token of the round. Its view is the one that the initiator had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(crate) visited: u8,
    pub(crate) second: bool,
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Index of each node's view.
    pub(crate) views: [u8; NODES],
    /// The view of the round, once it began.
    pub(crate) round: Option<u8>,
    /// Tokens that somebody sent; one bit for each.
    pub(crate) sent: u32,
    pub(crate) changes: u8,
    /// Views that each node held to be stable; one bit for each.
    pub(crate) stable: [u8; NODES],
    /// Views that each node had since the round began; one bit for each. For the property only.
    pub(crate) since: [u8; NODES],
    /// A node took a view for stable that some member did not have.
    pub(crate) wrong: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A node begins the round.
    Begin { node: u8 },
    /// A token arrives, and is passed on.
    Arrive { at: u8, token: Token },
    /// A node's view changes.
    Change { node: u8, view: u8 },
}

impl Token {
    fn bit(self) -> u32 {
        1 << (u32::from(self.visited) * 2 + u32::from(self.second))
    }

    /// Returns all that there can be.
    fn all() -> impl Iterator<Item = Token> {
        (0..1 << NODES).flat_map(|visited| [false, true].map(|second| Token { visited, second }))
    }
}

impl State {
    /// The members of a view have it; who is not in it has the first one.
    pub(crate) fn new(scope: Scope, view: u8) -> State {
        let members = VIEWS[usize::from(view)];
        State {
            views: std::array::from_fn(|node| if members & (1 << node) != 0 { view } else { 0 }),
            round: None,
            sent: 0,
            changes: scope.changes,
            stable: [0; NODES],
            since: [0; NODES],
            wrong: false,
        }
    }
}

impl Ring {
    pub(crate) fn possible(&self, state: &State, out: &mut Vec<Action>) {
        let nodes = 0..NODES as u8;
        if state.round.is_none() {
            out.extend(nodes.clone().map(|node| Action::Begin { node }));
        }
        for token in Token::all().filter(|token| state.sent & token.bit() != 0) {
            out.extend(nodes.clone().map(|at| Action::Arrive { at, token }));
        }
        if state.changes > 0 {
            for node in nodes {
                let views = (0..)
                    .zip(VIEWS)
                    .filter(|(_, members)| members & (1 << node) != 0);
                out.extend(views.map(|(view, _)| Action::Change { node, view }));
            }
        }
    }

    pub(crate) fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::Begin { node } => {
                state.round = Some(state.views[usize::from(node)]);
                state.since = state.views.map(|view| 1 << view);
                state.sent = Token {
                    visited: 1 << node,
                    second: false,
                }
                .bit();
            }
            Action::Arrive { at, token } => self.arrive(state, usize::from(at), token),
            Action::Change { node, view } => {
                let node = usize::from(node);
                if state.views[node] != view {
                    state.views[node] = view;
                    state.changes -= 1;
                    state.since[node] |= u8::from(state.round.is_some()) << view;
                }
            }
        }
    }

    /// A node takes a token and passes it on. One that somebody disagreed with is of no use to anybody, and not passed on.
    fn arrive(&self, state: &mut State, at: usize, mut token: Token) {
        let mine = state.views[at];
        let members = VIEWS[usize::from(mine)];
        let same = state.round == Some(mine) || !self.keeps(Rule::View);
        if !token.second {
            if !same && self.keeps(Rule::Fold) {
                return;
            }
            token.visited |= 1 << at;
            // Who has visited all begins the second lap. Only the view tells who all are.
            token.second = token.visited == members || !self.keeps(Rule::Visited);
        }
        let complete = token.second && (token.visited == members || !self.keeps(Rule::Visited));
        if same && (complete || !self.keeps(Rule::SecondLap)) {
            state.stable[at] |= 1 << mine;
            let had = |member: usize| state.since[member] & (1 << mine) != 0;
            state.wrong |= (0..NODES).any(|member| members & (1 << member) != 0 && !had(member));
        }
        state.sent |= token.bit();
    }
}

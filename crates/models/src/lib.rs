//! Abstract models of the protocols, searched exhaustively in a small scope.
//!
//! A model is the rules of a protocol without its bytes, timers and queues: nodes, what they hold, and every order in which
//! anything can happen to them. A search visits each state that can be reached and looks for one that breaks a property.
//! Each rule can be switched off, and then the search must find such a state: so the rule is needed, and the
//! property is able to fail. `cargo xtask models` runs [`cases`]; `docs/testing-models.md` tells what is shown by them.
//!
//! Not in here: the code of the protocols. That the real nodes keep to the rules is what `sim` looks at.

mod check;
mod log;
mod membership;
mod ring;
mod suite;

pub use check::{Outcome, Violation};
pub use suite::{Case, cases};

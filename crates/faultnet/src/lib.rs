//! A TCP proxy in user space whose way can be cut, swallowed, held, delayed and throttled while it runs.
//!
//! ```text
//! Proxy        an address in front of another one; applies a Condition
//!   carry        one connection: waits for the way to be open, dials the target
//!     pump         one direction of it: a bounded queue of bytes that are due later
//!       Pace         when
//! ```
//!
//! What it does not do: lose, repeat or reorder what TCP delivers. A stream that lost bytes is reset, never mended.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod limits;

mod condition;

mod pace;

mod carry;
mod pump;

mod proxy;

pub use condition::{Condition, Flow, Side, Way};
pub use proxy::{Counts, Proxy};

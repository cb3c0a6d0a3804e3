//! A naive model of the index, and the claims that hold against it.

mod claims;
mod naive;
mod ops;

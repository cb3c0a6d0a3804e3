//! TLS over real sockets, with certificates made for the occasion.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions, but not the helpers of a test file"
)]

mod conformance;
mod files;
mod flood;
mod pki;
mod raw;
mod refusals;
mod reload;

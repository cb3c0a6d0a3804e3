//! Framed, prioritised, reconnecting message links behind one trait.
//!
//! ```text
//! Links       one connection to each wanted peer: dials, accepts, replaces, reconnects
//!   Connection    three lanes, encoded in place; a task that reads, delivers, writes, in turns
//!     handshake       who is there: cluster, node, epoch, protocol
//!       frame             [length][version][kind][flags][crc32c][payload]
//!         Transport           a byte stream: Tcp, with or without tls; mem::Network
//! ```
//!
//! What the crate does not do: it knows no message and gives no delivery guarantee across connections. A frame that was accepted arrives whole, once, and in the order of its lane, or the connection ends.
//!
//! Nothing blocks and everything is bounded: a full lane refuses frames ([`SendError::Full`]), a full receiver
//! holds up its sender ([`Handler::poll_ready`]), and each limit is a field of [`Limits`] whose reaching is
//! counted ([`Counters`]). Nothing that a peer sends can make this end panic or allocate beyond its limits.
//!
//! The wire format is `docs/protocols/framing.md`. All runs well on a single-threaded tokio runtime.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod identity;
mod lane;
mod limits;

mod error;

mod counters;

mod stream;

mod claims;
mod frame;
mod handshake;

mod handler;
mod lane_queue;

mod inbound;
mod outbound;
mod window;

mod connection;
mod driver;

mod transport;

mod gate;

pub mod mem;
mod tcp;
pub mod tls;

mod backoff;
mod keeper;
mod links;

pub mod conformance;

#[cfg(test)]
mod fuzz;

pub use connection::Connection;
pub use counters::Counters;
pub use error::{
    AcceptError, CloseReason, ConnectError, HandshakeError, ListenError, ProtocolError,
    RejectReason, Rejection, SendError,
};
pub use handler::{Handler, Verdict};
pub use identity::{Identity, Local, Newcomer, NodeId, Peer};
pub use lane::Lane;
pub use limits::{Limits, LimitsError};
pub use links::{LinkHandler, Links};
pub use stream::Duplex;
pub use tcp::Tcp;
pub use transport::{Listener, Security, Transport};

//! Who is in the ring, who of them is up, and along which arcs a broadcast travels.
//!
//! Pure state machine: time and the random seed are handed in, everything to do comes out as an
//! [`Output`]. It never looks into what a broadcast carries and never deletes anything: a member
//! that is down is only left out of the arcs. The rules are `docs/protocols/topology.md`, TOPO-1 ff.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod config;
mod heartbeat;
mod input;
pub mod limits;
mod member;
mod output;
mod ring;
pub mod ring_round;
mod topology;
mod watch;

pub use config::{Config, ConfigError};
pub use heartbeat::Heartbeat;
pub use input::Input;
pub use member::{MemberView, Role, Status};
pub use output::{Event, Output};
pub use ring::{Arc, Ring};
pub use ring_round::{RingRound, Semilattice};
pub use topology::Topology;

//! Who is in the ring, who of them takes part, and along which arcs a broadcast travels.
//!
//! Pure state machine: time and the random seed are handed in, everything to do comes out as an
//! [`Output`]. It never looks into what a broadcast carries; a member that is not reached is only left
//! out of the arcs. The rules are `docs/protocols/topology.md`, TOPO-1 ff.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod ask;
pub mod bounded;
mod config;
mod exchange;
mod forget;
mod health;
mod input;
mod introduce;
mod learn;
pub mod limits;
mod link;
mod linking;
mod member;
mod message;
mod output;
mod probe;
mod questions;
mod record;
mod ring;
pub mod ring_round;
mod round;
mod spread;
mod suspicion;
mod table;
mod timers;
mod topology;
mod watch;

pub use config::{Config, ConfigError, Fanout, Seed};
pub use forget::ForgetError;
pub use input::Input;
pub use introduce::IntroduceError;
pub use member::{MemberView, Reach};
pub use message::{Heartbeat, Message};
pub use output::{Event, Output};
pub use record::{Record, Role, Status};
pub use ring::{Arc, Ring};
pub use ring_round::{RingRound, Semilattice};
pub use table::ViewId;
pub use topology::Topology;

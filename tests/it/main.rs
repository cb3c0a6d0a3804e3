//! Real processes over real sockets: what only whole nodes together can show. No fixed ports, no sleeps: every wait
//! is a poll with a deadline.

mod command_line;
mod configuration;
mod engines;
mod members;
mod refusals;
mod replication;
mod restart;
mod routing;
mod security;
mod support;

//! Faults on real processes: what happens when ([`schedule`]), how links suffer ([`proxies`]), carrying it out on the
//! cluster ([`drive`]), and what requests made of it ([`phases`]).

mod drive;
mod kind;
mod phases;
mod proxies;
mod schedule;

pub(crate) use drive::{Drive, Outcome, forget_waits};
pub(crate) use kind::{Kind, Kinds};
pub(crate) use phases::FalseHitRate;
pub(crate) use proxies::Proxies;
pub(crate) use schedule::Schedule;

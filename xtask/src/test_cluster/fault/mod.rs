//! Faults on real processes: what happens when ([`schedule`]), what makes links suffer ([`links`], [`proxies`]), carrying
//! it out on the cluster ([`drive`]) until it has healed ([`heal`]), what requests made of it ([`phases`]), and what
//! memory it took ([`memory`]). In a churn, members come and go ([`membership`]).

mod drive;
mod heal;
mod kind;
mod links;
mod membership;
mod memory;
mod phases;
mod proxies;
mod schedule;

pub(crate) use drive::{Drive, Outcome, forget_waits};
pub(crate) use kind::{Kind, Kinds};
pub(crate) use links::Links;
pub(crate) use membership::Membership;
pub(crate) use memory::Memory;
pub(crate) use phases::{FalseHitRate, Halt, Phases};
pub(crate) use proxies::Proxies;
pub(crate) use schedule::{Fault, How, JOINERS, Schedule};

use radixmesh::topology::Role;

/// Returns what the nodes do that join at run time, in their order: they are prefill and decode nodes in turn.
pub(crate) fn joiner_role(number: u16) -> Role {
    match number % 2 {
        0 => Role::Prefill,
        _ => Role::Decode,
    }
}

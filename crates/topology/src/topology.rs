//! The state machine.

use std::collections::BTreeMap;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;

use crate::config::{Config, ConfigError};
use crate::input::Input;
use crate::limits;
use crate::member::{MemberView, Reach};
use crate::output::Output;
use crate::record::{Record, Status};
use crate::ring::{Arc, Ring};
use crate::table::{Table, ViewId};

/// One node's view of the ring.
#[derive(Clone, Debug)]
pub struct Topology {
    config: Config,
    position: (Incarnation, Seq),
    table: Table,
    links: BTreeMap<Rank, bool>,
    ring: Ring,
    revision: u64,
}

impl Topology {
    /// Builds the view of a node that has no link yet.
    ///
    /// Errors: [`ConfigError`]; nothing was built.
    pub fn new(config: Config, now: Timestamp) -> Result<Topology, ConfigError> {
        config.check()?;
        let _ = now;
        let mut table = Table::default();
        for seed in &config.seeds {
            table.put(Record::never_seen(
                seed.rank,
                seed.role,
                seed.address.clone(),
            ));
        }
        let ring = Ring::new(config.me, config.seeds.iter().map(|seed| seed.rank));
        Ok(Topology {
            position: (Incarnation::default(), Seq::ZERO),
            table,
            links: BTreeMap::new(),
            ring,
            revision: 0,
            config,
        })
    }

    /// Takes one input; appends what follows from it to `out`. Total, never blocks.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        let _ = (now, out);
        match input {
            Input::Position(inc, seq) => self.position = (inc, seq),
            Input::Tick
            | Input::LinkUp { .. }
            | Input::LinkDown { .. }
            | Input::LinkSlow { .. }
            | Input::LinkDrained { .. }
            | Input::Heard { .. }
            | Input::Message { .. }
            | Input::Table(_)
            | Input::Introduce { .. }
            | Input::Leave
            | Input::Forget { .. }
            | Input::Floor { .. } => {}
        }
    }

    /// Returns when [`Input::Tick`] is due; `None` for a node that is alone.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// Replaces `out` by the delegates of the open arc from this node to `end`; `end == me` is the whole ring.
    pub fn arcs(&self, end: Rank, out: &mut Vec<Arc>) {
        self.ring
            .arcs(self.config.fanout.arms(self.table.in_view()), end, out);
    }

    /// Returns the hops that a fresh broadcast may travel. Arcs end it long before; this is defence only.
    // spec: TOPO-6
    #[must_use]
    pub fn ttl_initial(&self) -> u16 {
        let members = u16::try_from(self.table.len()).unwrap_or(u16::MAX);
        members.saturating_add(limits::TTL_SLACK)
    }

    /// Returns this node's rank.
    #[must_use]
    pub fn me(&self) -> Rank {
        self.config.me
    }

    /// Returns the settings this view was built from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns a number that grows by one with every [`Output::StatusChanged`].
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the name of the set of members that take part.
    #[must_use]
    pub fn view_id(&self) -> ViewId {
        self.table.view_id()
    }

    /// Returns a hash of everything that this node knows of members and tells others.
    #[must_use]
    pub fn table_hash(&self) -> u64 {
        self.table.hash()
    }

    /// Returns how many members take part (alive or suspected), this node included.
    #[must_use]
    pub fn members_in_view(&self) -> usize {
        self.table.in_view()
    }

    /// Returns this node's local health: 0 is healthy, verdicts take `1 + health` times as long.
    #[must_use]
    pub fn health(&self) -> u32 {
        0
    }

    /// Returns every record that is told to others, in rank order.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.table.seen(Rank(0), Rank(u16::MAX))
    }

    /// Returns all members in rank order, this node and never seen seeds included.
    pub fn members(&self) -> impl Iterator<Item = MemberView<'_>> + '_ {
        self.table.records().map(|record| self.view_of(record))
    }

    /// Returns one member, this node included.
    #[must_use]
    pub fn member(&self, rank: Rank) -> Option<MemberView<'_>> {
        self.table.get(rank).map(|record| self.view_of(record))
    }

    /// Returns who is to be linked, and where: every member but this one, in rank order.
    pub fn peers(&self) -> impl Iterator<Item = (Rank, &str)> + '_ {
        let others = self
            .table
            .records()
            .filter(|record| record.rank != self.config.me && record.status != Status::Left);
        others.map(|record| (record.rank, record.address.as_str()))
    }

    /// Returns the members that this node can exchange frames with now, in ring order behind it.
    pub fn direct(&self) -> impl Iterator<Item = Rank> + '_ {
        self.ring.up()
    }

    /// Returns the living members that others reach and this node does not, in rank order.
    pub fn degraded_links(&self) -> impl Iterator<Item = Rank> + '_ {
        self.members()
            .filter(|member| member.status == Status::Alive && member.reach == Reach::Degraded)
            .map(|member| member.rank)
    }

    /// Returns the next member behind this node that broadcasts are delegated to.
    #[must_use]
    pub fn successor(&self) -> Option<Rank> {
        self.ring.successor()
    }

    fn view_of<'a>(&'a self, record: &'a Record) -> MemberView<'a> {
        MemberView {
            rank: record.rank,
            role: record.role,
            address: &record.address,
            status: record.status,
            inc: record.inc,
            counter: record.counter,
            reach: Reach::Unknown,
            linked: self.links.contains_key(&record.rank),
            slow: false,
            position: self.position,
            last_heard: None,
        }
    }
}

//! Whether the core agrees: equal logs, everybody Ready, one view, equal floors; and in words what differs.

use oplog::OriginDigests;
use radix_core::id::{Incarnation, OriginId, Rank};
use topology::Status;

use crate::misery::Misery;
use crate::world::World;

impl World {
    /// Returns what one node of the core must hold of a rank: what its origin has, or what the first of the core holds.
    fn wanted(&self, rank: usize) -> Option<OriginDigests> {
        let node = if self.is_core(self.home[rank]) {
            self.home[rank]
        } else {
            *self.home.iter().find(|node| self.is_core(**node))?
        };
        self.slots[node].life.as_ref()?.seen[rank]
    }

    fn differs(&self, node: usize, rank: usize) -> bool {
        let Some(life) = &self.slots[node].life else {
            return true;
        };
        let (has, wanted) = (life.seen[rank], self.wanted(rank));
        if self.is_core(self.home[rank]) {
            return wanted.is_none() || has != wanted;
        }
        // A damaged log whose origin is gone cannot be told from a sound one.
        let origin = |inc| OriginId {
            rank: Rank(rank as u16),
            inc,
        };
        has != wanted
            && !wanted.is_some_and(|wanted| self.tainted.contains_key(&origin(wanted.inc)))
            && !has.is_some_and(|has| self.tainted.contains_key(&origin(has.inc)))
    }

    /// Returns whether the core does not agree about its own logs, or one of it is not Ready.
    pub(crate) fn core_differs(&self) -> bool {
        let core = || self.home.iter().copied().filter(|node| self.is_core(*node));
        core().any(|node| {
            let life = self.slots[node].life.as_ref();
            !life.is_some_and(|life| life.node.is_ready())
                || core().any(|other| self.differs(node, usize::from(self.slots[other].rank.0)))
        })
    }

    /// Returns a node of the core and a rank that do not agree with the rank's own account, or a node that is not Ready.
    pub(crate) fn first_difference(&mut self) -> Option<(usize, Option<usize>)> {
        // What differed before is the likeliest to differ still.
        let (node, rank) = self.hint;
        if self.is_core(node) && self.differs(node, rank) {
            return Some((node, Some(rank)));
        }
        for home in 0..self.ranks() {
            let node = self.home[home];
            if !self.is_core(node) {
                continue;
            }
            for rank in 0..self.ranks() {
                if self.differs(node, rank) {
                    self.hint = (node, rank);
                    return Some((node, Some(rank)));
                }
            }
            let life = self.slots[node].life.as_ref();
            if !life.is_some_and(|life| life.node.is_ready()) {
                return Some((node, None));
            }
        }
        None
    }

    /// Returns a node of the core that would not route to another one of it, would to one that is gone, or has another view.
    pub(crate) fn first_hidden(&self) -> Option<(usize, String)> {
        let core = || self.home.iter().copied().filter(|node| self.is_core(*node));
        let mut first = None;
        for node in core() {
            let Some(life) = &self.slots[node].life else {
                return Some((node, "is dead".into()));
            };
            let view = life.node.view_id();
            if *first.get_or_insert(view) != view {
                return Some((node, "has another view than the first of the core".into()));
            }
        }
        let hidden = core().find_map(|node| Some((node, self.hidden_from(node)?)));
        hidden.or_else(|| self.first_floor())
    }

    /// Returns the first node of the core that forgot something else than the first of it.
    fn first_floor(&self) -> Option<(usize, String)> {
        let floors = |node: usize| {
            let life = self.slots[node].life.as_ref();
            let vector = life.map(|life| life.node.replica().version_vector());
            let entries = vector.into_iter().flat_map(|vector| vector.0);
            let floors = entries.filter(|(_, entry)| entry.floor != Incarnation(0));
            floors
                .map(|(rank, entry)| (rank, entry.floor))
                .collect::<Vec<_>>()
        };
        let mut core = self.home.iter().copied().filter(|node| self.is_core(*node));
        let first = floors(core.next()?);
        core.find(|node| floors(*node) != first).map(|node| {
            (
                node,
                format!("forgot {:?}, the first {first:?}", floors(node)),
            )
        })
    }

    fn hidden_from(&self, node: usize) -> Option<String> {
        let life = self.slots[node].life.as_ref()?;
        let members = life.node.members();
        for home in self.home.iter().copied().filter(|home| *home != node) {
            let rank = self.slots[home].rank;
            let member = members.iter().find(|member| member.rank == rank);
            let status = member.map(|member| member.status);
            if self.is_core(home) {
                // Who does not hear a member may not know it to be Ready.
                let hears = !self.links.is_deaf(home, node);
                let inc = self.slots[home].life.as_ref().map(|life| life.origin.inc);
                if !member
                    .is_some_and(|member| (member.routable() || !hears) && Some(member.life) == inc)
                {
                    return Some(format!("believes of rank {rank}: {member:?}"));
                }
            } else if self.is_gone_for_good(home) && status.is_some_and(Status::in_view) {
                return Some(format!(
                    "believes of rank {rank}, which is gone: {member:?}"
                ));
            }
        }
        None
    }

    fn is_gone_for_good(&self, node: usize) -> bool {
        match self.slots[node].misery {
            Some(Misery::Dead | Misery::Stopped | Misery::Absent) => true,
            Some(
                Misery::Unheard
                | Misery::Deaf
                | Misery::Flapping
                | Misery::Crashing
                | Misery::Lossy
                | Misery::Slow,
            )
            | None => false,
        }
    }

    /// Says what [`first_difference`](Self::first_difference) found, and who is outside the core.
    pub(crate) fn describe_difference(&mut self) -> String {
        let mut what = self.describe_first();
        for slot in &self.slots {
            if let Some(misery) = slot.misery {
                what += &format!("; rank {} is outside the core: {misery:?}", slot.rank);
            }
        }
        if let Some((from, to)) = self.one_way {
            what += &format!("; rank {to} does not hear rank {from}");
        }
        what
    }

    fn describe_first(&mut self) -> String {
        let Some((node, rank)) = self.first_difference() else {
            return match self.first_hidden() {
                Some((node, what)) => format!("rank {} {what}", self.slots[node].rank),
                None => "nothing differs".into(),
            };
        };
        let Some(life) = &self.slots[node].life else {
            return format!("rank {node} is dead");
        };
        let Some(rank) = rank else {
            let has = |rank: Rank| life.seen[usize::from(rank.0)].map(|log| (log.inc, log.seq));
            let join = life.join.as_ref();
            let floor = |_| Incarnation(0);
            let lacks = join.and_then(|join| join.lacks(self.slots[node].rank, has, floor));
            let reason = life.node.not_ready();
            return format!("rank {node} is not Ready: {reason:?}; {lacks:?}");
        };
        let log = life
            .node
            .replica()
            .logs()
            .find(|log| usize::from(log.origin.rank.0) == rank);
        let (has, wanted) = (life.seen[rank], self.wanted(rank));
        format!("rank {node} has {has:?} of rank {rank}, which should be {wanted:?}; {log:?}")
    }
}

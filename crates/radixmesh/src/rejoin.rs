//! Finds out that the others know this node no longer, or that another process has its rank. A node that is alone and
//! refused as unknown, or that joined and is alone for long, introduces itself again; so does one that has forgotten the
//! member it joined through, as after a long partition, for that one has forgotten it, too. One whose rank is taken for
//! good ends. Whoever knows this node learns of it by itself: an introduction there would only cost it a life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use node::Input;
use radix_core::id::Rank;
use radix_core::time::Timestamp;
use transport::{Links, NodeId, RejectReason, Rejection};

use crate::clock;
use crate::core::node_id;
use crate::driver::Shared;
use crate::ended::Ended;
use crate::join::{Refused, Welcome, introduce};

/// Longest pause between two introductions.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How many times the time in which a silent member is noticed a node may be alone before it introduces itself.
const ALONE: u32 = 3;

/// What the links say of this node's standing.
#[derive(Debug)]
pub(crate) struct Standing {
    links_up: usize,
    /// Since when no link is up.
    alone_since: Option<Timestamp>,
    /// A peer refused this node as unknown since a link was up or it introduced itself.
    is_unknown: bool,
    /// Since when peers say that another process has the rank, and what they said; forgotten with every link that comes up.
    taken: Option<(Timestamp, String)>,
    /// Addresses at which this node was welcomed, and who was there.
    pub(crate) greeted: BTreeMap<String, NodeId>,
}

impl Standing {
    pub(crate) fn new(now: Timestamp) -> Standing {
        Standing {
            links_up: 0,
            alone_since: Some(now),
            is_unknown: false,
            taken: None,
            greeted: BTreeMap::new(),
        }
    }

    pub(crate) fn link_up(&mut self) {
        self.links_up += 1;
        self.alone_since = None;
        self.is_unknown = false;
        self.taken = None;
    }

    pub(crate) fn link_down(&mut self, now: Timestamp) {
        self.links_up = self.links_up.saturating_sub(1);
        if self.links_up == 0 {
            self.alone_since = Some(now);
        }
    }

    pub(crate) fn refused(&mut self, by: NodeId, why: &Rejection, now: Timestamp) {
        match why.reason {
            RejectReason::UnknownNode => self.is_unknown = true,
            RejectReason::RankTaken | RejectReason::StaleEpoch => {
                self.is_taken(&format!("rank {by} says: {}", why.text), now);
            }
            _ => {}
        }
    }

    /// Returns whether nobody is likely to link with this node by itself. One that is configured is dialed and dials for
    /// ever, until somebody says that it is unknown.
    fn is_lost(&self, joined: bool, alone_max: Duration, now: Timestamp) -> bool {
        self.alone_since
            .is_some_and(|since| self.is_unknown || (joined && now.since(since) >= alone_max))
    }

    fn is_taken(&mut self, why: &str, now: Timestamp) {
        if self.links_up > 0 {
            return;
        }
        match &mut self.taken {
            Some((_, said)) => *said = why.to_owned(),
            None => self.taken = Some((now, why.to_owned())),
        }
    }

    /// Returns what the peers said, when they have said for `limit` that another process has the rank.
    fn taken_for(&self, limit: Duration, now: Timestamp) -> Option<String> {
        let (since, why) = self.taken.as_ref()?;
        (now.since(*since) >= limit).then(|| why.clone())
    }
}

/// Looks at the standing now and then, for as long as the node runs.
pub(crate) async fn watch(shared: Arc<Shared>, links: Links) {
    let config = &shared.config;
    let alone_max = config.heartbeat * u32::from(config.misses.max(1)) * ALONE;
    let mut pause = config.heartbeat;
    let mut at = 0;
    loop {
        tokio::time::sleep(pause).await;
        let now = clock::now();
        let is_lost = {
            let mut core = shared.core();
            if let Some(why) = core.standing.taken_for(config.join_timeout, now) {
                core.ended = Some(Ended::RankTaken { why });
                shared.settle(&mut core);
                return;
            }
            core.standing.is_lost(config.join.is_some(), alone_max, now)
        };
        let addresses = if is_lost {
            everybody(&shared)
        } else {
            forgotten(&shared)
        };
        let Some(address) = addresses.get(at % addresses.len().max(1)) else {
            pause = config.heartbeat;
            continue;
        };
        at = at.wrapping_add(1);
        match introduce(&links, config, address).await {
            Ok(Welcome { records, greeted }) => {
                let mut core = shared.core();
                core.standing.is_unknown = false;
                core.standing.greeted.extend([greeted]);
                core.handle(Input::Table(records));
                shared.settle(&mut core);
            }
            Err(Refused::Taken(why)) => shared.core().standing.is_taken(&why, clock::now()),
            Err(Refused::NotNow(why) | Refused::Never(why)) => {
                tracing::info!(%why, "not introduced again yet");
            }
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Where this node was welcomed by a member that it has forgotten meanwhile. An address may be spelled otherwise than
/// its member does, so who was there counts.
fn forgotten(shared: &Shared) -> Vec<String> {
    let roster = shared.roster.load();
    let knows = |node: NodeId| {
        roster
            .members
            .iter()
            .any(|member| node_id(member.rank) == node)
    };
    let core = shared.core();
    let greeted = core.standing.greeted.iter();
    let gone = greeted.filter(|(_, node)| !knows(**node));
    gone.map(|(address, _)| address.clone()).collect()
}

/// Whom a node that is lost may ask: those that were named for joining, then every member.
fn everybody(shared: &Shared) -> Vec<String> {
    let config = &shared.config;
    let own = &config.own().address;
    let named = config.join.iter().flat_map(|join| &join.addresses);
    let mut all: Vec<String> = named.cloned().collect();
    let roster = shared.roster.load();
    let members = roster.addresses.iter();
    let reached = |(rank, at): (&Rank, &String)| config.via.get(rank).unwrap_or(at).clone();
    all.extend(members.map(reached));
    all.retain(|address| address != own && !address.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    #[test]
    fn who_is_linked_is_not_lost_and_who_is_configured_only_when_it_is_unknown() {
        let long = Duration::from_secs(9);
        let unknown = RejectReason::UnknownNode.because("node 3 has no peer 7");
        let mut standing = Standing::new(at(0));
        assert!(!standing.is_lost(true, long, at(8_999)));
        assert!(standing.is_lost(true, long, at(9_000)));
        assert!(!standing.is_lost(false, long, at(99_000)));
        standing.refused(NodeId(3), &unknown, at(1));
        assert!(standing.is_lost(false, long, at(2)) && standing.is_lost(true, long, at(2)));
        standing.link_up();
        standing.refused(NodeId(4), &unknown, at(3));
        assert!(!standing.is_lost(true, long, at(99_000)), "somebody links");
        standing.link_up();
        standing.link_down(at(100_000));
        standing.link_down(at(100_000));
        assert!(!standing.is_lost(true, long, at(100_001)));
    }

    #[test]
    fn a_rank_is_lost_when_all_say_so_for_long_and_no_link_is_up() {
        let limit = Duration::from_secs(1);
        let taken = RejectReason::RankTaken.because("it lives at 10.0.0.9:7000");
        let mut standing = Standing::new(at(0));
        standing.refused(NodeId(3), &taken, at(10));
        assert_eq!(standing.taken_for(limit, at(1_009)), None);
        let why = standing.taken_for(limit, at(1_010)).unwrap();
        assert_eq!(why, "rank 3 says: it lives at 10.0.0.9:7000");
        standing.link_up();
        assert_eq!(standing.taken_for(limit, at(9_000)), None);
        standing.refused(NodeId(3), &taken, at(9_000));
        assert_eq!(
            standing.taken_for(limit, at(99_000)),
            None,
            "somebody links"
        );
        standing.link_down(at(99_000));
        standing.refused(NodeId(4), &taken, at(99_000));
        assert!(standing.taken_for(limit, at(100_000)).is_some());
    }
}

//! Who the members are at one instant, for everybody who only reads: lookups, routing, the admin port.

use std::collections::BTreeMap;
use std::sync::Arc;

use node::{MemberView, Node};
use radix_core::id::Rank;
use routing::{Candidate, Policy};
use topology::Role;

use crate::config::Config;

/// See the module.
pub(crate) struct Roster {
    pub(crate) members: Arc<Vec<MemberView>>,
    /// Where each member is reached; not those that left.
    pub(crate) addresses: BTreeMap<Rank, String>,
    /// Knows every candidate, routable or not.
    pub(crate) policy: Arc<Policy>,
}

impl Roster {
    /// Looks at a node for the first time. `policy` knows no candidates yet.
    pub(crate) fn first(node: &Node, config: &Config, policy: Policy) -> Roster {
        let nobody = Roster {
            members: Arc::default(),
            addresses: BTreeMap::new(),
            policy: Arc::new(policy),
        };
        nobody.next(node, config)
    }

    /// Looks at the node again. The policy is built anew only when the candidates are others.
    pub(crate) fn next(&self, node: &Node, config: &Config) -> Roster {
        let members = node.members();
        let roles = members.iter().map(|member| (member.rank, member.role));
        config.roles.set(roles.clone());
        let before = self.members.iter();
        let policy = if roles.eq(before.map(|member| (member.rank, member.role))) {
            Arc::clone(&self.policy)
        } else {
            let mut policy = Policy::clone(&self.policy);
            policy.update(&members.iter().filter_map(candidate).collect::<Vec<_>>());
            Arc::new(policy)
        };
        let peers = node.peers().map(|(rank, at)| (rank, at.to_owned()));
        let own = (config.me, config.own().address.clone());
        Roster {
            members: Arc::new(members),
            addresses: peers.chain([own]).collect(),
            policy,
        }
    }
}

/// What routing needs to know of a member; nothing of one that only routes.
pub(crate) fn candidate(member: &MemberView) -> Option<Candidate> {
    let role = match member.role {
        Role::Prefill => routing::Role::Prefill,
        Role::Decode => routing::Role::Decode,
        Role::Router => return None,
    };
    Some(Candidate {
        rank: member.rank,
        role,
        routable: member.routable(),
        matched: 0,
        matched_device: 0,
    })
}

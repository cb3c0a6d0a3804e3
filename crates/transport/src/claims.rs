//! What an end claims to be, and whether that fits this end and what was proved. Whom the layer above lets in is its
//! business.

use serde::{Deserialize, Serialize};

use crate::error::{RejectReason, Rejection};
use crate::identity::{Identity, NodeId, Peer};
use crate::limits::Limits;
use crate::tls::Proof;

/// One end's words about itself, in every handshake frame that opens or welcomes. The order of the fields is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    protocol_min: u16,
    protocol_max: u16,
    cluster: u128,
    node: NodeId,
    epoch: u64,
    boot: u64,
    config_hash: u64,
    frame_bytes_max: u32,
}

impl Claims {
    pub(crate) fn of(identity: &Identity, limits: &Limits) -> Claims {
        Claims {
            protocol_min: identity.protocol.0,
            protocol_max: identity.protocol.1,
            cluster: identity.cluster,
            node: identity.node,
            epoch: identity.epoch,
            boot: identity.boot,
            config_hash: identity.config_hash,
            frame_bytes_max: u32::try_from(limits.frame_bytes_max)
                .expect("frames are limited to 64 MiB"),
        }
    }

    /// The largest payload that the claiming end takes, in bytes.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max as usize
    }

    /// Judges a node that is to be linked, by what it claims and by what it proved. Returns the agreed protocol.
    ///
    /// The order is the one in which a person would want to hear of it.
    // spec: SHAKE-4, TLS-3
    pub(crate) fn judge(&self, me: &Identity, proof: Option<&Proof>) -> Result<u16, Rejection> {
        if let Some(proof) = proof {
            proof.check_node(self.node)?;
            proof.check_role(self.node)?;
        }
        self.check(me)
    }

    /// Judges a node at either end of an introduction: the same, but that its role need not be known here.
    // spec: SHAKE-9
    pub(crate) fn judge_newcomer(
        &self,
        me: &Identity,
        proof: Option<&Proof>,
    ) -> Result<u16, Rejection> {
        proof.map_or(Ok(()), |proof| proof.check_node(self.node))?;
        self.check(me)
    }

    fn check(&self, me: &Identity) -> Result<u16, Rejection> {
        if self.cluster != me.cluster {
            return Err(RejectReason::Cluster.because(format!("cluster is {:032x}", me.cluster)));
        }
        if self.node == me.node {
            let whom = if self.boot == me.boot {
                "this process itself"
            } else {
                "another process claims to be it"
            };
            return Err(
                RejectReason::OwnNode.because(format!("node {} is this end: {whom}", me.node))
            );
        }
        let protocol = self.protocol_max.min(me.protocol.1);
        if protocol < self.protocol_min.max(me.protocol.0) {
            let (min, max) = me.protocol;
            return Err(
                RejectReason::Protocol.because(format!("node {} speaks {min} to {max}", me.node))
            );
        }
        if self.config_hash != me.config_hash {
            return Err(RejectReason::Config
                .because(format!("node {} has {:016x}", me.node, me.config_hash)));
        }
        Ok(protocol)
    }

    pub(crate) fn peer(&self, protocol: u16, address: &str) -> Peer {
        Peer {
            node: self.node,
            epoch: self.epoch,
            boot: self.boot,
            protocol,
            address: address.to_owned(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn identity() -> Identity {
        Identity {
            cluster: 0xc1,
            node: NodeId(3),
            epoch: 9,
            boot: 0xb0,
            config_hash: 0xcf,
            protocol: (1, 4),
        }
    }

    #[test]
    fn the_highest_common_protocol_is_agreed() {
        let check = |mine, theirs: (u16, u16)| {
            let me = Identity {
                protocol: mine,
                node: NodeId(4),
                ..identity()
            };
            let them = Identity {
                protocol: theirs,
                ..identity()
            };
            Claims::of(&them, &Limits::default()).check(&me)
        };
        assert_eq!(check((1, 4), (1, 4)), Ok(4));
        assert_eq!(check((1, 4), (3, 9)), Ok(4));
        assert_eq!(check((2, 9), (1, 3)), Ok(3));
        assert_eq!(check((3, 3), (3, 3)), Ok(3));
        assert_eq!(
            check((1, 2), (3, 4)).unwrap_err().reason,
            RejectReason::Protocol
        );
        assert_eq!(
            check((5, 6), (1, 4)).unwrap_err().reason,
            RejectReason::Protocol
        );
    }

    #[test]
    fn another_cluster_is_told_so_before_anything_else() {
        let me = Identity {
            cluster: 1,
            ..identity()
        };
        let them = Identity {
            config_hash: 0,
            protocol: (9, 9),
            ..identity()
        };
        let claims = Claims::of(&them, &Limits::default());
        assert_eq!(claims.check(&me).unwrap_err().reason, RejectReason::Cluster);
    }
}

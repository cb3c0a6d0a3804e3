//! Who says the wrong thing of itself: another cluster, other settings, another node; a certificate that is over, of
//! another CA, or of somebody else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use radixmesh::node::wire::{Introduction, encode_introduction};
use radixmesh::topology::Role;
use radixmesh::transport::{
    ConnectError, HandshakeError, Identity, Limits, NodeId, RejectReason, Tcp, Transport,
};
use radixmeshd::cert::Node;

use super::super::member;
use super::super::pki::Pki;
use super::ground::{Done, Ground, ME, VICTIM};

/// How often each claim is made.
const TRIES: u64 = 200;
/// How long a certificate is valid that is to be over soon.
const SHORT: Duration = Duration::from_secs(2);
/// How long others are.
const DAY: Duration = Duration::from_secs(86_400);

/// Shakes hands with something wrong in the hello.
///
/// Errors: something was let in, or refused for another reason.
pub(super) async fn identities(
    ground: &mut Ground,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let address = ground.address();
    let right = member::identity(transport, &address, ME).await?;
    let last = u64::from(ground.nodes()) - 1;
    let claims: [(&str, RejectReason, Identity); 6] = [
        (
            "another cluster",
            RejectReason::Cluster,
            Identity {
                cluster: !right.cluster,
                ..right
            },
        ),
        (
            "other settings",
            RejectReason::Config,
            Identity {
                config_hash: !right.config_hash,
                ..right
            },
        ),
        (
            "another protocol",
            RejectReason::Protocol,
            Identity {
                protocol: (u16::MAX, u16::MAX),
                ..right
            },
        ),
        (
            "the victim itself",
            RejectReason::OwnNode,
            Identity {
                node: NodeId(u64::from(VICTIM)),
                ..right
            },
        ),
        (
            "a rank that is none",
            RejectReason::UnknownNode,
            Identity {
                node: NodeId(u64::from(u16::MAX)),
                ..right
            },
        ),
        (
            "a rank that should wait to be dialed",
            RejectReason::WrongDirection,
            Identity {
                node: NodeId(last),
                ..right
            },
        ),
    ];
    for (name, reason, who) in claims {
        let battle = ground.begin(name).await?;
        for _ in 0..TRIES {
            let rejection = member::refused(transport, &address, who).await?;
            anyhow::ensure!(rejection.reason == reason, "{name}: {rejection}");
        }
        ground.end_of(battle, tries(TRIES)).await?;
    }
    Ok(())
}

fn tries(tries: u64) -> Done {
    Done {
        tries,
        expected: tries,
        honest: None,
    }
}

/// Wants to join with something wrong in the introduction.
///
/// Errors: something was let in, or refused for another reason.
pub(super) async fn introductions(
    ground: &mut Ground,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let address = ground.address();
    let right = member::identity(transport, &address, ME).await?;
    let as_rank = |rank: u64| Identity {
        node: NodeId(rank),
        ..right
    };
    let free = u64::from(ground.nodes()) + 100;
    let live = u64::from(VICTIM) + 1;
    let ask = |role, address: &str| {
        let address = address.to_owned();
        encode_introduction(&Introduction { role, address }).to_vec()
    };
    let good = ask(Role::Prefill, "127.0.0.1:1");
    let endless = [&good[..3], &[0xff; 9], &[1], &[b'x'; 300]].concat();
    let long = ask(Role::Prefill, &"x".repeat(2_000));
    let claims = [
        (
            "an introduction of nothing",
            free,
            vec![0xff; 2_000],
            RejectReason::Introduction,
        ),
        (
            "an introduction with an endless address",
            free,
            endless,
            RejectReason::Introduction,
        ),
        (
            "an introduction with a long address",
            free,
            long,
            RejectReason::Introduction,
        ),
        (
            "an introduction as the victim",
            u64::from(VICTIM),
            good.clone(),
            RejectReason::OwnNode,
        ),
        (
            "an introduction as a rank that is too high",
            1 << 40,
            good.clone(),
            RejectReason::Introduction,
        ),
        (
            "an introduction as a member that lives elsewhere",
            live,
            good,
            RejectReason::RankTaken,
        ),
    ];
    for (name, rank, request, reason) in claims {
        let battle = ground.begin(name).await?;
        for _ in 0..TRIES {
            let who = Arc::new(as_rank(rank));
            let asked = transport
                .introduce(&address, who, Limits::default(), &request)
                .await;
            match asked {
                Err(ConnectError::Handshake {
                    source: HandshakeError::RejectedByPeer(rejection),
                    ..
                }) => anyhow::ensure!(rejection.reason == reason, "{name}: {rejection}"),
                Err(error) => return Err(error).context("neither let in nor refused"),
                Ok((peer, _)) => anyhow::bail!("{name}: {peer} let it in"),
            }
        }
        ground.end_of(battle, tries(TRIES)).await?;
    }
    Ok(())
}

/// Dials with certificates that are no good, and without.
///
/// Errors: something was let in.
pub(super) async fn certificates(
    ground: &mut Ground,
    pki: &Pki,
    rightful: &Tcp,
) -> anyhow::Result<()> {
    let address = ground.address();
    let right = member::identity(rightful, &address, ME).await?;
    let me = Node {
        cluster: pki.cluster(),
        role: Role::Prefill,
        rank: ME,
    };
    let expired = pki.signed("expired", &me, SHORT)?;
    tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
    let other_rank = Node { rank: 7, ..me };
    let other_role = Node {
        role: Role::Router,
        ..me
    };
    let other_cluster = Node {
        cluster: "other",
        ..me
    };
    let wrong = [
        ("no TLS", Tcp::new()),
        ("an expired certificate", expired),
        ("a certificate of another CA", pki.foreign(&me)?),
        (
            "a certificate of another cluster",
            pki.signed("cluster", &other_cluster, DAY)?,
        ),
        (
            "a certificate of another rank",
            pki.signed("rank", &other_rank, DAY)?,
        ),
        (
            "a certificate of another role",
            pki.signed("role", &other_role, DAY)?,
        ),
    ];
    for (name, transport) in wrong {
        let battle = ground.begin(name).await?;
        for _ in 0..TRIES {
            let let_in = member::dial(&transport, &address, right).await;
            // A session may stand on this side before the other end has judged it: then the next read ends it.
            if let Ok(connection) = let_in {
                anyhow::bail!("{name}: {} let it in", connection.peer());
            }
        }
        ground.end_of(battle, tries(TRIES)).await?;
    }
    Ok(())
}

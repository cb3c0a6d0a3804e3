//! How a node that nobody knows becomes a member: it introduces itself to any member, and is told who the others are.
//! What comes after that, links and catching up, is as for everybody. Coming back after a while alone: `rejoin`.

use std::time::Duration;

use node::wire::{Answer, Introduction, decode_answer, encode_introduction};
use topology::Record;
use transport::{ConnectError, HandshakeError, Links, NodeId, RejectReason};

use crate::config::{Config, Join};
use crate::mesh::StartError;

/// First pause between two rounds through all addresses. It doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why an introduction brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Nobody answered, or not now.
    NotNow(String),
    /// Another process has the rank. It may be dead and not found so yet.
    Taken(String),
    /// Asking this member again cannot succeed.
    Never(String),
}

impl Refused {
    fn of(address: &str, error: &ConnectError) -> Refused {
        let why = format!("{address}: {error}");
        match error {
            ConnectError::Timeout { .. } | ConnectError::Io { .. } => Refused::NotNow(why),
            ConnectError::Limits(_) | ConnectError::TooLarge { .. } => Refused::Never(why),
            ConnectError::Handshake { source, .. } => match source {
                HandshakeError::Timeout | HandshakeError::Closed | HandshakeError::Io { .. } => {
                    Refused::NotNow(why)
                }
                HandshakeError::RejectedByPeer(told) => match told.reason {
                    RejectReason::RankTaken | RejectReason::StaleEpoch => {
                        Refused::Taken(told.text.clone())
                    }
                    RejectReason::OwnNode => {
                        Refused::Taken(format!("it is the rank of the member at {address}"))
                    }
                    RejectReason::UnknownNode | RejectReason::ShuttingDown => Refused::NotNow(why),
                    _ => Refused::Never(why),
                },
                HandshakeError::Tls(_)
                | HandshakeError::Protocol(_)
                | HandshakeError::RejectedPeer(_) => Refused::Never(why),
            },
        }
    }
}

/// What came of an introduction that was answered.
pub(crate) struct Welcome {
    /// Everybody whom the member knows, this node among them.
    pub(crate) records: Vec<Record>,
    /// The address that was asked, and who is there.
    pub(crate) greeted: (String, NodeId),
}

/// Introduces this node to the member at `address`.
pub(crate) async fn introduce(
    links: &Links,
    config: &Config,
    address: &str,
) -> Result<Welcome, Refused> {
    let own = config.own();
    let request = encode_introduction(&Introduction {
        role: own.role,
        address: own.address.clone(),
    });
    let asked = links.introduce(address, &request).await;
    let (peer, answer) = asked.map_err(|error| Refused::of(address, &error))?;
    match decode_answer(&answer) {
        Ok(Answer::Welcome(records)) => {
            tracing::info!(%peer, members = records.len(), "introduced");
            Ok(Welcome {
                records,
                greeted: (address.to_owned(), peer.node),
            })
        }
        Ok(Answer::Refused { retry: true, why }) => Err(Refused::Taken(why)),
        Ok(Answer::Refused { retry: false, why }) => Err(Refused::Never(why)),
        Err(error) => Err(Refused::Never(format!("{address} made no sense: {error}"))),
    }
}

/// Introduces a node that starts, again and again, until a member welcomes it.
///
/// Errors: [`StartError`], at once when all members refuse for good, else after the time limit.
pub(crate) async fn enter(
    links: &Links,
    config: &Config,
    join: &Join,
) -> Result<Welcome, StartError> {
    let deadline = tokio::time::Instant::now() + config.join_timeout;
    let mut pause = PAUSE_MIN;
    loop {
        let refused = match round(links, config, join).await {
            Ok(welcome) => return Ok(welcome),
            Err(refused) => refused,
        };
        let (rank, waited) = (config.me, config.join_timeout);
        let late = tokio::time::Instant::now() + pause >= deadline;
        match refused {
            Refused::Never(why) => return Err(StartError::NotLetIn { rank, why }),
            Refused::Taken(why) if late => return Err(StartError::RankTaken { rank, waited, why }),
            Refused::NotNow(why) if late => return Err(StartError::NoAnswer { rank, waited, why }),
            Refused::Taken(why) | Refused::NotNow(why) => {
                tracing::info!(%why, "not joined yet, trying again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Asks every address once, until one answers. What gives most hope of the refusals is returned.
async fn round(links: &Links, config: &Config, join: &Join) -> Result<Welcome, Refused> {
    let mut best = None;
    for address in &join.addresses {
        if *address == join.member.address {
            continue;
        }
        match introduce(links, config, address).await {
            Ok(welcome) => return Ok(welcome),
            // The others would say the same.
            Err(taken @ Refused::Taken(_)) => return Err(taken),
            Err(never @ Refused::Never(_)) => best = best.or(Some(never)),
            Err(not_now @ Refused::NotNow(_)) => best = Some(not_now),
        }
    }
    Err(best.unwrap_or_else(|| Refused::Never("there is nobody to ask".to_owned())))
}

//! The endpoints about members, and what `/status` tells of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use node::{Behind, CheckStatus, Status};
use radix_core::id::Rank;
use radix_core::time::Timestamp;
use topology::ForgetError;

use super::api::{
    BadLink, BehindStatus, ForgetResponse, LagStatus, Lagging, LeaveRequest, LeaveResponse,
    MemberStatus, MembersResponse, OtherView, RingCheck, RingCheckStatus,
};
use super::handlers::Answer;
use super::refusal::Refusal;
use super::server::Admin;
use crate::clock;

/// Longest drain of a leave.
const DRAIN_MAX: Duration = Duration::from_secs(24 * 3_600);

pub(crate) async fn members(State(admin): State<Arc<Admin>>) -> Answer<MembersResponse> {
    let status = admin.mesh.report().await?.status;
    Ok(Json(MembersResponse {
        rank: status.rank.0,
        view: status.view.to_string(),
        members: list(&status, clock::now()),
    }))
}

pub(crate) async fn leave(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<LeaveRequest>, JsonRejection>,
) -> Answer<LeaveResponse> {
    let Json(LeaveRequest { drain_ms }) = body?;
    let drain = Duration::from_millis(drain_ms);
    if drain > DRAIN_MAX {
        return Err(Refusal::bad_request(format!(
            "drain_ms is {drain_ms}, at most {} are accepted; nothing was changed",
            DRAIN_MAX.as_millis()
        )));
    }
    let rank = admin.mesh.config().me.0;
    admin.mesh.leave(drain).await?;
    Ok(Json(LeaveResponse { rank, drain_ms }))
}

pub(crate) async fn forget(
    State(admin): State<Arc<Admin>>,
    rank: Result<Path<u16>, PathRejection>,
) -> Answer<ForgetResponse> {
    let Path(rank) = rank.map_err(|error| {
        Refusal::bad_request(format!("{}; nothing was changed", error.body_text()))
    })?;
    match admin.mesh.forget(Rank(rank)).await? {
        Ok(incarnation) => Ok(Json(ForgetResponse {
            rank,
            incarnation: incarnation.0,
        })),
        Err(error @ ForgetError::Unknown { .. }) => {
            Err(Refusal::not_found(format!("{error}; nothing was changed")))
        }
        Err(error) => Err(Refusal::conflict(format!("{error}; nothing was changed"))),
    }
}

/// Returns every member, by rank.
pub(crate) fn list(status: &Status, now: Timestamp) -> Vec<MemberStatus> {
    let member = |member: &node::MemberStatus| {
        let view = &member.view;
        let link = match (view.rank == status.rank, view.linked, view.slow) {
            (true, _, _) => "self",
            (false, false, _) => "closed",
            (false, true, true) => "slow",
            (false, true, false) => "open",
        };
        MemberStatus {
            rank: view.rank.0,
            role: view.role.to_string(),
            address: member.address.clone(),
            up: view.direct(),
            ready: view.ready,
            status: view.status.to_string(),
            reach: view.reach.to_string(),
            incarnation: view.life.0,
            link: link.to_owned(),
            routable: view.routable(),
            not_routable: view.not_routable().map(|why| why.to_string()),
            heard_ms_ago: member.last_heard.map(|at| ms_since(at, now)),
            lag: member.lag.map(|lag| LagStatus {
                ops: lag.ops,
                logs: lag.logs,
                said_ms_ago: ms_since(lag.at, now),
            }),
        }
    };
    status.members.iter().map(member).collect()
}

/// Returns the members whose link from here is bad though they live.
pub(crate) fn degraded(status: &Status) -> Vec<u16> {
    let bad = status
        .members
        .iter()
        .filter(|member| member.view.reach == topology::Reach::Degraded);
    bad.map(|member| member.view.rank.0).collect()
}

/// Returns the logs of which the node lacks something, farthest behind first.
pub(crate) fn behind(status: &Status) -> Vec<BehindStatus> {
    let log = |behind: &Behind| BehindStatus {
        rank: behind.origin.rank.0,
        incarnation: behind.origin.inc.0,
        have: behind.have.0,
        want: behind.want.0,
        ops: behind.ops(),
        asked: behind.asked.map(|rank| rank.0),
        snapshot_pieces: behind.snapshot.map(|(here, _)| here),
        snapshot_pieces_all: behind.snapshot.map(|(_, all)| all),
    };
    status.behind.iter().map(log).collect()
}

pub(crate) fn ring_check(check: &CheckStatus, now: Timestamp) -> RingCheckStatus {
    let last = check.last.as_ref().map(|last| RingCheck {
        begun_by: last.round.initiator.rank.0,
        ms_ago: ms_since(last.at, now),
        lap_us: last
            .lap
            .map(|lap| u64::try_from(lap.as_micros()).unwrap_or(u64::MAX)),
        agreed: last.agreed,
        differs: last
            .differs
            .iter()
            .map(|(rank, view)| OtherView {
                rank: rank.0,
                view: view.to_string(),
            })
            .collect(),
        missing: last.missing.iter().map(|rank| rank.0).collect(),
        degraded_links: last
            .degraded
            .iter()
            .map(|(from, to)| BadLink {
                from: from.0,
                to: to.0,
            })
            .collect(),
        lagging: last
            .lagging
            .iter()
            .map(|(ops, rank)| Lagging {
                rank: rank.0,
                ops: *ops,
            })
            .collect(),
    });
    RingCheckStatus {
        stable_view: check.stable_view.map(|view| view.to_string()),
        agreed_ms_ago: check.agreed_at.map(|at| ms_since(at, now)),
        last,
    }
}

pub(crate) fn ms_since(at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)
}

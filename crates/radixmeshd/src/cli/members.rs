//! `members`, `leave` and `forget`: who is there, and how one goes.

use std::time::{Duration, Instant};

use clap::Args;
use radixmesh::admin::api::{LeaveRequest, MemberStatus, MembersResponse};

use super::ask::AdminArgs;
use super::output::{Exit, Failure, Format, print, row, table};

/// How long a node may take to be gone after its drain.
const GONE_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it is.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// How long work that is under way may still take, with its unit.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    drain: Duration,
}

#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    /// The rank to forget. It must be down.
    rank: u16,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) async fn members(admin: &AdminArgs, format: Format) -> Result<(), Failure> {
    let answer = admin.client()?.members().await?;
    print(format, &answer, || text(&answer))
}

fn text(answer: &MembersResponse) -> String {
    format!(
        "as rank {} sees it, view {}\n\n{}",
        answer.rank,
        answer.view,
        member_table(&answer.members)
    )
}

/// Returns one line for each member: what the cluster believes of it, how it is reached, and why it gets no requests.
pub(super) fn member_table(members: &[MemberStatus]) -> String {
    let mut rows = vec![row([
        &"rank",
        &"role",
        &"address",
        &"status",
        &"link",
        &"reach",
        &"ready",
        &"lacks ops",
        &"heard",
        &"not routable because",
    ])];
    for member in members {
        let lag = member.lag.map_or("-".to_owned(), |lag| lag.ops.to_string());
        let heard = member
            .heard_ms_ago
            .map_or("-".to_owned(), |ms| format!("{ms} ms ago"));
        rows.push(row([
            &member.rank,
            &member.role,
            &member.address,
            &member.status,
            &member.link,
            &member.reach,
            &if member.ready { "yes" } else { "no" },
            &lag,
            &heard,
            &member.not_routable.as_deref().unwrap_or(""),
        ]));
    }
    table(&rows)
}

/// Lets a node leave, and waits until it is gone.
pub(super) async fn leave(args: &LeaveArgs, format: Format) -> Result<(), Failure> {
    let client = args.admin.client()?;
    let drain_ms = u64::try_from(args.drain.as_millis()).unwrap_or(u64::MAX);
    let answer = client.leave(&LeaveRequest { drain_ms }).await?;
    let deadline = Instant::now() + args.drain + GONE_MAX;
    while client.healthy().await.is_ok() {
        if Instant::now() >= deadline {
            let text = format!("rank {} still answers: it has not left", answer.rank);
            return Err(Failure::new(Exit::Failed, text));
        }
        tokio::time::sleep(POLL).await;
    }
    print(format, &answer, || {
        format!("rank {} has left\n", answer.rank)
    })
}

pub(super) async fn forget(args: &ForgetArgs, format: Format) -> Result<(), Failure> {
    let answer = args.admin.client()?.forget(args.rank).await?;
    print(format, &answer, || {
        format!(
            "rank {} is forgotten, up to incarnation {}\n",
            answer.rank, answer.incarnation
        )
    })
}

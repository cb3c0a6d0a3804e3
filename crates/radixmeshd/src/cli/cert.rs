//! `cert ca | node`: arguments and what is printed. The making is in [`cert`](crate::cert).

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use radixmesh::topology::Role;

use super::output::{Exit, Failure, Format, print};
use crate::cert::{self, CertError, Made};

#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Make the CA of a cluster: ca.pem for every node, ca.key for whoever signs, and for nobody else.
    Ca(CaArgs),
    /// Make the certificate of one node and its key, signed by the CA.
    Node(NodeArgs),
}

#[derive(Debug, Args)]
pub(super) struct CaArgs {
    /// Name of the cluster (key `cluster`).
    #[arg(long, default_value = "radixmesh")]
    cluster: String,
    /// How long it is valid, from now: 1h to 100years.
    #[arg(long, value_name = "TIME", default_value = "10years", value_parser = valid_for)]
    valid: Duration,
    /// Directory to write to; it is made if need be.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// Name of the cluster (key `cluster`).
    #[arg(long, default_value = "radixmesh")]
    cluster: String,
    /// What the node does: prefill, decode or router.
    #[arg(long, value_parser = role)]
    role: Role,
    /// Its place in the member list.
    #[arg(long)]
    rank: u16,
    /// Directory with ca.pem and ca.key.
    #[arg(long, value_name = "DIR", default_value = ".")]
    ca: PathBuf,
    /// How long it is valid, from now: 1h to 100years, and not beyond the CA.
    #[arg(long, value_name = "TIME", default_value = "90days", value_parser = valid_for)]
    valid: Duration,
    /// Directory to write RANK.pem and RANK.key to; it is made if need be.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

fn valid_for(text: &str) -> Result<Duration, String> {
    const YEAR_S: u64 = 31_557_600;
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(3_600)..=Duration::from_secs(100 * YEAR_S)).contains(&time) {
        Ok(time)
    } else {
        Err("must be 1h to 100years".to_owned())
    }
}

fn role(text: &str) -> Result<Role, String> {
    [Role::Prefill, Role::Decode, Role::Router]
        .into_iter()
        .find(|role| role.to_string() == text)
        .ok_or_else(|| "must be prefill, decode or router".to_owned())
}

pub(super) fn run(command: &CertCommand, format: Format) -> Result<(), Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let made = match command {
        CertCommand::Ca(args) => cert::ca(&args.cluster, now, args.valid, &args.out)?,
        CertCommand::Node(args) => {
            let who = cert::Node {
                cluster: &args.cluster,
                role: args.role,
                rank: args.rank,
            };
            cert::node(&who, &args.ca, now, args.valid, &args.out)?
        }
    };
    print(format, &made, || text(&made))
}

fn text(made: &Made) -> String {
    let ends = UNIX_EPOCH + Duration::from_secs(made.not_after);
    format!(
        "certificate  {}\nprivate key  {} (mode 0600)\nname         {}\nvalid until  {}\n",
        made.cert.display(),
        made.key.display(),
        made.name,
        humantime::format_rfc3339_seconds(ends)
    )
}

impl From<CertError> for Failure {
    fn from(error: CertError) -> Failure {
        let exit = match error {
            CertError::Cluster { .. } | CertError::BeyondCa { .. } => Exit::Usage,
            CertError::Exists { .. } | CertError::File { .. } | CertError::Ca { .. } => {
                Exit::Failed
            }
            CertError::Make(_) => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

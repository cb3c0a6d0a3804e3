//! Strangers and a mad member against a mesh that goes on: what each attack is refused as, what it costs, and what
//! publishes feel of it.
//!
//! ```text
//! Ground       a cluster, publishes that go on, and what an attack changed
//!   strangers    who does not shake hands: random bytes, damaged frames, thousands of connections
//!   claims       who says the wrong thing of itself, with and without certificates
//!   bombs        who is a member: frames with absurd counts in every kind of message
//! ```

mod bombs;
mod claims;
mod ground;
mod report;
mod strangers;

use std::path::{Path, PathBuf};

use radixmesh::topology::Role;
use radixmesh::transport::Tcp;
use radixmeshd::cluster::ClusterSpec;

use super::options::Options;
use super::pki::Pki;
use super::process;
use super::target::Target;
use ground::Ground;
pub(crate) use report::HostileReport;

/// Memory that an attack may cost a node. Unit: 10^6 bytes.
const MEMORY_MB_MAX: f64 = 32.0;
/// The longest that anything may hold up a publish. Unit: ms.
const HELD_UP_MS_MAX: f64 = 10.0;

/// Does what the options say.
///
/// Errors: the run could not be carried through. What it found out is in the report, failures too.
pub(crate) async fn run(options: &Options, binary: PathBuf) -> anyhow::Result<HostileReport> {
    let mut report = HostileReport {
        nodes: options.nodes(),
        seed: options.seed,
        command: process::command(),
        machine: process::machine(),
        ..HostileReport::default()
    };
    plain(options, &binary, &mut report).await?;
    sealed(options, &binary, &mut report).await?;
    hold(&mut report, options.strict);
    Ok(report)
}

fn spec(options: &Options, binary: &Path) -> ClusterSpec {
    let [prefill, decode, router] = options.roles().map(usize::from);
    ClusterSpec {
        prefill,
        decode,
        router,
        page_size: options.page_size(),
        fanout: options.fanout,
        ..ClusterSpec::new(binary)
    }
}

async fn plain(options: &Options, binary: &Path, report: &mut HostileReport) -> anyhow::Result<()> {
    eprintln!("starting {} nodes without TLS", options.nodes());
    let mut ground = Ground::start(spec(options, binary), options, "plain").await?;
    let transport = Tcp::new();
    strangers::random_bytes(&mut ground).await?;
    strangers::damaged_frames(&mut ground).await?;
    claims::identities(&mut ground, &transport).await?;
    claims::introductions(&mut ground, &transport).await?;
    bombs::undecodable(&mut ground, &transport).await?;
    bombs::absurd(&mut ground, &transport).await?;
    strangers::many_connections(&mut ground, &transport).await?;
    ground.end(report).await
}

async fn sealed(
    options: &Options,
    binary: &Path,
    report: &mut HostileReport,
) -> anyhow::Result<()> {
    eprintln!("starting {} nodes with TLS", options.nodes());
    let pki = Pki::for_roles(binary, options.roles()).await?;
    let spec = ClusterSpec {
        set: pki.keys(),
        ..spec(options, binary)
    };
    let mut ground = Ground::start(spec, options, "tls").await?;
    let transport = pki.rightful(Role::Prefill, ground::ME)?;
    strangers::random_bytes(&mut ground).await?;
    claims::certificates(&mut ground, &pki, &transport).await?;
    strangers::many_connections(&mut ground, &transport).await?;
    ground.end(report).await
}

fn hold(report: &mut HostileReport, strict: bool) {
    let attacks = || report.attacks.iter();
    let uncounted = attacks().filter(|attack| attack.counted < attack.expected);
    let grown = attacks().map(|attack| attack.memory_mb_peak - attack.memory_mb_before);
    let p99 = attacks().filter_map(|attack| attack.publish_ms.map(|publish| publish.p99));
    report.targets = vec![
        Target::at_most(
            "attacks of which something was not refused and counted by name",
            0.0,
            Some(uncounted.count() as f64),
        ),
        Target::at_most(
            "memory that an attack cost a node in MB",
            MEMORY_MB_MAX,
            grown.reduce(f64::max),
        ),
        Target::at_most(
            "publish during an attack in ms, p99",
            HELD_UP_MS_MAX,
            p99.reduce(f64::max),
        ),
        Target::at_most(
            "longest wait of a publish in ms",
            HELD_UP_MS_MAX,
            Some(report.publishes_blocked_ms_max),
        ),
    ];
    // Everything but the times is right or wrong on any machine.
    let strictly = if strict { 4 } else { 2 };
    let missed = report.targets.iter().take(strictly);
    let missed = missed.filter(|target| target.is_missed());
    let missed: Vec<String> = missed.map(ToString::to_string).collect();
    report.failures.extend(missed);
}

//! `status`, `route`, `match` and `diff`: questions to running nodes.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytesize::ByteSize;
use clap::Args;
use radixmesh::admin::Token;
use radixmesh::admin::api::{
    HolderMatch, MatchResponse, Position, PrefixRequest, RouteChoice, RouteResponse,
    SecurityStatus, StatusResponse,
};

use super::engines::engines_text;
use super::members::member_table;
use super::output::{Exit, Failure, Format, print, row, table};
use crate::client::Client;
use crate::compare::Comparison;

/// Counters that `status` shows; `-o json` and `/metrics` have all of them.
const KEY_COUNTERS: [&str; 8] = [
    "pages_published",
    "copies_removed",
    "frames_in",
    "frames_out",
    "data_bytes_out",
    "control_bytes_out",
    "snapshot_bytes_out",
    "frames_bad",
];

/// Which node is asked.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    /// Admin address of the node, as a URL or host:port.
    #[arg(long, env = "RADIXMESH_ADMIN", default_value = "http://127.0.0.1:8000")]
    admin: String,
    #[command(flatten)]
    token: TokenArg,
}

impl AdminArgs {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.token.client(&self.admin)
    }
}

/// What the admin port is shown.
#[derive(Debug, Args)]
pub(super) struct TokenArg {
    /// File with the token of the admin port, where it has one.
    #[arg(long, env = "RADIXMESH_ADMIN_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArg {
    fn client(&self, address: &str) -> Result<Client, Failure> {
        let read = |path: &PathBuf| {
            let why = |error| format!("--token-file {}: {error}", path.display());
            Token::read(path).map_err(|error| Failure::new(Exit::Usage, why(error)))
        };
        let token = self.token_file.as_ref().map(read).transpose()?;
        Ok(Client::new(address)?.with_token(token))
    }
}

#[derive(Debug, Args)]
pub(super) struct PromptArgs {
    #[command(flatten)]
    tokens: TokenArgs,
    /// Model, adapter, salt ...; the empty name is the default namespace.
    #[arg(long, default_value = "")]
    namespace: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TokenArgs {
    /// Token ids with commas between.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    tokens: Option<Vec<u32>>,
    /// File of token ids with spaces, commas or lines between, or a JSON list; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// The made up prompt 0, 1, .. N-1.
    #[arg(long, value_name = "N")]
    synthetic_prefix: Option<u32>,
}

impl PromptArgs {
    fn request(&self) -> Result<PrefixRequest, Failure> {
        let tokens = match (
            &self.tokens.tokens,
            &self.tokens.tokens_file,
            self.tokens.synthetic_prefix,
        ) {
            (Some(tokens), _, _) => tokens.clone(),
            (None, Some(path), _) => tokens_of(path)?,
            (None, None, count) => (0..count.unwrap_or(0)).collect(),
        };
        Ok(PrefixRequest {
            tokens,
            namespace: self.namespace.clone(),
        })
    }
}

fn tokens_of(path: &Path) -> Result<Vec<u32>, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    let fail = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("--tokens-file {}: {why}", path.display()),
        )
    };
    read.map_err(|error| fail(error.to_string()))?;
    parse_tokens(&text).map_err(fail)
}

fn parse_tokens(text: &str) -> Result<Vec<u32>, String> {
    let list = text.trim().trim_start_matches('[').trim_end_matches(']');
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.parse()
                .map_err(|_| format!("`{word}` is no token id (0 to {})", u32::MAX))
        })
        .collect()
}

pub(super) async fn status(admin: &AdminArgs, format: Format) -> Result<(), Failure> {
    let status = admin.client()?.status().await?;
    print(format, &status, || status_text(&status))?;
    if status.ready {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Unhealthy,
        format!("rank {} is not ready: {}", status.rank, why(&status)),
    ))
}

/// Why a node is not ready.
fn why(status: &StatusResponse) -> &str {
    let why = status.not_ready.as_deref();
    why.unwrap_or("it has not caught up yet")
}

fn status_text(status: &StatusResponse) -> String {
    let mut out = format!(
        "{} rank {} of cluster {}: {}, up {}, version {}, memory {}\n",
        status.role,
        status.rank,
        status.cluster,
        if status.ready { "ready" } else { "not ready" },
        humantime::format_duration(Duration::from_secs(status.uptime_ms / 1_000)),
        status.version,
        ByteSize::b(status.memory_bytes),
    );
    let index = &status.index;
    let _ = writeln!(
        out,
        "tree: {} distinct pages of {} tokens in {} runs, {} copies, {}",
        index.pages,
        status.page_size,
        index.nodes,
        index.copies,
        ByteSize::b(index.bytes)
    );
    out += &security_text(&status.security);
    out += &health_text(status);
    out += &engines_text(&status.sources);
    out.push('\n');
    out += &member_table(&status.members);
    out.push('\n');
    let mut rows = vec![row([
        &"origin",
        &"incarnation",
        &"seq",
        &"copies",
        &"ops digest",
        &"copies digest",
    ])];
    for origin in &status.origins {
        let (chain, set) = (
            format!("{:016x}", origin.chain_digest),
            format!("{:016x}", origin.set_digest),
        );
        rows.push(row([
            &origin.rank,
            &origin.incarnation,
            &origin.seq,
            &origin.copies,
            &chain,
            &set,
        ]));
    }
    out += &table(&rows);
    out.push('\n');
    let mut rows = vec![row([&"counter", &"value"])];
    for name in KEY_COUNTERS {
        if let Some(value) = status.counters.get(name) {
            rows.push(row([&name, value]));
        }
    }
    out + &table(&rows)
}

/// What is not as it should be, and whether all members agree on who they are.
fn health_text(status: &StatusResponse) -> String {
    let mut out = String::new();
    if !status.ready {
        let _ = writeln!(out, "not ready: {}", why(status));
    }
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1_000.0);
    let check = &status.ring_check;
    let _ = match (&check.stable_view, check.agreed_ms_ago) {
        (Some(view), Some(ms)) => writeln!(
            out,
            "view {view}: all members have it, as found {} ago",
            seconds(ms)
        ),
        _ => writeln!(
            out,
            "view {}: not all members are known to have it",
            status.view
        ),
    };
    if let Some(last) = check.last.as_ref().filter(|last| !last.agreed) {
        let _ = writeln!(
            out,
            "ring check {} ago, begun by rank {}:",
            seconds(last.ms_ago),
            last.begun_by
        );
        for other in &last.differs {
            let _ = writeln!(out, "  rank {} has view {}", other.rank, other.view);
        }
        for rank in &last.missing {
            let _ = writeln!(out, "  nobody reached rank {rank}");
        }
    }
    let far = check.last.iter().flat_map(|last| &last.degraded_links);
    let here = status.degraded_links.iter();
    let bad: BTreeSet<(u16, u16)> = here
        .map(|to| (status.rank, *to))
        .chain(far.map(|link| (link.from, link.to)))
        .collect();
    for (from, to) in bad {
        let _ = writeln!(
            out,
            "bad link: rank {from} reaches rank {to} only through others"
        );
    }
    for behind in &status.behind {
        let _ = writeln!(
            out,
            "lacks {} ops of log {} (has {} of {})",
            behind.ops, behind.rank, behind.have, behind.want
        );
    }
    if status.self_doubt > 0 {
        let _ = writeln!(
            out,
            "doubts itself ({} of 8): it is late with its own work, so it is slow to judge others",
            status.self_doubt
        );
    }
    out
}

fn security_text(security: &SecurityStatus) -> String {
    let Some(certificate) = &security.certificate else {
        return format!("links: {}\n", security.links);
    };
    let ends = u64::try_from(certificate.cert_not_after).unwrap_or(0);
    let ends = UNIX_EPOCH + Duration::from_secs(ends);
    let mut out = format!(
        "links: {}, as {} until {}\n",
        security.links,
        certificate.name,
        humantime::format_rfc3339_seconds(ends)
    );
    if let Some(error) = &certificate.last_error {
        let _ = writeln!(out, "  the changed files are not used: {error}");
    }
    out
}

pub(super) async fn route(
    admin: &AdminArgs,
    prompt: &PromptArgs,
    format: Format,
) -> Result<(), Failure> {
    let request = prompt.request()?;
    let answer = admin.client()?.route(&request).await?;
    print(format, &answer, || route_text(&answer))?;
    if answer.prefill.is_some() || answer.decode.is_some() {
        return Ok(());
    }
    Err(Failure::new(Exit::Unhealthy, "no node may be routed to"))
}

fn route_text(answer: &RouteResponse) -> String {
    let mut out = String::new();
    for (role, choice) in [("prefill", &answer.prefill), ("decode", &answer.decode)] {
        let _ = match choice {
            Some(RouteChoice {
                rank,
                address,
                matched_pages,
                reason,
                ..
            }) => writeln!(
                out,
                "{role:<8} rank {rank} at {address}: holds {matched_pages} of {} pages ({reason})",
                answer.pages
            ),
            None => writeln!(out, "{role:<8} nobody may be routed to"),
        };
    }
    for line in &answer.explanation {
        let _ = writeln!(out, "  {line}");
    }
    out + &holders_text(&answer.holders, &answer.version)
}

pub(super) async fn matches(
    admin: &AdminArgs,
    prompt: &PromptArgs,
    format: Format,
) -> Result<(), Failure> {
    let request = prompt.request()?;
    let answer = admin.client()?.matches(&request).await?;
    print(format, &answer, || match_text(&answer))
}

fn match_text(answer: &MatchResponse) -> String {
    let known = format!(
        "{} pages, {} of them held by somebody\n",
        answer.pages, answer.deepest
    );
    known + &holders_text(&answer.holders, &answer.version)
}

fn holders_text(holders: &[HolderMatch], version: &[Position]) -> String {
    let mut out = String::new();
    if !holders.is_empty() {
        let mut rows = vec![row([
            &"rank",
            &"source",
            &"role",
            &"pages",
            &"on device",
            &"routable",
        ])];
        for holder in holders {
            let routable = if holder.routable { "yes" } else { "no" };
            rows.push(row([
                &holder.rank,
                &holder.source,
                &holder.role,
                &holder.pages,
                &holder.device_pages,
                &routable,
            ]));
        }
        out = format!("\n{}", table(&rows));
    }
    let at: Vec<String> = version
        .iter()
        .map(|at| format!("{}:{}", at.rank, at.seq))
        .collect();
    let _ = writeln!(
        out,
        "\nread at version {}",
        if at.is_empty() {
            "(empty)".to_owned()
        } else {
            at.join(" ")
        }
    );
    out
}

pub(super) async fn diff(
    a: &str,
    b: &str,
    token: &TokenArg,
    format: Format,
) -> Result<(), Failure> {
    let (client_a, client_b) = (token.client(a)?, token.client(b)?);
    let (status_a, status_b) = (client_a.status().await?, client_b.status().await?);
    let comparison = Comparison::of(&status_a.origins, &status_b.origins);
    print(format, &comparison, || {
        let mut out = format!(
            "A: rank {} at {}\nB: rank {} at {}\n",
            status_a.rank,
            client_a.base(),
            status_b.rank,
            client_b.base()
        );
        for difference in &comparison.differences {
            let _ = writeln!(out, "{difference}");
        }
        if comparison.is_equal() {
            let _ = writeln!(
                out,
                "equal: {} origins, same positions, same digests",
                comparison.origins
            );
        }
        out
    })?;
    let Some(first) = comparison.first() else {
        return Ok(());
    };
    let kind = if comparison.is_only_lag() {
        "only positions differ: one is behind, ask again"
    } else {
        "the content differs"
    };
    Err(Failure::new(
        Exit::Failed,
        format!("{kind}; first: {first}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files_hold_numbers_with_anything_between() {
        assert_eq!(parse_tokens("1 2,3\n4"), Ok(vec![1, 2, 3, 4]));
        assert_eq!(parse_tokens("[1, 2, 3]\n"), Ok(vec![1, 2, 3]));
        assert_eq!(parse_tokens(""), Ok(vec![]));
        assert!(parse_tokens("1 x").is_err_and(|error| error.contains("`x`")));
        assert!(parse_tokens("4294967296").is_err());
    }
}

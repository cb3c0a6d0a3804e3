//! Members that come, go, are replaced and are forgotten: real processes, with and without certificates.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use radixmesh::admin::api::{MemberStatus, StatusResponse};
use radixmeshd::client::Client;
use radixmeshd::cluster::{Cluster, ClusterSpec};
use radixmeshd::listening::Listening;
use tempfile::TempDir;

use crate::security::{certificates, sealed_keys};
use crate::support::{
    LIMIT, cluster, command, eventually, held, item, matches, publish, radixmeshd, spec, stderr,
    stdout, tokens,
};

/// Two prefill nodes that notice soon what happens to others.
async fn pair(more: Vec<(String, String)>) -> Cluster {
    let base = spec(2, 0, 0);
    let mut set = base.set.clone();
    set.push(("heartbeat".to_owned(), "\"200ms\"".to_owned()));
    set.push(("exchange".to_owned(), "\"100ms\"".to_owned()));
    set.extend(more);
    cluster(ClusterSpec { set, ..base }).await
}

/// A node that joined by itself. It is killed when this is dropped.
struct Joiner {
    process: Child,
    client: Client,
    mesh: String,
}

impl Drop for Joiner {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("bound").to_string()
}

/// `join`, of a configuration that it shares with the others.
fn join_command(
    cluster: &Cluster,
    rank: &str,
    role: &str,
    listen: &str,
    via: &str,
) -> std::process::Command {
    let config = cluster.config().to_string_lossy().into_owned();
    let mut join = command(&["join", "--config", &config, "--admin", "127.0.0.1:0"]);
    join.args([
        "--rank", rank, "--role", role, "--listen", listen, "--via", via,
    ]);
    join
}

fn join(cluster: &Cluster, rank: &str, role: &str, via: &str) -> Joiner {
    let mesh = free_address();
    let mut process = join_command(cluster, rank, role, &mesh, via)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped"));
    lines.read_line(&mut line).expect("a line comes");
    let listening: Listening = serde_json::from_str(&line).expect("the ready line");
    assert_eq!(
        (listening.rank.to_string(), &listening.mesh),
        (rank.to_owned(), &mesh)
    );
    let admin = listening.admin.expect("an admin port");
    Joiner {
        process,
        client: Client::new(&admin).expect("an address"),
        mesh,
    }
}

fn member(status: &StatusResponse, rank: u16) -> Option<&MemberStatus> {
    status.members.iter().find(|member| member.rank == rank)
}

/// Waits until `client` would route to `rank` at `address`.
async fn sees(client: &Client, rank: u16, address: &str) {
    let there = |status: &StatusResponse| {
        member(status, rank).is_some_and(|member| member.routable && member.address == address)
    };
    eventually(|| async { client.status().await.unwrap() }, there).await;
}

/// Waits until `client` does not know `rank` any more.
async fn sees_nothing_of(client: &Client, rank: u16) {
    let gone = |status: &StatusResponse| member(status, rank).is_none();
    eventually(|| async { client.status().await.unwrap() }, gone).await;
}

/// Everything that may become of one rank that is not configured.
async fn the_life_of_a_rank(cluster: &Cluster) {
    let (zero, one) = (cluster.client(0), cluster.client(1));
    publish(zero, vec![item(&tokens(0, 8))]).await;
    let first = join(cluster, "7", "decode", cluster.address(1));
    for client in [zero, one, &first.client] {
        sees(client, 7, &first.mesh).await;
    }
    assert_eq!(held(&matches(&first.client, &tokens(0, 8)).await), [(0, 2)]);
    publish(&first.client, vec![item(&tokens(100, 4))]).await;
    eventually(
        async || matches(zero, &tokens(100, 4)).await,
        |answer| held(answer) == [(7, 1)],
    )
    .await;
    let metrics = zero.metrics().await.unwrap();
    assert!(
        metrics.contains("radixmesh_members{status=\"alive\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("radixmesh_member_lag_ops{rank=\"7\"} "),
        "{metrics}"
    );

    // Another process may not have it while it lives.
    let second = free_address();
    let refused = join_command(cluster, "7", "decode", &second, cluster.address(0))
        .args(["--set", "join_timeout=500ms"])
        .output()
        .unwrap();
    let text = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("rank 7 cannot join"), "{text}");
    assert!(text.contains(&first.mesh), "{text} names the holder");
    assert!(refused.stdout.is_empty(), "it never said that it listens");
    let living = radixmeshd(&["forget", "7", "--admin", zero.base()]);
    assert_eq!(living.status.code(), Some(1));
    assert!(
        stderr(&living).contains("nothing was changed"),
        "{}",
        stderr(&living)
    );

    // It may when that one died, at another address.
    drop(first);
    let next = join(cluster, "7", "decode", cluster.address(0));
    for client in [zero, one, &next.client] {
        sees(client, 7, &next.mesh).await;
    }
    let listed = radixmeshd(&["members", "--admin", one.base()]);
    assert!(listed.status.success() && stdout(&listed).contains(&next.mesh));

    // It leaves, and is forgotten at once.
    let mut next = next;
    let left = radixmeshd(&["leave", "--admin", next.client.base(), "--drain", "200ms"]);
    assert!(left.status.success(), "{}", stderr(&left));
    assert!(next.process.wait().unwrap().success());
    sees_nothing_of(zero, 7).await;
    sees_nothing_of(one, 7).await;

    // One that was killed and forgotten by hand comes back.
    let third = join(cluster, "7", "decode", cluster.address(1));
    sees(zero, 7, &third.mesh).await;
    drop(third);
    let down =
        |status: &StatusResponse| member(status, 7).is_some_and(|member| member.status == "down");
    eventually(|| async { zero.status().await.unwrap() }, down).await;
    let forgotten = radixmeshd(&["forget", "7", "--admin", zero.base()]);
    assert!(forgotten.status.success(), "{}", stderr(&forgotten));
    sees_nothing_of(one, 7).await;
    let fourth = join(cluster, "7", "decode", cluster.address(1));
    for client in [zero, one] {
        sees(client, 7, &fourth.mesh).await;
    }
    let agree = |status: &StatusResponse| {
        status.ring_check.stable_view.as_ref() == Some(&status.view) && status.members.len() == 3
    };
    eventually(|| async { one.status().await.unwrap() }, agree).await;
    let text = stdout(&radixmeshd(&["status", "--admin", one.base()]));
    assert!(text.contains("all members have it"), "{text}");
}

#[tokio::test]
async fn a_rank_is_joined_refused_replaced_left_and_forgotten() {
    let cluster = pair(Vec::new()).await;
    the_life_of_a_rank(&cluster).await;
    cluster.stop(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_rank_is_joined_refused_replaced_left_and_forgotten_with_certificates() {
    let roles = [
        "prefill", "prefill", "decode", "decode", "decode", "decode", "decode", "decode",
    ];
    let dir: TempDir = certificates(&roles);
    let cluster = pair(sealed_keys(&dir)).await;
    the_life_of_a_rank(&cluster).await;

    // The certificate of rank 7 is that of a decode node.
    let listen = free_address();
    let other_role = join_command(&cluster, "7", "prefill", &listen, cluster.address(0))
        .output()
        .unwrap();
    assert_eq!(other_role.status.code(), Some(2));
    assert!(stderr(&other_role).contains("radixmesh://sealed/decode/7"));
    cluster.stop(LIMIT).await.unwrap();
}

#[tokio::test]
async fn why_a_node_is_not_ready_is_told_at_once() {
    let mut cluster = pair(Vec::new()).await;
    cluster.kill_all().await;
    let config = cluster.config().to_string_lossy().into_owned();
    let alone = cluster.address(0).to_owned();
    let mut process = command(&["node", "--config", &config, "--local", &alone])
        .args(["--admin", "127.0.0.1:0", "--set", "cold_start=1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let listening: Listening = serde_json::from_str(&line).unwrap();
    let admin = listening.admin.unwrap();
    let output = radixmeshd(&["status", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(4));
    let text = stderr(&output);
    assert!(text.contains("no peer is reachable"), "{text}");
    assert!(
        stdout(&output).contains("never seen"),
        "{}",
        stdout(&output)
    );
    process.kill().unwrap();
    process.wait().unwrap();
}

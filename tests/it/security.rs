//! Certificates between nodes, and the token of the admin port.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};

use radixmesh::admin::Token;
use radixmesh::admin::api::{ErrorResponse, StatusResponse};
use radixmeshd::client::Client;
use radixmeshd::cluster::{Cluster, ClusterSpec};
use radixmeshd::listening::Listening;
use tempfile::TempDir;

use crate::support::{
    LIMIT, cluster, command, eventually, held, item, matches, publish, radixmeshd, spec, stderr,
    stdout, tokens,
};

const CLUSTER: &str = "sealed";

/// Makes a CA, and a certificate for each role in rank order.
pub(crate) fn certificates(roles: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    cert(&["ca", "--cluster", CLUSTER, "--out", path(dir.path())]);
    for (rank, role) in roles.iter().enumerate() {
        node_cert(dir.path(), role, rank, "90days", dir.path());
    }
    dir
}

fn node_cert(ca: &Path, role: &str, rank: usize, valid: &str, out: &Path) {
    let rank = rank.to_string();
    cert(&[
        "node",
        "--cluster",
        CLUSTER,
        "--role",
        role,
        "--rank",
        &rank,
        "--ca",
        path(ca),
        "--valid",
        valid,
        "--out",
        path(out),
    ]);
}

fn cert(arguments: &[&str]) {
    let output = radixmeshd(&[&["cert"], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

fn path(path: &Path) -> &str {
    path.to_str()
        .expect("temporary directories have plain names")
}

/// Two prefill nodes and a decode node with the certificates of `dir`, looked at ten times a second.
async fn sealed(dir: &TempDir) -> Cluster {
    let base = spec(2, 1, 0);
    let mut set = base.set.clone();
    set.extend(sealed_keys(dir));
    cluster(ClusterSpec { set, ..base }).await
}

/// The keys that nodes with the certificates of `dir` share.
pub(crate) fn sealed_keys(dir: &TempDir) -> Vec<(String, String)> {
    let text = |text: &str| format!("\"{text}\"");
    let file = |name: &str| text(path(&dir.path().join(name)));
    let keys = [
        ("cluster", text(CLUSTER)),
        ("security.ca_file", file("ca.pem")),
        ("security.cert_file", file("{rank}.pem")),
        ("security.key_file", file("{rank}.key")),
        ("security.reload", text("100ms")),
    ];
    keys.map(|(key, value)| (key.to_owned(), value)).to_vec()
}

fn not_after(status: &StatusResponse) -> i64 {
    let certificate = status.security.certificate.as_ref();
    certificate.expect("a certificate").cert_not_after
}

#[tokio::test]
async fn a_cluster_with_certificates_converges_and_refuses_whoever_has_none() {
    let dir = certificates(&["prefill", "prefill", "decode"]);
    let mut cluster = sealed(&dir).await;
    publish(cluster.client(0), vec![item(&tokens(0, 8))]).await;
    let statuses = cluster.wait_converged(LIMIT).await.unwrap();
    let found = matches(cluster.client(2), &tokens(0, 8)).await;
    assert_eq!(held(&found), [(0, 2)]);
    for status in &statuses {
        assert_eq!(status.security.links, "tls");
        let days = (not_after(status) - unix_now()) as f64 / 86_400.0;
        assert!((89.9..90.1).contains(&days), "{days} days are left");
    }
    let metrics = cluster.client(1).metrics().await.unwrap();
    let line = format!("radixmesh_cert_not_after {}\n", not_after(&statuses[1]));
    assert!(metrics.contains(&line), "{metrics}");
    let text = stdout(&radixmeshd(&[
        "status",
        "--admin",
        cluster.client(2).base(),
    ]));
    assert!(
        text.contains("links: tls, as radixmesh://sealed/decode/2 until "),
        "{text}"
    );

    let mut stranger = TcpStream::connect(cluster.address(1)).unwrap();
    stranger.write_all(b"\x00\x00\x00\x1d\x01\x10").unwrap();
    eventually(
        async || cluster.client(1).status().await.unwrap(),
        |status| status.counters["link_tls_errors_plaintext_peer"] == 1,
    )
    .await;
    cluster.stop(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_restart_and_a_broken_one_is_not_taken() {
    let dir = certificates(&["prefill", "prefill", "decode"]);
    let mut cluster = sealed(&dir).await;
    let before = not_after(&cluster.client(0).status().await.unwrap());
    let renewed = tempfile::tempdir().unwrap();
    node_cert(dir.path(), "prefill", 0, "200days", renewed.path());
    for file in ["0.pem", "0.key"] {
        fs::copy(renewed.path().join(file), dir.path().join(file)).unwrap();
    }
    let status = eventually(
        async || cluster.client(0).status().await.unwrap(),
        |status| not_after(status) > before,
    )
    .await;
    let left = not_after(&status);
    fs::write(dir.path().join("0.pem"), "rubbish").unwrap();
    let status = eventually(
        async || cluster.client(0).status().await.unwrap(),
        |status| {
            let certificate = status.security.certificate.as_ref().unwrap();
            certificate.last_error.is_some()
        },
    )
    .await;
    assert_eq!(not_after(&status), left);
    assert!(status.counters["cert_reload_errors"] > 0);
    // The old one still makes links: a peer that comes back is let in.
    cluster.kill(1).await;
    cluster.restart(1).await.unwrap();
    cluster.wait_ready(LIMIT).await.unwrap();
    cluster.wait_converged(LIMIT).await.unwrap();
}

#[test]
fn a_node_off_loopback_starts_only_with_certificates_or_when_told_to_go_without() {
    let mut member = vec![
        "config",
        "check",
        "--set",
        "prefill=10.0.0.1:7000",
        "--local",
        "10.0.0.1:7000",
        "--set",
        "fingerprint_key=0123456789abcdef",
    ];
    let run = |arguments: &[&str]| {
        let output = radixmeshd(arguments);
        (output.status.code(), stderr(&output))
    };
    for first in ["config", "node"] {
        let mut arguments = member.clone();
        if first == "node" {
            arguments.splice(..2, ["node"]);
        }
        let (code, text) = run(&arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains("`10.0.0.1:7000` is not on loopback"),
            "{text}"
        );
        assert!(text.contains("--plaintext"), "{text}");
    }
    member.push("--plaintext");
    assert_eq!(run(&member).0, Some(0));
}

#[test]
fn a_node_whose_certificate_is_of_another_node_does_not_start() {
    let dir = certificates(&["prefill"]);
    let files = ["ca.pem", "0.pem", "0.key"].map(|file| dir.path().join(file));
    let [ca, cert, key] = files.each_ref().map(|file| path(file));
    let set = |key: &str, value: &str| format!("{key}={value}");
    let arguments = [
        "decode=127.0.0.1:7000".to_owned(),
        set("cluster", CLUSTER),
        set("security.ca_file", ca),
        set("security.cert_file", cert),
        set("security.key_file", key),
        "fingerprint_key=0123456789abcdef".to_owned(),
    ];
    let mut node = command(&["node", "--local", "127.0.0.1:7000", "--admin", "off"]);
    for argument in &arguments {
        node.args(["--set", argument]);
    }
    let output = node.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(
        text.contains("radixmesh://sealed/prefill/0")
            && text.contains("this node is radixmesh://sealed/decode/0"),
        "{text}"
    );
}

#[test]
fn keys_are_private_and_nothing_is_written_over() {
    use std::os::unix::fs::PermissionsExt;
    let dir = certificates(&["router"]);
    for key in ["ca.key", "0.key"] {
        let mode = fs::metadata(dir.path().join(key)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{key}");
    }
    let again = radixmeshd(&["cert", "ca", "--out", path(dir.path())]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("is not written over"));
    let beyond = [
        "cert",
        "node",
        "--role",
        "router",
        "--rank",
        "1",
        "--valid",
        "11years",
        "--ca",
        path(dir.path()),
        "--out",
        path(dir.path()),
    ];
    let beyond = radixmeshd(&beyond);
    assert_eq!(beyond.status.code(), Some(2), "{}", stderr(&beyond));
}

/// A node that ends with its handle.
struct Node {
    process: Child,
    admin: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn node(arguments: &[&str]) -> Node {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let local = port.local_addr().expect("bound").to_string();
    drop(port);
    let member = format!("prefill={local}");
    let mut process = command(&["node", "--local", &local, "--set", &member])
        .args(["--set", "fingerprint_key=0123456789abcdef"])
        .args(["--admin", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped"));
    lines.read_line(&mut line).expect("a line comes");
    let listening: Listening = serde_json::from_str(&line).expect("the ready line");
    Node {
        process,
        admin: listening.admin.expect("an admin port"),
    }
}

#[tokio::test]
async fn the_admin_port_asks_for_its_token_before_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "a-token-of-this-test\n").unwrap();
    let set = format!("admin_token_file={}", path(&file));
    let node = node(&["--set", &set]);
    let client = || Client::new(&node.admin).unwrap();
    let wrong = Token::new("a-token-of-that-test").unwrap();
    for client in [client(), client().with_token(Some(wrong))] {
        let error = client.status().await.unwrap_err();
        assert_eq!(error.refused_status(), Some(401), "{error}");
        // The body is not looked at, and the answer is JSON.
        let (status, text) = client
            .raw("/publish", "application/json", "{")
            .await
            .unwrap();
        assert_eq!(status, 401);
        let answer: ErrorResponse = serde_json::from_str(&text).unwrap();
        assert!(answer.error.contains("nothing was changed"), "{text}");
        assert_eq!(
            client.metrics().await.unwrap_err().refused_status(),
            Some(401)
        );
        client.healthy().await.unwrap();
    }
    let right = client().with_token(Some(Token::read(&file).unwrap()));
    right.status().await.unwrap();
    publish(&right, vec![item(&tokens(0, 16))]).await;

    let status = ["status", "--admin", &node.admin];
    let refused = radixmeshd(&status);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("401"), "{}", stderr(&refused));
    let shown = radixmeshd(&[&status[..], &["--token-file", path(&file)]].concat());
    assert!(shown.status.success() || shown.status.code() == Some(4));
    let by_variable = command(&["diff", &node.admin, &node.admin])
        .env("RADIXMESH_ADMIN_TOKEN_FILE", &file)
        .output()
        .unwrap();
    assert!(by_variable.status.success(), "{}", stderr(&by_variable));
}

#[tokio::test]
async fn an_admin_port_off_loopback_needs_a_token() {
    let arguments = [
        "node",
        "--local",
        "127.0.0.1:7000",
        "--admin",
        "0.0.0.0:0",
        "--set",
        "prefill=127.0.0.1:7000",
        "--set",
        "fingerprint_key=0123456789abcdef",
    ];
    let output = radixmeshd(&arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("key `admin_token_file` is not set"),
        "{}",
        stderr(&output)
    );
}

fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs();
    now.cast_signed()
}

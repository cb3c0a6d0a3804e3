//! The commands against real nodes: output, and exit codes 0 ok, 1 failed, 2 usage, 3 unreachable.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use radixmesh::admin::api::StatusResponse;
use radixmeshd::listening::Listening;
use serde_json::Value;

use crate::support::{
    LIMIT, cluster, command, item, publish, radixmeshd, spec, stderr, stdout, tokens,
};

#[tokio::test]
async fn status_route_match_and_diff_tell_of_a_running_cluster() {
    let mut cluster = cluster(spec(1, 1, 1)).await;
    publish(cluster.client(0), vec![item(&tokens(0, 16))]).await;
    cluster.wait_converged(LIMIT).await.unwrap();
    let admin = |rank: u16| cluster.client(rank).base().to_owned();
    let ok = |arguments: &[&str]| {
        let output = radixmeshd(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        stdout(&output)
    };

    let text = ok(&["status", "--admin", &admin(2)]);
    assert!(
        text.contains("router rank 2") && text.contains(cluster.address(0)),
        "{text}"
    );
    let json = ok(&["status", "--admin", &admin(2), "-o", "json"]);
    let status: StatusResponse =
        serde_json::from_str(&json).expect("the same JSON as the admin port's");
    assert_eq!(
        (status.rank, status.members.len(), status.ready),
        (2, 3, true)
    );

    let text = ok(&["route", "--admin", &admin(2), "--synthetic-prefix", "18"]);
    assert!(
        text.contains("prefill  rank 0") && text.contains("holds 4 of 4 pages (prefix)"),
        "{text}"
    );
    let json = ok(&[
        "route",
        "--admin",
        &admin(2),
        "--tokens",
        "0,1,2,3,9,9,9,9",
        "-o",
        "json",
    ]);
    let route: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(route["prefill"]["matched_pages"], 1, "{route}");
    let text = ok(&["match", "--admin", &admin(1), "--synthetic-prefix", "8"]);
    assert!(
        text.starts_with("2 pages, 2 of them held by somebody"),
        "{text}"
    );

    let text = ok(&["diff", &admin(0), &admin(1)]);
    assert!(text.contains("equal: "), "{text}");
}

#[tokio::test]
async fn diff_names_the_origin_that_differs() {
    let (one, other) = tokio::join!(cluster(spec(1, 0, 0)), cluster(spec(1, 0, 0)));
    publish(one.client(0), vec![item(&tokens(0, 8))]).await;
    let output = radixmeshd(&["diff", one.client(0).base(), other.client(0).base()]);
    assert_eq!(output.status.code(), Some(1));
    let (data, told) = (stdout(&output), stderr(&output));
    assert!(
        data.contains("origin 0: A has") && told.contains("only positions differ"),
        "{data}{told}"
    );
}

#[test]
fn nobody_there_is_code_3_and_a_wrong_question_code_2() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let code = |arguments: &[&str]| radixmeshd(arguments).status.code();
    assert_eq!(code(&["status", "--admin", &address]), Some(3));
    assert_eq!(code(&["diff", &address, &address]), Some(3));
    assert_eq!(code(&["status", "--admin", "https://a:1"]), Some(2));
    assert_eq!(
        code(&["route", "--admin", &address]),
        Some(2),
        "no prompt is given"
    );
    assert_eq!(
        code(&["route", "--admin", &address, "--tokens", "x"]),
        Some(2)
    );
    assert_eq!(code(&["dance"]), Some(2));
}

#[test]
fn a_node_says_where_it_listens_and_ends_with_success_on_sigterm() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap().to_string();
    drop(listener);
    let member = format!("prefill={local}");
    let arguments = [
        "node",
        "--local",
        &local,
        "--admin",
        "127.0.0.1:0",
        "--set",
        &member,
    ];
    let mut node = command(&arguments)
        .args(["--set", "fingerprint_key=0123456789abcdef"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let line = lines.next().expect("a line comes").unwrap();
    let listening: Listening = serde_json::from_str(&line).expect("it is the ready line");
    assert_eq!(
        (listening.rank, listening.role.as_str(), listening.mesh),
        (0, "prefill", local)
    );
    assert_eq!(listening.pid, node.id());
    let status = radixmeshd(&[
        "status",
        "--admin",
        listening.admin.as_deref().expect("it has one"),
    ]);
    assert!(
        matches!(status.status.code(), Some(0 | 4)),
        "{}",
        stderr(&status)
    );

    let kill = std::process::Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", node.id())])
        .status();
    assert!(kill.unwrap().success());
    assert!(lines.next().is_none(), "stdout carries nothing else");
    assert_eq!(node.wait().unwrap().code(), Some(0));
}

#[test]
fn a_small_demo_converges_and_reports() {
    let output = radixmeshd(&[
        "demo",
        "--requests",
        "40",
        "--prefill-us-per-token",
        "0",
        "-o",
        "json",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value =
        serde_json::from_str(&stdout(&output)).expect("stdout is the report and nothing else");
    assert_eq!(
        (&report["totals"]["served"], &report["totals"]["failed"]),
        (&40.into(), &0.into())
    );
    assert!(report["converged_ms"].is_u64(), "{report}");
    assert_eq!(report["propagation"]["missing"], 0);
}

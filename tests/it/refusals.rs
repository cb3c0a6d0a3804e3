//! Bad input: a clear error, and nothing has changed.

use std::process::Stdio;

use radixmesh::admin::api::{ErrorResponse, StatusResponse};

use crate::support::{cluster, command, eventually, item, publish, spec, stderr, tokens};

const JSON: &str = "application/json";

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason_and_change_nothing() {
    let cluster = cluster(spec(1, 0, 0)).await;
    let client = cluster.client(0);
    publish(client, vec![item(&tokens(0, 8))]).await;
    // A checkpoint may follow a publish in time; it changes no copy.
    let copies = || async {
        let status = client.status().await.unwrap();
        (
            status.index,
            status.counters["pages_published"],
            status.counters["copies_removed"],
        )
    };
    let before = copies().await;

    let many = format!(
        r#"{{"items":[{}]}}"#,
        vec![r#"{"tokens":[1,2,3,4]}"#; 4_097].join(",")
    );
    let half_good = r#"{"items":[{"tokens":[9,9,9,9]},{"tokens":[1,2,3,4],"from_page":1}]}"#;
    let cases: &[(&str, &str, u16, &str)] = &[
        ("/publish", r#"{"items":[{"tokens":[1,2,"#, 400, "EOF"),
        (
            "/publish",
            r#"{"items":[{"tokens":[1,2,3,4],"colour":"red"}]}"#,
            422,
            "colour",
        ),
        (
            "/publish",
            r#"{"items":[{"tokens":[4294967296]}]}"#,
            422,
            "4294967296",
        ),
        ("/publish", r#"{"items":[{"tokens":[-1]}]}"#, 422, "-1"),
        (
            "/publish",
            r#"{"items":[{"tokens":[1,2,3,4],"tier":"tape"}]}"#,
            422,
            "tape",
        ),
        (
            "/publish",
            r#"{"items":[{"tokens":[1,2,3]}]}"#,
            400,
            "item 0",
        ),
        ("/publish", half_good, 400, "item 1"),
        ("/publish", r#"{"items":[]}"#, 400, "1 to 4096"),
        ("/publish", &many, 400, "4097 items"),
        ("/publish", "[]", 422, ""),
        ("/match", r#"{"tokens":"1,2"}"#, 422, "tokens"),
        ("/match", r#"{}"#, 422, "tokens"),
        (
            "/route",
            r#"{"tokens":[1],"n":1}"#,
            422,
            "unknown field `n`",
        ),
        (
            "/evict",
            r#"{"items":[{"prefix":{"tokens":[0,1,2,3]},"source":1}]}"#,
            400,
            "items[0]",
        ),
        (
            "/evict",
            r#"{"items":[{"prefix":{"tokens":[0,1,2,3],"from":1}}]}"#,
            422,
            "unknown field `from`",
        ),
        ("/publish", "", 400, "EOF"),
        (
            "/evict",
            r#"{"items":[{"prefix":{"tokens":[0,1,2,3],"from_page":7}}]}"#,
            400,
            "item 0",
        ),
        (
            "/evict",
            r#"{"items":[{"everything":true}]}"#,
            422,
            "everything",
        ),
        (
            "/engine/run",
            r#"{"tokens":[1,2,3,4]}"#,
            404,
            "no simulated engine",
        ),
        ("/nothing", "{}", 404, "no such endpoint"),
    ];
    for (path, body, expect_status, expect_text) in cases {
        let shown = &body[..body.len().min(80)];
        let (status, answer) = client.raw(path, JSON, *body).await.unwrap();
        assert_eq!(status, *expect_status, "{path} {shown}: {answer}");
        let error = serde_json::from_str::<ErrorResponse>(&answer);
        let error = error
            .unwrap_or_else(|error| panic!("{path} {shown}: {answer} is no error: {error}"))
            .error;
        assert!(error.contains(expect_text), "{path} {shown}: {error}");
    }
    let (status, answer) = client
        .raw("/publish", "text/plain", r#"{"items":[]}"#)
        .await
        .unwrap();
    assert_eq!(status, 415, "{answer}");
    assert_eq!(copies().await, before, "nothing was changed");
}

#[tokio::test]
async fn an_item_that_only_lacks_a_whole_page_names_its_number() {
    let cluster = cluster(spec(1, 0, 0)).await;
    let body = r#"{"items":[{"tokens":[1,2,3,4]},{"tokens":[]}]}"#;
    let (status, answer) = cluster.client(0).raw("/publish", JSON, body).await.unwrap();
    assert_eq!(status, 400);
    assert!(
        answer.contains("item 1") && answer.contains("nothing was changed"),
        "{answer}"
    );
    assert_eq!(
        cluster.client(0).status().await.unwrap().index.copies,
        0,
        "item 0 was not applied either"
    );
}

#[tokio::test]
async fn a_second_process_with_the_same_address_is_refused_and_the_first_goes_on() {
    let cluster = cluster(spec(2, 0, 0)).await;
    let config = cluster.config().to_string_lossy().into_owned();
    let address = cluster.address(1).to_owned();
    let second = command(&[
        "node", "--config", &config, "--local", &address, "--admin", "off",
    ])
    .output()
    .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = stderr(&second);
    assert!(
        text.contains("rank 1") && text.contains(&address) && text.contains("in use"),
        "{text}"
    );
    assert!(second.stdout.is_empty(), "it never listened");
    cluster
        .client(1)
        .healthy()
        .await
        .expect("the first goes on");
}

#[tokio::test]
async fn a_node_with_another_page_size_is_kept_out() {
    let mut cluster = cluster(spec(2, 0, 0)).await;
    cluster.kill(1).await;
    let config = cluster.config().to_string_lossy().into_owned();
    let address = cluster.address(1).to_owned();
    let arguments = [
        "node",
        "--stop-on-stdin-eof",
        "--admin",
        "off",
        "--set",
        "page_size=8",
    ];
    let mut stranger = command(&arguments)
        .args(["--config", &config, "--local", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let client = cluster.client(0);
    let status = || async { client.status().await.unwrap() };
    let rejects = |status: &StatusResponse| {
        status.counters["link_rejects_sent_config"]
            + status.counters["link_rejects_received_config"]
    };
    let status = eventually(status, |status| rejects(status) > 0).await;
    assert!(!status.members[1].up);
    drop(stranger.stdin.take());
    assert!(stranger.wait().unwrap().success());
}

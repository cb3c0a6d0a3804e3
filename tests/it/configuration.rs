//! Wrong configurations end with code 2 and name what is wrong.

use crate::support::{radixmeshd, stderr, stdout};

fn check(arguments: &[&str], expect: &[&str]) {
    let output = radixmeshd(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    for expect in expect {
        assert!(
            text.contains(expect),
            "{arguments:?}: {text}\n  should name {expect}"
        );
    }
}

#[test]
fn errors_name_key_value_source_and_reason() {
    let file = std::env::temp_dir().join(format!("radixmesh-it-{}.toml", std::process::id()));
    let path = file.to_string_lossy().into_owned();
    let good = "prefill = [\"127.0.0.1:7000\"]\nfingerprint_key = \"0123456789abcdef\"\n";
    let write = |more: &str| std::fs::write(&file, format!("{good}{more}")).unwrap();

    write("page_size = 0\nfan_out = 2\n");
    let bad_page_size = format!("key `page_size` = 0 (from file {path}): must be 1 to 1024");
    let unknown = format!("unknown key `fan_out` (from file {path})");
    check(
        &["config", "check", "--config", &path],
        &[&bad_page_size, &unknown],
    );
    check(
        &["node", "--config", &path, "--local", "127.0.0.1:7000"],
        &[&bad_page_size],
    );

    write("heartbeat = 500\n");
    check(
        &["config", "check", "--config", &path],
        &["key `heartbeat` = 500", "with its unit"],
    );
    write("page_size = \n");
    check(
        &["config", "check", "--config", &path],
        &["is not valid TOML", "line 3"],
    );
    write("");
    check(&["node", "--config", &path], &["key `local` is not set"]);
    check(
        &["node", "--config", &path, "--local", "127.0.0.1:7001"],
        &["flag --local", "127.0.0.1:7000"],
    );
    let set = [
        "config",
        "check",
        "--config",
        &path,
        "--set",
        "routing.match_percent_min=101",
    ];
    check(
        &set,
        &["key `routing.match_percent_min` = \"101\" (from flag --set): must be 0 to 100"],
    );
    check(
        &["node", "--set", "prefill=a:1", "--local", "a:1"],
        &["key `fingerprint_key` is not set"],
    );
    check(&["config", "explain", "nope"], &["unknown key `nope`"]);
    check(
        &["config", "check", "--config", "/no/such/file"],
        &["/no/such/file"],
    );

    let output = radixmeshd(&["config", "check", "--config", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn engines_are_shown_with_all_that_they_are_and_explained() {
    let file =
        std::env::temp_dir().join(format!("radixmesh-it-engine-{}.toml", std::process::id()));
    let path = file.to_string_lossy().into_owned();
    let good = "prefill = [\"127.0.0.1:7000\"]\nfingerprint_key = \"0123456789abcdef\"\n";
    let write = |more: &str| std::fs::write(&file, format!("{good}{more}")).unwrap();
    let engine = "[[source]]\nname = \"v\"\nkind = \"vllm\"\nendpoint = \"tcp://127.0.0.1:5557\"\n";

    write(engine);
    let output = radixmeshd(&["config", "check", "--config", &path]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = |key: &str| {
        text.lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
    };
    let endpoint = line("source[v].endpoint ");
    assert!(
        endpoint.contains("\"tcp://127.0.0.1:5557\"") && endpoint.ends_with(&path),
        "{text}"
    );
    for (key, default) in [("id", "0"), ("ranks", "1"), ("down_after", "\"5s\"")] {
        let line = line(&format!("source[v].{key} "));
        assert!(
            line.contains(default) && line.ends_with("default"),
            "{text}"
        );
    }
    assert!(!text.contains("source[v].ttl"), "{text}");

    let output = radixmeshd(&["config", "explain", "source.endpoint", "--config", &path]);
    let text = stdout(&output);
    let now = format!("now:      \"tcp://127.0.0.1:5557\" in source `v` (from file {path})");
    assert!(
        text.contains(&now) && text.contains("no variable and no flag"),
        "{text}"
    );

    write(&format!("{engine}bnid = true\n"));
    let unknown = format!("source `v`: unknown key `source.bnid` (from file {path})");
    check(&["config", "check", "--config", &path], &[&unknown]);
    write(&format!("{engine}url = \"http://127.0.0.1:1\"\n"));
    let both = "source `v`: key `source.url` = \"http://127.0.0.1:1\"";
    check(&["config", "check", "--config", &path], &[both]);
    check(
        &["node", "--config", &path, "--local", "127.0.0.1:7000"],
        &[both],
    );
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_variable_sets_a_key_and_is_named_as_its_source() {
    let explain = |value: &str| {
        let mut command = crate::support::command(&["config", "explain", "page_size"]);
        command.env("RADIXMESH_PAGE_SIZE", value).output().unwrap()
    };
    let good = explain("64");
    assert!(
        stdout(&good).contains("64 (from variable RADIXMESH_PAGE_SIZE)"),
        "{}",
        stdout(&good)
    );
    let bad = explain("x");
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        stderr(&bad).contains("(from variable RADIXMESH_PAGE_SIZE)"),
        "{}",
        stderr(&bad)
    );
}

#[test]
fn the_default_file_is_printed_with_every_key() {
    let output = radixmeshd(&["config", "default"]);
    let text = stdout(&output);
    assert!(
        output.status.success() && text.contains("[routing]") && text.contains("# Required."),
        "{text}"
    );
}

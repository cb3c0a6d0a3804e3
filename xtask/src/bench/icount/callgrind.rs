//! One operation in a process of its own under valgrind's callgrind, and what is read from its output.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};

/// The function of `benches/icount` that the calls run in; counting begins and ends with it.
const MEASURED: &str = "icount_measured";

/// Checks that valgrind can be run, before anything is built for it.
pub(super) fn check_installed() -> anyhow::Result<()> {
    let output = output(Command::new("valgrind").arg("--version"))?;
    ensure!(
        output.status.success(),
        "valgrind does not tell its version"
    );
    Ok(())
}

/// Asks the program for its operations and how often it calls each.
pub(super) fn operations(program: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let output = Command::new(program)
        .arg("--operations")
        .output()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(operation).collect()
}

/// Counts the instructions of all calls of an operation.
///
/// Where they went is left in a file, for `callgrind_annotate`.
pub(super) fn count(program: &Path, operation: &str) -> anyhow::Result<u64> {
    let folder = program.with_file_name("callgrind");
    std::fs::create_dir_all(&folder)?;
    let letter = |letter: char| {
        if letter.is_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    let name: String = operation.chars().map(letter).collect();
    let file = folder.join(name + ".out");

    let mut command = Command::new("valgrind");
    // What a process has in its environment moves its stack, and with it how memory is copied.
    command.env_clear();
    for kept in ["PATH", "VALGRIND_LIB"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
        .args(["--tool=callgrind", "--command-line-only=yes", "--vgdb=no"])
        .args([
            "--collect-atstart=no".to_owned(),
            format!("--toggle-collect=*{MEASURED}*"),
        ])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["--operation", operation]);
    let output = output(&mut command)?;
    ensure!(
        output.status.success(),
        "{operation} ended with {} under valgrind:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("callgrind left no {}", file.display()))?;
    instructions(&text).with_context(|| format!("{operation}: {}", file.display()))
}

fn output(valgrind: &mut Command) -> anyhow::Result<Output> {
    valgrind.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "valgrind is not installed: it is the package `valgrind` of Debian, Ubuntu, Fedora, Arch and Alpine"
        ),
        _ => anyhow::Error::new(error).context("valgrind cannot be run"),
    })
}

/// Reads `NAME CALLS`; names have spaces.
fn operation(line: &str) -> anyhow::Result<(String, u64)> {
    let parsed = line
        .rsplit_once(' ')
        .and_then(|(name, calls)| Some((name.to_owned(), calls.parse().ok()?)));
    match parsed {
        Some((name, calls)) if calls > 0 => Ok((name, calls)),
        _ => bail!("{line:?} is not an operation and its calls"),
    }
}

/// Reads the executed instructions of a whole run from a callgrind file.
///
/// Its lines `events: Ir ...` and `totals: N ...` are columns of the same order.
/// Source: "Callgrind Format Specification" of the valgrind manual.
fn instructions(text: &str) -> anyhow::Result<u64> {
    let line = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.with_context(|| format!("no line {name:?}"))
    };
    let column = line("events:")?
        .split_whitespace()
        .position(|event| event == "Ir")
        .context("instructions (Ir) are not among the events")?;
    let totals = line("totals:")?;
    // Columns at the end that are 0 may be left out.
    let total = totals.split_whitespace().nth(column).unwrap_or("0");
    match total.parse() {
        Ok(0) => bail!("nothing was counted: {MEASURED} was never entered, or has no symbol"),
        Ok(total) => Ok(total),
        Err(_) => bail!("totals of {totals:?} instructions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\ncmd:  icount --operation totals: 7\n\
        part: 1\n\npositions: line\nevents: Ir\nsummary: 3990498\n\n\nob=(1) /icount\nfl=(1) main.rs\nfn=(1) icount::icount_measured\n\
        40 12\n+1 1280\n\ntotals: 3990498\n";

    #[test]
    fn the_total_of_a_run_is_read() {
        assert_eq!(instructions(FILE).unwrap(), 3_990_498);
    }

    #[test]
    fn instructions_are_found_among_other_events() {
        assert_eq!(
            instructions("events: Dr Ir Dw\ntotals: 1 2 3\n").unwrap(),
            2
        );
    }

    #[test]
    fn a_run_without_counts_is_an_error() {
        let check = |text: &str, expect: &str| {
            let error = instructions(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("events: Ir\ntotals: 0\n", "never entered");
        check("events: Ir\ntotals:\n", "never entered");
        check("events: Ir\n", "no line \"totals:\"");
        check("totals: 5\n", "no line \"events:\"");
        check("events: Dr\ntotals: 5\n", "not among the events");
        check("events: Ir\ntotals: many\n", "many");
        check("", "events:");
    }

    #[test]
    fn an_operation_is_a_name_and_a_number() {
        assert_eq!(
            operation("tree::insert/fresh pages=100 500").unwrap(),
            ("tree::insert/fresh pages=100".to_owned(), 500)
        );
        for line in ["", "tree::match", "tree::match 0", "tree::match many"] {
            assert!(operation(line).is_err(), "{line}");
        }
    }

    #[test]
    fn without_valgrind_the_package_is_named() {
        let error = output(&mut Command::new("no-such-valgrind")).unwrap_err();
        assert!(error.to_string().contains("package `valgrind`"), "{error}");
    }
}

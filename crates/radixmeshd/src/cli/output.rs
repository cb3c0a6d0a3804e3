//! Exit codes, and printing for people or for programs.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use crate::client::ClientError;
use crate::config::ConfigErrors;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The answer is no, or something failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Nobody answered.
    Unreachable = 3,
    /// The node answered, and is not ready.
    Unhealthy = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why the program ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What stderr says.
    pub message: String,
}

impl Failure {
    /// Returns a failure.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "radixmeshd: {}", self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = match error {
            ClientError::BadAddress { .. } => Exit::Usage,
            ClientError::Unreachable { .. } => Exit::Unreachable,
            ClientError::Refused { .. } | ClientError::BadAnswer { .. } => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Failure {
        Failure::new(Exit::Usage, format!("the configuration is wrong\n{errors}"))
    }
}

/// Prints data: `text` for people, `value` for programs. A reader that went away is no failure.
pub(crate) fn print(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let text = match format {
        Format::Text => text(),
        Format::Json => {
            let text = serde_json::to_string_pretty(value);
            text.map_err(|error| Failure::new(Exit::Failed, error.to_string()))? + "\n"
        }
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Failed,
            format!("cannot write to stdout: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Lays rows out in columns: the first row is the head. Numbers stand right, words left.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let numeric = |column: usize| {
        let mut cells = rows
            .iter()
            .skip(1)
            .filter_map(|row| row.get(column))
            .peekable();
        cells.peek().is_some()
            && cells
                .all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(':'))
    };
    let right: Vec<bool> = (0..columns).map(numeric).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            line += &if right[column] {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// Makes a row of a [`table`].
pub(crate) fn row<const N: usize>(cells: [&dyn fmt::Display; N]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let rows = [
            row([&"who", &"pages"]),
            row([&"prefill", &7]),
            row([&"x", &120]),
        ];
        assert_eq!(
            table(&rows),
            "who      pages\nprefill      7\nx          120\n"
        );
        assert_eq!(table(&[]), "");
    }
}

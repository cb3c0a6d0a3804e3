//! How far a long step is, on stderr: one line that is rewritten on a terminal, four lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Pause between two rewritings of the line.
const REDRAW: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    is_terminal: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: usize) -> Progress {
        Progress {
            what,
            total,
            done: 0,
            is_terminal: std::io::stderr().is_terminal(),
            drawn: None,
        }
    }

    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.is_terminal {
            if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
                self.drawn = Some(Instant::now());
                self.draw("\r", "");
            }
        } else if is_quarter(self.done, self.total) {
            self.draw("", "\n");
        }
    }

    pub(super) fn finish(self) {
        if self.is_terminal {
            self.draw("\r", "\n");
        }
    }

    fn draw(&self, before: &str, after: &str) {
        let mut stderr = std::io::stderr().lock();
        // Nobody has to see it.
        let _ = write!(
            stderr,
            "{before}{}: {} of {}{after}",
            self.what, self.done, self.total
        );
        let _ = stderr.flush();
    }
}

/// Returns whether this step was the one that completed a quarter.
fn is_quarter(done: usize, total: usize) -> bool {
    (1..=4).any(|quarter| done == (total * quarter).div_ceil(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_lines_tell_of_any_number_of_steps() {
        for total in [4, 7, 600] {
            assert_eq!(
                (1..=total).filter(|done| is_quarter(*done, total)).count(),
                4,
                "{total}"
            );
            assert!(is_quarter(total, total));
        }
    }
}

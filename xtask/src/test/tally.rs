//! Counting tests by the lines that test programs end with.

use std::io::{self, Write};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Reads `test result: ok. 8 passed; 0 failed; 0 ignored; ...`; `None` for any other line.
    fn of_line(line: &str) -> Option<Self> {
        let (_, counts) = line
            .trim_start()
            .strip_prefix("test result: ")?
            .split_once(". ")?;
        let count = |name: &str| {
            let mut parts = counts
                .split("; ")
                .filter_map(|part| part.trim().split_once(' '));
            parts.find(|(_, word)| *word == name)?.0.parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// A writer that passes everything on and counts on the way; clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter {
    shared: Arc<Mutex<Tally>>,
    line: Vec<u8>,
}

impl Counter {
    /// The sum of all lines so far.
    pub(crate) fn tally(&self) -> Tally {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_line(&mut self) {
        if let Some(tally) = Tally::of_line(&String::from_utf8_lossy(&self.line)) {
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) += tally;
        }
        self.line.clear();
    }
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_count() {
        let line = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out";
        let expected = Tally {
            passed: 3,
            failed: 1,
            ignored: 2,
        };
        assert_eq!(Tally::of_line(line), Some(expected));
        assert_eq!(Tally::of_line("test it::works ... ok"), None);
    }
}

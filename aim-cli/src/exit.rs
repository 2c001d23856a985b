//! What the exit status of `aim` says.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// Why the program ended. The numbers are an interface: scripts test for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// All that was asked was done.
    Success,
    /// It failed, and no other number says how.
    Failed,
    /// The command line or the configuration is wrong; nothing was done.
    Usage,
    /// It works in part: something is not running, or is behind because of an error.
    Degraded,
    /// A volume, device, file or folder that was named is not there.
    NotFound,
    /// Something is in use or mounted, or another aim is running.
    Busy,
    /// The other host refused us, or is not the host that it should be.
    Auth,
    /// Bytes are not what they should be.
    Mismatch,
    /// The series has a gap, or the file belongs elsewhere in it or to another one.
    Gap,
    /// What was waited for did not come in time.
    Timeout,
}

impl Exit {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 10] = [
        Self::Success,
        Self::Failed,
        Self::Usage,
        Self::Degraded,
        Self::NotFound,
        Self::Busy,
        Self::Auth,
        Self::Mismatch,
        Self::Gap,
        Self::Timeout,
    ];

    /// The number that the process ends with.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Degraded => 3,
            Self::NotFound => 10,
            Self::Busy => 11,
            Self::Auth => 12,
            Self::Mismatch => 14,
            Self::Gap => 15,
            Self::Timeout => 16,
        }
    }

    /// One line for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Failed => "failed",
            Self::Usage => "command line or configuration wrong, nothing was done",
            Self::Degraded => "works in part: not running, or behind because of an error",
            Self::NotFound => "volume, device, file or folder not found",
            Self::Busy => "in use, mounted, or another aim is running",
            Self::Auth => "refused by the other host, or not the host it should be",
            Self::Mismatch => {
                "bytes are not what they should be: a damaged file, or a mirror that differs"
            }
            Self::Gap => "gap in the series, or a file of another series",
            Self::Timeout => "did not happen in the time given",
        }
    }

    /// The table that `--help` ends with.
    pub(crate) fn help() -> String {
        let mut text = String::from("Exit codes:\n");
        for exit in Self::ALL {
            text.push_str(&format!("  {:>2}  {}\n", exit.number(), exit.meaning()));
        }
        text.push_str("Any other number is a failure too.");
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_code() {
        let manual = include_str!("../../docs/operations.md");
        for exit in Exit::ALL {
            let row = format!("| {} | {} |", exit.number(), exit.meaning());
            assert!(manual.contains(&row), "docs/operations.md lacks `{row}`");
        }
    }

    #[test]
    fn numbers_are_distinct_and_in_order() {
        assert!(Exit::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
    }
}

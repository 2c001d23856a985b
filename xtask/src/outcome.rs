//! How a task ended, and what kept it from ending at all.

use std::error::Error;
use std::process::ExitCode;

/// A task that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What it was to show holds.
    Success,
    /// What it was to show does not hold; it has said why.
    Failure,
    /// The status of the command that it ran for the caller.
    Status(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::Failure => Self::FAILURE,
            Outcome::Status(status) => Self::from(status),
        }
    }
}

/// The result of a task. Errors are only ever shown, so their type does not matter.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

//! `aim journal`: journal files looked at, checked and applied, with no daemon.

mod apply;
mod files;
mod inspect;
mod ls;
mod record;
mod series;
mod verify;

use crate::args::{JournalCommand, Output};
use crate::failure::Outcome;

/// Runs the command.
pub(crate) fn journal(command: &JournalCommand, out: &Output) -> Outcome {
    match command {
        JournalCommand::Ls(args) => ls::ls(args, out),
        JournalCommand::Inspect(args) => inspect::inspect(args, out),
        JournalCommand::Verify(args) => verify::verify(args, out),
        JournalCommand::Apply(args) => apply::apply(args, out),
    }
}

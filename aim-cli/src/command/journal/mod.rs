//! `aim journal`: journal files looked at, checked, applied and carried, with no daemon.

mod applied;
mod apply;
mod carry;
mod export;
mod files;
mod form;
mod import;
mod inspect;
mod ls;
mod missing;
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
        JournalCommand::Export(args) => export::export(args, out),
        JournalCommand::Import(args) => import::import(args, out),
    }
}

//! Identities and cursors, with the folder in each message.

use aim_core::fs::Directory;
use aim_core::spool::SpoolError;
use aim_core::state_file::{StateError, StateFile};

use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};

/// Reads a state file; `None` if it is not there.
pub(crate) fn load<T: StateFile>(directory: &dyn Directory) -> Outcome<Option<T>> {
    T::load(directory).map_err(|error| failed(directory, &error))
}

/// The folder of a volume can't be used.
pub(crate) fn spool_failed(error: &SpoolError) -> Failure {
    let problem = Problem::new("the folder of the volume can't be used").because(error);
    match error {
        SpoolError::Io { source, .. } => problem.exit(exit_of(source.kind())),
        SpoolError::NotInitialized { .. } => problem
            .hint("run `aim init NAME` first")
            .exit(Exit::NotFound),
        SpoolError::State { .. } => problem
            .hint("restore the file from a backup, or initialize this side anew")
            .exit(Exit::Mismatch),
        _ => problem.exit(Exit::Failed),
    }
}

fn failed(directory: &dyn Directory, error: &StateError) -> Failure {
    let problem = Problem::new("a state file can't be used")
        .at(directory.path().display())
        .because(error);
    match error {
        StateError::Io { source, .. } => problem.exit(exit_of(source.kind())),
        StateError::Volume { .. } => problem.exit(Exit::Gap),
        _ => problem
            .hint("restore it from a backup; without it this side must be initialized anew")
            .exit(Exit::Mismatch),
    }
}

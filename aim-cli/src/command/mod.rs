//! The subcommands, one file each.

mod config_check;

pub(crate) use config_check::config_check;

use crate::args::{ConfigArgs, InitArgs, JournalCommand, Output, StatusArgs, WaitArgs};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

pub(crate) fn run(_: &ConfigArgs, _: &Output) -> Outcome {
    Err(Problem::new("not built yet").exit(Exit::Failed))
}
pub(crate) fn init(_: &InitArgs, _: &Output) -> Outcome {
    Err(Problem::new("not built yet").exit(Exit::Failed))
}
pub(crate) fn status(_: &StatusArgs, _: &Output) -> Outcome {
    Err(Problem::new("not built yet").exit(Exit::Failed))
}
pub(crate) fn wait(_: &WaitArgs, _: &Output) -> Outcome {
    Err(Problem::new("not built yet").exit(Exit::Failed))
}
pub(crate) fn journal(_: &JournalCommand, _: &Output) -> Outcome {
    Err(Problem::new("not built yet").exit(Exit::Failed))
}

//! The subcommands, one file each.

mod config_check;
mod init;
mod journal;
mod status;
mod wait;

pub(crate) use config_check::config_check;
pub(crate) use init::init;
pub(crate) use journal::journal;
pub(crate) use status::status;
pub(crate) use wait::wait;

use crate::args::{ConfigArgs, Output};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

pub(crate) fn run(_: &ConfigArgs, _: &Output) -> Outcome {
    Err(Problem::new("not built yet").exit(Exit::Failed))
}

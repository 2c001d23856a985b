//! The subcommands, one file each.

mod abandon;
mod config_check;
mod doctor;
mod init;
mod journal;
mod run;
mod status;
mod sync;
mod upgrade;
mod verify;
mod wait;
mod watch;

pub(crate) use abandon::abandon;
pub(crate) use config_check::config_check;
pub(crate) use doctor::doctor;
pub(crate) use init::init;
pub(crate) use journal::journal;
pub(crate) use run::run;
pub(crate) use status::status;
pub(crate) use sync::sync;
pub(crate) use upgrade::upgrade;
pub(crate) use verify::verify;
pub(crate) use wait::wait;

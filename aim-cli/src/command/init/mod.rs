//! `aim init`: gives a volume its identity, and pairs a mirror with its disk.
//!
//! Both may be repeated: what is done is left as it is, what was interrupted is completed.

mod deliver;
mod mirror;
mod report;
mod source;

use crate::args::{InitArgs, Output};
use crate::command::config_check::checked;
use crate::config::Entry;
use crate::failure::Outcome;

/// Runs the command.
pub(crate) fn init(args: &InitArgs, out: &Output) -> Outcome {
    let config = checked(&args.config.config)?.warned();
    let report = match config.entry(&args.name)? {
        Entry::Volume(volume) => source::init(volume, args)?,
        Entry::Mirror(mirror) => mirror::init(mirror, args)?,
    };
    report.print(out)
}

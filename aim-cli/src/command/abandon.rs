//! `aim abandon`: ends the device of a volume that nobody will serve any more.

use aim_ublk::{Error, UblkDevice};
use serde::Serialize;

use crate::args::{AbandonArgs, Output};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::output;

/// Runs the command.
pub(crate) fn abandon(args: &AbandonArgs, out: &Output) -> Outcome {
    let name = args.name.strip_prefix("volume.").unwrap_or(&args.name);
    let abandoned = UblkDevice::abandon(name).map_err(|error| match error {
        Error::NameInUse { .. } => Problem::new("the device is served")
            .at(name)
            .because(&error)
            .hint("stop aim: it takes the device away at a second SIGTERM")
            .exit(Exit::Busy),
        error => Problem::new("can't take the device away")
            .at(name)
            .because(&error)
            .hint("only root may do this")
            .exit(Exit::Failed),
    })?;
    let Some(node) = abandoned else {
        return Err(Problem::new("no device of this name waits")
            .at(name)
            .exit(Exit::NotFound));
    };
    let device = node.display().to_string();
    match out.json {
        true => {
            #[derive(Serialize)]
            struct Abandoned<'a> {
                name: &'a str,
                device: String,
            }
            output::json(&Abandoned { name, device })?;
        }
        false => output::line(format!(
            "{name}: {device} is gone; its users get I/O errors"
        ))?,
    }
    Ok(Exit::Success)
}

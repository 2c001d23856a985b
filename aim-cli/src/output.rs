//! Printing results on stdout.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

/// Prints one JSON document on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> Outcome<()> {
    let mut text = serde_json::to_string(value).map_err(|error| {
        Problem::new("can't print")
            .because(&error)
            .exit(Exit::Failed)
    })?;
    text.push('\n');
    write(text.as_bytes())
}

/// Prints a line of text.
pub(crate) fn line(text: impl AsRef<str>) -> Outcome<()> {
    write(format!("{}\n", text.as_ref()).as_bytes())
}

fn write(bytes: &[u8]) -> Outcome<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        // whoever reads has seen enough, as with `| head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Problem::new("can't write to stdout").io(&error)),
    }
}

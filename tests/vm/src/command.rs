//! Running the small programs that the harness is made of.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::error::VmError;

/// Runs `command` to its end and returns what it wrote to its stdout.
///
/// Its stderr is shown only when it fails, as part of the error.
pub(crate) fn output_of(command: &mut Command) -> Result<Vec<u8>, VmError> {
    let program = name_of(command.get_program());
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| VmError::Start {
            program: program.clone(),
            source,
        })?;
    succeed(program, output)
}

/// Runs `command` with `input` on its stdin and returns what it wrote to its stdout.
pub(crate) fn filter(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, VmError> {
    let program = name_of(command.get_program());
    let start = |source| VmError::Start {
        program: program.clone(),
        source,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let mut stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that stops reading says why on its stderr and by its status.
            stdin.take().map(|mut pipe| pipe.write_all(input))
        });
        child.wait_with_output()
    });
    succeed(program.clone(), output.map_err(start)?)
}

fn succeed(program: String, output: Output) -> Result<Vec<u8>, VmError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = said.trim().lines().rev().take(5).collect();
    let said = tail.into_iter().rev().collect::<Vec<_>>().join("; ");
    Err(VmError::Failed {
        program,
        status: output.status,
        said,
    })
}

fn name_of(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

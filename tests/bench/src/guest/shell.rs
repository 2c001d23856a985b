//! Commands of the shell.

use std::process::{Command, Stdio};

use crate::Result;

/// Runs a script, which must succeed, and returns what it wrote to its stdout.
pub(crate) fn shell(script: &str) -> Result<String> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {script}\n{said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

//! The program that applies a log of dm-log-writes. No distribution has it as a package, so it is built
//! from the source of the target's author, at one commit.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use aim_vm::cache_folder;

use super::turn::said_by;
use crate::outcome::Result;
use crate::progress::step;

/// Where its source is.
pub(super) const SOURCE: &str = "https://github.com/josefbacik/log-writes";
const COMMIT: &str = "7b70d8a6863c5de30933d42a7672d35d01d2dc6c";

/// Builds it, if it is not there yet. `source` is what git can clone.
pub(super) fn build(source: &str) -> Result<PathBuf> {
    let folder = cache_folder().join(format!("log-writes-{}", &COMMIT[..12]));
    let program = folder.join("replay-log");
    if program.exists() {
        return Ok(program);
    }
    step(&format!("building replay-log from {source}"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut git = Command::new("git");
    said_by(git.args(["clone", "--quiet", source]).arg(&folder))?;
    let mut git = Command::new("git");
    said_by(
        git.arg("-C")
            .arg(&folder)
            .args(["checkout", "--quiet", COMMIT]),
    )?;
    let mut make = Command::new("make");
    said_by(make.arg("-C").arg(&folder).arg("replay-log"))?;
    Ok(program)
}

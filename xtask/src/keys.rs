//! Keys for SSH between two guests.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::outcome::Result;

/// Makes `host_key`, `user_key` and a `known_hosts` that knows `address` in `folder`.
pub(crate) fn make_keys(folder: &Path, address: &str) -> Result<()> {
    for key in ["host_key", "user_key"] {
        make_key(&folder.join(key))?;
    }
    let host_key = fs::read_to_string(folder.join("host_key.pub"))?;
    let known = format!("{address} {host_key}");
    Ok(fs::write(folder.join("known_hosts"), known)?)
}

fn make_key(path: &Path) -> Result<()> {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f"])
        .arg(path)
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("ssh-keygen for {}: {status}", path.display()).into()),
    }
}

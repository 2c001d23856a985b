//! `cargo xtask demo`: a disk, its mirror, and a power failure.

mod folder;
mod hosts;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use aim_vm::Kernel;

use crate::cargo;
use crate::outcome::{Outcome, Result};
use crate::progress::{complain, detail, spelled, step};
use crate::setup;
use folder::Folder;
use hosts::Hosts;

/// Rows that the source shall have committed before it is cut off.
const ROWS: u64 = 40;
/// How long any step may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(280);

/// Runs it. [`Outcome::Failure`] if the mirror is not what it should be.
pub(crate) fn run() -> Result<Outcome> {
    setup::packages()?;
    let image = setup::kernel(Kernel::default())?;
    step("Building aim");
    let aim = cargo::build_binaries("aim")?;
    let start = Instant::now();
    let folder = Folder::create()?;

    step("Starting two machines on a private network: a source and a mirror");
    let mut hosts = Hosts::start(&image, &folder, &aim)?;
    let deadline = Instant::now() + PATIENCE;

    hosts.wait_for(&hosts.source_says("frozen"), deadline)?;
    step("The source holds still: comparing the two disks byte for byte");
    if let Some(place) = first_difference(&folder.source_disk(), &folder.mirror_disk())? {
        complain(&format!("the disks differ at byte {place}"));
        return Ok(Outcome::Failure);
    }
    let size = fs::metadata(folder.mirror_disk())?.len();
    detail(&format!("{} MiB, the same on both", size >> 20));
    fs::write(hosts.source_says("compared"), "")?;

    while read_number(&hosts.source_says("rows"))?.unwrap_or(0) < ROWS {
        hosts.wait_for(&hosts.source_says("rows"), deadline)?;
        hosts.pause(deadline)?;
    }
    step("Cutting the source off in the middle of its writes, like a power failure");
    hosts.cut_source()?;
    let committed = read_number(&hosts.source_says("rows"))?.unwrap_or(0);
    detail(&format!("it had committed at least {committed} rows"));
    fs::write(hosts.mirror_says("cut"), "")?;

    let exit = hosts.wait_for_mirror()?;
    if exit.code() != 0 {
        complain(&format!("the mirror is not as it should be: {exit:?}"));
        return Ok(Outcome::Failure);
    }
    let rows = read_number(&hosts.mirror_says("rows"))?.ok_or("the mirror counted no rows")?;
    let files = folder.files();
    detail(&format!("took {}", spelled(start.elapsed())));
    println!(
        "mirror identical: {} MiB byte for byte while the source held still; after its power \
         failure a clean file system, {files} files equal, and a whole database with rows 1 to \
         {rows} of {committed} or more",
        size >> 20,
    );
    Ok(Outcome::Success)
}

/// Where two files differ first, in bytes from their start.
fn first_difference(one: &Path, other: &Path) -> Result<Option<u64>> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (len, other_len) = (one.metadata()?.len(), other.metadata()?.len());
    let mut place = 0;
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    while place < len.min(other_len) {
        let chunk = (len.min(other_len) - place).min(left.len() as u64) as usize;
        one.read_exact(&mut left[..chunk])?;
        other.read_exact(&mut right[..chunk])?;
        let differing = left[..chunk].iter().zip(&right).position(|(a, b)| a != b);
        if let Some(index) = differing {
            return Ok(Some(place + index as u64));
        }
        place += chunk as u64;
    }
    Ok((len != other_len).then_some(place))
}

/// The number in a file, if it is there and whole.
fn read_number(path: &Path) -> Result<Option<u64>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        let temp = tempfile::tempdir().expect("a folder");
        let (one, other) = (temp.path().join("one"), temp.path().join("other"));
        let compare = |a: &[u8], b: &[u8]| {
            fs::write(&one, a).expect("written");
            fs::write(&other, b).expect("written");
            first_difference(&one, &other).expect("read")
        };
        let long = vec![7; (1 << 20) + 10];
        let mut changed = long.clone();
        changed[(1 << 20) + 3] = 8;
        assert_eq!(compare(&long, &long), None);
        assert_eq!(compare(&long, &changed), Some((1 << 20) + 3));
        assert_eq!(compare(&long, &long[..5]), Some(5));
    }
}

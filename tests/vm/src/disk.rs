//! What a guest sees as `/dev/vda`, `/dev/vdb` and so on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Doing, VmError};
use crate::qemu::escaped;

/// A disk of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// All zeroes, of this size in bytes, and thrown away with the guest.
    Scratch(u64),
    /// A raw image, kept. What a guest wrote to it survives the guest's death, flushed or not: the
    /// host's page cache is not part of the guest.
    File(PathBuf),
    /// QEMU's own words after `-drive if=none,`: for a network block device and the like.
    Drive(String),
}

impl Disk {
    /// Its part of a `-drive` argument; a scratch disk is made at `scratch`.
    pub(crate) fn drive(&self, scratch: &Path) -> Result<String, VmError> {
        let raw = |path: &Path| {
            format!(
                "file={},format=raw,cache=writeback,discard=unmap",
                escaped(path)
            )
        };
        match self {
            Self::Scratch(bytes) => {
                let file = File::create(scratch).doing("create", scratch)?;
                file.set_len(*bytes).doing("set the size of", scratch)?;
                Ok(raw(scratch))
            }
            Self::File(path) => Ok(raw(&path.canonicalize().doing("find", path)?)),
            Self::Drive(words) => Ok(words.clone()),
        }
    }
}

impl FromStr for Disk {
    type Err = VmError;

    /// A size (`512M`), `drive:` with QEMU's words, or the path of a raw image.
    fn from_str(word: &str) -> Result<Self, VmError> {
        if let Some(words) = word.strip_prefix("drive:") {
            return Ok(Self::Drive(words.to_owned()));
        }
        Ok(parse_size(word).map_or_else(|_| Self::File(PathBuf::from(word)), Self::Scratch))
    }
}

/// Reads a size in bytes: a number, or one with K, M, G or T (powers of 1024).
///
/// # Errors
///
/// [`VmError::Word`] if `word` is anything else, or more than a `u64` holds.
pub fn parse_size(word: &str) -> Result<u64, VmError> {
    let wrong = || VmError::Word {
        value: word.to_owned(),
        expected: "a size such as 512M",
    };
    let (digits, shift) = match word.strip_suffix(['K', 'M', 'G', 'T']) {
        None => (word, 0),
        Some(digits) if word.ends_with('K') => (digits, 10),
        Some(digits) if word.ends_with('M') => (digits, 20),
        Some(digits) if word.ends_with('G') => (digits, 30),
        Some(digits) => (digits, 40),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_disks() {
        let disk = |word: &str| word.parse::<Disk>().expect("any word is a disk");
        assert_eq!(disk("512M"), Disk::Scratch(512 << 20));
        assert_eq!(disk("4096"), Disk::Scratch(4096));
        assert_eq!(disk("./1G"), Disk::File("./1G".into()));
        assert_eq!(
            disk("drive:driver=null-co"),
            Disk::Drive("driver=null-co".to_owned())
        );
        assert!(parse_size("99999999999T").is_err());
    }
}

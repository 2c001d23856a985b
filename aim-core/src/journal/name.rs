//! Names of journal files: `docs/format.md`, section 2.

use std::fmt;
use std::str::FromStr;

use crate::units::{Epoch, FileNumber, VolumeId};

/// The name of a journal file. The texts of names sort like the names: by volume, epoch, number.
///
/// A sealed file is called `VOLUME-EPOCH-NUMBER.aim` (32, 8 and 16 hexadecimal digits), an open
/// one `….open`, a sealed one that is [packed](crate::packed) `….aim.zst`. One that is still
/// arriving has `.part` behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// The volume.
    pub volume: VolumeId,
    /// The epoch in which it was written.
    pub epoch: Epoch,
    /// Its place in the series.
    pub number: FileNumber,
}

/// A text that is not the name of a sealed (or open, or packed) journal file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a journal file")]
pub struct InvalidName(pub String);

impl FileName {
    /// Name of the file while it is open.
    pub fn open(&self) -> String {
        format!("{}{OPEN}", self.stem())
    }

    /// Name of the file once it is sealed; the same as its [`Display`](fmt::Display).
    pub fn sealed(&self) -> String {
        format!("{}{SEALED}", self.stem())
    }

    /// Name of the file where it is packed.
    pub fn packed(&self) -> String {
        format!("{}{PACKED}", self.stem())
    }

    /// Name of the file at its destination while it is not whole there.
    pub fn partial(&self) -> String {
        format!("{}{SEALED}{PARTIAL}", self.stem())
    }

    /// Reads the name of an open file.
    pub fn parse_open(text: &str) -> Result<Self, InvalidName> {
        Self::parse_with(text, OPEN)
    }

    /// Reads the name of a sealed file; the same as [`FromStr`].
    pub fn parse_sealed(text: &str) -> Result<Self, InvalidName> {
        Self::parse_with(text, SEALED)
    }

    /// Reads the name of a packed file.
    pub fn parse_packed(text: &str) -> Result<Self, InvalidName> {
        Self::parse_with(text, PACKED)
    }

    fn stem(&self) -> String {
        let (epoch, number) = (self.epoch.get(), self.number.get());
        format!("{}-{epoch:08x}-{number:016x}", self.volume)
    }

    /// Only the one spelling that is written is read, so that a name has one text.
    fn parse_with(text: &str, suffix: &str) -> Result<Self, InvalidName> {
        let parsed = text.strip_suffix(suffix).and_then(|stem| {
            let mut parts = stem.split('-');
            let (volume, epoch, number) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Self {
                volume: volume.parse().ok()?,
                epoch: Epoch(u32::from_str_radix(epoch, 16).ok()?),
                number: FileNumber(u64::from_str_radix(number, 16).ok()?),
            })
        });
        match parsed {
            Some(name) if text.strip_suffix(suffix) == Some(&name.stem()) => Ok(name),
            _ => Err(InvalidName(text.to_owned())),
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sealed())
    }
}

impl FromStr for FileName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse_sealed(text)
    }
}

const SEALED: &str = ".aim";
const OPEN: &str = ".open";
const PACKED: &str = ".aim.zst";
const PARTIAL: &str = ".part";

#[cfg(test)]
mod tests {
    use super::*;

    fn name(epoch: u32, number: u64) -> FileName {
        FileName {
            volume: VolumeId([0xa5; 16]),
            epoch: Epoch(epoch),
            number: FileNumber(number),
        }
    }

    #[test]
    fn texts_round_trip_and_sort_like_names() {
        let names = [
            name(1, 1),
            name(1, 0x10),
            name(1, 0x1_0000_0000),
            name(0x10, 2),
        ];
        for pair in names.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].sealed() < pair[1].sealed());
            assert!(pair[0].packed() < pair[1].packed());
        }
        for name in names {
            assert_eq!(name.sealed().parse(), Ok(name));
            assert_eq!(name.to_string(), name.sealed());
            assert_eq!(FileName::parse_open(&name.open()), Ok(name));
            assert_eq!(FileName::parse_packed(&name.packed()), Ok(name));
            assert!(FileName::parse_packed(&name.sealed()).is_err());
        }
    }

    #[test]
    fn no_other_spelling_is_read() {
        let text = name(1, 0xab).sealed();
        let stem = text.strip_suffix(".aim").unwrap();
        let wrong = [
            String::new(),
            ".aim".into(),
            stem.into(),
            text.to_uppercase(),
            name(1, 0xab).partial(),
            name(1, 0xab).open(),
            name(1, 0xab).packed(),
            format!("{stem}-0.aim"),
            format!("{stem}0.aim"),
            text.replace("-00000001-", "-1-"),
            text.replace("-00000001-", "-+0000001-"),
            format!("x/{text}"),
        ];
        for text in wrong {
            assert_eq!(text.parse::<FileName>(), Err(InvalidName(text)));
        }
    }
}

//! A place in a series.

use std::fmt;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::state_file::{StateError, require_zero};
use crate::units::{Epoch, FileNumber, Lsn};

/// A place in a series: just behind a sealed file. [`Position::START`] is before the first one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Epoch of the file; 0 at the start.
    pub epoch: Epoch,
    /// The file; 0 at the start.
    pub file: FileNumber,
    /// Last LSN of the file, inclusive; 0 at the start.
    pub lsn: Lsn,
    /// Digest of the file, which the next one must name as its predecessor's; zeroes at the
    /// start.
    pub digest: [u8; 32],
}

impl Position {
    /// Before the first file of a series.
    pub const START: Self = Self {
        epoch: Epoch(0),
        file: FileNumber(0),
        lsn: Lsn(0),
        digest: [0; 32],
    };

    /// Whether no file lies before it.
    pub fn is_start(&self) -> bool {
        *self == Self::START
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_start() {
            true => f.write_str("the start"),
            false => write!(
                f,
                "file {} (epoch {}, LSN {})",
                self.file, self.epoch, self.lsn
            ),
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self}, digest ")?;
        self.digest[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// A position as stored.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PositionRecord {
    epoch: U32,
    reserved: U32,
    file: U64,
    lsn: U64,
    digest: [u8; 32],
}

const _: () = assert!(size_of::<PositionRecord>() == 56);

impl From<Position> for PositionRecord {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch.get().into(),
            reserved: 0.into(),
            file: position.file.get().into(),
            lsn: position.lsn.get().into(),
            digest: position.digest,
        }
    }
}

impl PositionRecord {
    pub(super) fn parse(&self, name: &'static str) -> Result<Position, StateError> {
        require_zero(name, self.reserved.as_bytes())?;
        Ok(Position {
            epoch: Epoch(self.epoch.get()),
            file: FileNumber(self.file.get()),
            lsn: Lsn(self.lsn.get()),
            digest: self.digest,
        })
    }
}

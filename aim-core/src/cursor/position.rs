//! A place in a series.

use std::fmt;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::state_file::{StateError, require_value, require_zero};
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
    /// LSN of the group begin of the group that is open here; 0: none.
    pub open_group: Lsn,
}

impl Position {
    /// Before the first file of a series.
    pub const START: Self = Self {
        epoch: Epoch(0),
        file: FileNumber(0),
        lsn: Lsn(0),
        digest: [0; 32],
        open_group: Lsn(0),
    };

    /// Whether no file lies before it.
    pub fn is_start(&self) -> bool {
        *self == Self::START
    }

    /// Whether it lies in a group, where a mirror never stands still.
    pub const fn is_in_group(&self) -> bool {
        self.open_group.get() != 0
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
        }?;
        match self.is_in_group() {
            true => write!(f, " in the group of LSN {}", self.open_group),
            false => Ok(()),
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
    open_group: U64,
    digest: [u8; 32],
}

const _: () = assert!(size_of::<PositionRecord>() == 64);

impl From<Position> for PositionRecord {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch.get().into(),
            reserved: 0.into(),
            file: position.file.get().into(),
            lsn: position.lsn.get().into(),
            open_group: position.open_group.get().into(),
            digest: position.digest,
        }
    }
}

impl PositionRecord {
    pub(super) fn parse(&self, name: &'static str) -> Result<Position, StateError> {
        require_zero(name, self.reserved.as_bytes())?;
        require_value(name, "open_group", self.open_group.get(), |begin| {
            begin <= self.lsn.get()
        })?;
        Ok(Position {
            epoch: Epoch(self.epoch.get()),
            file: FileNumber(self.file.get()),
            lsn: Lsn(self.lsn.get()),
            open_group: Lsn(self.open_group.get()),
            digest: self.digest,
        })
    }
}

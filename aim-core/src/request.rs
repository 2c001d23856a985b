//! A block-layer request as every front end and every interceptor sees it.

use crate::units::{ByteLen, ByteOffset};

/// What a request does to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads; changes nothing.
    Read,
    /// Stores a payload.
    Write,
    /// Makes the range read as zeroes. With `unmap` the device may give the space back.
    WriteZeroes {
        /// Whether the space may be deallocated.
        unmap: bool,
    },
    /// Gives the space back. AIM makes it read as zeroes on both sides, so that they agree.
    Discard,
    /// Everything that completed before this request was submitted becomes durable.
    Flush,
}

impl Operation {
    /// Whether it belongs in the journal: all but reads. A flush changes no byte, but it is the
    /// boundary behind which the applier must not reorder.
    pub const fn is_captured(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Whether the request brings bytes of its own.
    pub const fn has_payload(self) -> bool {
        matches!(self, Self::Write)
    }
}

/// One request on one device of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which device of the volume, counted from 0 in the order of its identity.
    pub device: u16,
    /// What it does.
    pub operation: Operation,
    /// First byte on the device; a multiple of the device's block size (0 for a flush).
    pub offset: ByteOffset,
    /// Bytes from there; a multiple of the block size (0 for a flush).
    pub len: ByteLen,
    /// Force unit access: durable before it is acknowledged.
    pub fua: bool,
}

impl Request {
    /// A write of `len` bytes at `offset` of the volume's first device.
    pub const fn write(offset: ByteOffset, len: ByteLen) -> Self {
        Self {
            device: 0,
            operation: Operation::Write,
            offset,
            len,
            fua: false,
        }
    }

    /// A flush of the volume's first device.
    pub const fn flush() -> Self {
        Self {
            device: 0,
            operation: Operation::Flush,
            offset: ByteOffset(0),
            len: ByteLen(0),
            fua: false,
        }
    }

    /// Whether the ranges of two requests on the same device have a byte in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.device == other.device
            && self.offset.0 < other.offset.0.saturating_add(other.len.0)
            && other.offset.0 < self.offset.0.saturating_add(self.len.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_needs_a_common_byte() {
        let at = |offset, len| Request::write(ByteOffset(offset), ByteLen(len));
        assert!(at(0, 8).overlaps(&at(7, 1)));
        assert!(!at(0, 8).overlaps(&at(8, 1)));
        assert!(!at(0, 8).overlaps(&Request::flush()));
        assert!(!at(0, 8).overlaps(&Request {
            device: 1,
            ..at(0, 8)
        }));
    }
}

//! Named maxima of everything that a journal file can claim, and the units of its layout.
//!
//! Nothing is read or allocated past these, whatever a file says.

use crate::identity::DEVICES_MAX;

/// Most bytes of a journal file.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Most IOCBs that the IOCB portion of a file may have room for.
pub const MAX_IOCBS: u32 = 1 << 20;

/// Most bytes of one payload.
pub const MAX_PAYLOAD: u32 = 32 << 20;

/// Most devices of a volume.
pub const MAX_DEVICES: usize = DEVICES_MAX;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 4096;

/// Bytes of an IOCB.
pub const IOCB_BYTES: usize = 64;

/// IOCB portion and data portion start at multiples of this.
pub const PAGE_BYTES: usize = 4096;

/// IOCBs in one page of the IOCB portion.
pub const IOCBS_PER_PAGE: u32 = (PAGE_BYTES / IOCB_BYTES) as u32;

/// Payload sizes are multiples of this, and a medium writes this much all or not at all.
pub const SECTOR_BYTES: u32 = 512;

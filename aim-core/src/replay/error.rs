//! Why a file is not applied.

use std::io;

use crate::cursor::Position;
use crate::format::Digest;
use crate::journal::{LinkError, ReadError};
use crate::state_file::StateError;
use crate::units::{ByteLen, Epoch, FileNumber, Lsn};

/// Why a file, or a device, is refused, or what failed while a file was applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The number of devices is not the volume's.
    #[error("{found} devices for a volume of {expected}")]
    DeviceCount {
        /// Devices of the volume.
        expected: usize,
        /// Devices given.
        found: usize,
    },
    /// A mirror device has another size than the source's.
    #[error("device {device} has {found} bytes, on the source it has {expected}")]
    DeviceSize {
        /// Which device of the volume.
        device: usize,
        /// Size on the source.
        expected: ByteLen,
        /// Size of the mirror device.
        found: ByteLen,
    },
    /// A mirror device can't store blocks as small as the source's.
    #[error("device {device} has blocks of {found} bytes, on the source they have {expected}")]
    DeviceBlockSize {
        /// Which device of the volume.
        device: usize,
        /// Block size on the source.
        expected: u32,
        /// Block size of the mirror device.
        found: u32,
    },
    /// The file is of another volume, for other devices, or not the one that comes next.
    #[error("file {file}: {source}")]
    Link {
        /// The file.
        file: FileNumber,
        /// What does not fit.
        source: LinkError,
    },
    /// The file was written before the last promotion.
    #[error("file {file} is of epoch {found}, the volume is in epoch {expected}")]
    OldEpoch {
        /// The file.
        file: FileNumber,
        /// The volume's epoch.
        expected: Epoch,
        /// The file's epoch.
        found: Epoch,
    },
    /// The file was written after a promotion that this mirror has not been told of.
    #[error("file {file} is of epoch {found}, this mirror is paired in epoch {expected}")]
    FutureEpoch {
        /// The file.
        file: FileNumber,
        /// The mirror's epoch.
        expected: Epoch,
        /// The file's epoch.
        found: Epoch,
    },
    /// A different file of this number was applied, or begun to be applied, before.
    #[error(
        "file {file} has digest {}, but a file of that number with digest {} was taken before",
        blake3::Hash::from_bytes(*.found), blake3::Hash::from_bytes(*.expected)
    )]
    OtherHistory {
        /// The file.
        file: FileNumber,
        /// Digest of the file that was taken.
        expected: Digest,
        /// Digest of the file given.
        found: Digest,
    },
    /// The last of the files ends in a group, whose other files are needed with it.
    #[error("file {file} ends in the group that begins at LSN {begin}: the rest of it is needed")]
    InGroup {
        /// The last file.
        file: FileNumber,
        /// Where the group begins.
        begin: Lsn,
    },
    /// A transaction reaches past the end of its device.
    #[error("LSN {lsn}: {len} bytes at {offset} are not on device {device}")]
    OutOfRange {
        /// The transaction.
        lsn: Lsn,
        /// Which device of the volume.
        device: u16,
        /// First byte, from the start of the device.
        offset: u64,
        /// Bytes from there.
        len: u64,
    },
    /// The file can't be read any more, or is no longer what was verified.
    #[error("file {file}: {source}")]
    Read {
        /// The file.
        file: FileNumber,
        /// What is wrong with it.
        source: ReadError,
    },
    /// A mirror device failed.
    #[error("{what} mirror device {device}: {source}")]
    Device {
        /// What was being done, as a verb: "writing to".
        what: &'static str,
        /// Which device of the volume.
        device: usize,
        /// What the device said.
        source: io::Error,
    },
    /// The cursor can't be stored.
    #[error("storing how far the mirror is: {0}")]
    Cursor(#[source] StateError),
    /// What is known to differ can't be read or stored.
    #[error("what is known to differ from the source: {0}")]
    Differences(#[source] StateError),
    /// Whether the mirror is a follower can't be read.
    #[error("whether the mirror begins at a baseline: {0}")]
    Follower(#[source] StateError),
    /// Nobody asks what this mirror holds, so what it applies first must begin with a baseline.
    #[error("file {file}: this mirror is never asked what it holds, and begins at a baseline")]
    NotAtABaseline {
        /// The file.
        file: FileNumber,
    },
    /// The run was made when less or more was applied.
    #[error("the run begins behind {start}, but {applied} is applied")]
    OtherStart {
        /// What the run begins behind.
        start: Box<Position>,
        /// What is applied.
        applied: Box<Position>,
    },
    /// Whoever gave the files wants it to stop. As with any other error the run counts as not
    /// applied, and where the devices were touched it has to be applied again.
    #[error("stopped")]
    Stopped,
}

impl ReplayError {
    /// Whether the file itself is at fault: trying it again on a sound host gives the same. A
    /// gap is no fault of the file, it only came too early; nor is a group of which a part is missing.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Link { source, .. } => !matches!(source, LinkError::Gap { .. }),
            Self::OldEpoch { .. }
            | Self::FutureEpoch { .. }
            | Self::OtherHistory { .. }
            | Self::OutOfRange { .. } => true,
            Self::DeviceCount { .. }
            | Self::DeviceSize { .. }
            | Self::DeviceBlockSize { .. }
            | Self::InGroup { .. }
            | Self::Read { .. }
            | Self::Device { .. }
            | Self::Cursor(_)
            | Self::Differences(_)
            | Self::Follower(_)
            | Self::NotAtABaseline { .. }
            | Self::OtherStart { .. }
            | Self::Stopped => false,
        }
    }
}

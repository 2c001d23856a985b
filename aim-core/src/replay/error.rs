//! Why a file is not applied.

use std::io;

use crate::cursor::Position;
use crate::journal::ReadError;
use crate::state_file::StateError;
use crate::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, VolumeId};

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
    /// The file is of another volume.
    #[error("file {file} belongs to volume {found}, not to {expected}")]
    ForeignVolume {
        /// The file.
        file: FileNumber,
        /// The volume that is mirrored.
        expected: VolumeId,
        /// The volume that the file names.
        found: VolumeId,
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
    /// The file was written for other devices.
    #[error("file {file} is for {found} devices, the volume has {expected}")]
    RecordedCount {
        /// The file.
        file: FileNumber,
        /// Devices of the volume.
        expected: usize,
        /// Devices that the file names.
        found: usize,
    },
    /// The file was written for another device.
    #[error("file {file} is for device {found}, the volume's device {device} is {expected}")]
    RecordedDevice {
        /// The file.
        file: FileNumber,
        /// Which device of the volume.
        device: usize,
        /// The volume's device.
        expected: DeviceId,
        /// The device that the file names.
        found: DeviceId,
    },
    /// The file was written for a device of another size.
    #[error(
        "file {file} is for a device of {found} bytes, the volume's device {device} has {expected}"
    )]
    RecordedSize {
        /// The file.
        file: FileNumber,
        /// Which device of the volume.
        device: usize,
        /// Size of the volume's device.
        expected: ByteLen,
        /// Size that the file names.
        found: ByteLen,
    },
    /// The file was written for a device of another block size.
    #[error(
        "file {file} is for blocks of {found} bytes, the volume's device {device} has {expected}"
    )]
    RecordedBlockSize {
        /// The file.
        file: FileNumber,
        /// Which device of the volume.
        device: usize,
        /// Block size of the volume's device.
        expected: u32,
        /// Block size that the file names.
        found: u32,
    },
    /// A file between is missing.
    #[error("file {found} can't follow {after}: file {expected} is missing")]
    FileGap {
        /// How far the series has come.
        after: Position,
        /// The file that comes next.
        expected: FileNumber,
        /// The file given.
        found: FileNumber,
    },
    /// Transactions between are missing, though no file is.
    #[error("file {file} begins with LSN {found}, but {expected} comes next")]
    LsnGap {
        /// The file.
        file: FileNumber,
        /// The LSN that comes next.
        expected: Lsn,
        /// First LSN of the file.
        found: Lsn,
    },
    /// The file follows another file than the one that was applied.
    #[error(
        "file {file} follows a file with digest {}, the one before it has {}",
        hex(found),
        hex(expected)
    )]
    BrokenChain {
        /// The file.
        file: FileNumber,
        /// Digest of the file before.
        expected: [u8; 32],
        /// Digest that the file names.
        found: [u8; 32],
    },
    /// A different file of this number was applied, or begun to be applied, before.
    #[error(
        "file {file} has digest {}, but a file of that number with digest {} was taken before",
        hex(found),
        hex(expected)
    )]
    OtherHistory {
        /// The file.
        file: FileNumber,
        /// Digest of the file that was taken.
        expected: [u8; 32],
        /// Digest of the file given.
        found: [u8; 32],
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
}

impl ReplayError {
    /// Whether the file itself is at fault: trying it again on a sound host gives the same. A
    /// gap is no fault of the file, it only came too early.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::ForeignVolume { .. }
            | Self::OldEpoch { .. }
            | Self::FutureEpoch { .. }
            | Self::RecordedCount { .. }
            | Self::RecordedDevice { .. }
            | Self::RecordedSize { .. }
            | Self::RecordedBlockSize { .. }
            | Self::LsnGap { .. }
            | Self::BrokenChain { .. }
            | Self::OtherHistory { .. }
            | Self::OutOfRange { .. } => true,
            Self::DeviceCount { .. }
            | Self::DeviceSize { .. }
            | Self::DeviceBlockSize { .. }
            | Self::FileGap { .. }
            | Self::Read { .. }
            | Self::Device { .. }
            | Self::Cursor(_) => false,
        }
    }
}

/// The first bytes of a digest: enough to tell two apart.
fn hex(digest: &[u8; 32]) -> String {
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

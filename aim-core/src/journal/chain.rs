//! How the files of a series follow each other: `docs/format.md`, section 7.

use crate::cursor::Position;
use crate::format::{Digest, Header};
use crate::identity::VolumeIdentity;
use crate::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, VolumeId};

/// Why a file is not the next one of a series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It belongs to another volume.
    #[error("it is of volume {found}, not of {expected}")]
    Volume {
        /// The volume of the series.
        expected: VolumeId,
        /// The volume of the file.
        found: VolumeId,
    },
    /// Its volume has another number of devices.
    #[error("its volume has {found} devices, not {expected}")]
    DeviceCount {
        /// Devices of the volume.
        expected: usize,
        /// Devices by the file.
        found: usize,
    },
    /// One of the devices is another one.
    #[error("device {index} is {found}, not {expected}")]
    Device {
        /// Place in the device table, from 0.
        index: usize,
        /// The volume's device.
        expected: DeviceId,
        /// The file's.
        found: DeviceId,
    },
    /// One of the devices has another size.
    #[error("device {index} has {found} bytes, not {expected}")]
    DeviceSize {
        /// Place in the device table, from 0.
        index: usize,
        /// Size of the volume's device.
        expected: ByteLen,
        /// Size by the file.
        found: ByteLen,
    },
    /// One of the devices has another block size.
    #[error("device {index} has blocks of {found} bytes, not {expected}")]
    BlockSize {
        /// Place in the device table, from 0.
        index: usize,
        /// Block size of the volume's device.
        expected: u32,
        /// Block size by the file.
        found: u32,
    },
    /// It was written by a source that has been superseded by a promotion.
    #[error("it is of epoch {found}, which epoch {reached} has ended")]
    OldEpoch {
        /// The epoch that the series has reached.
        reached: Epoch,
        /// The epoch of the file.
        found: Epoch,
    },
    /// The series is already behind a file with this number.
    #[error("it is file {found}, and file {reached} has been reached")]
    Repeated {
        /// The file that the series has reached.
        reached: FileNumber,
        /// The number of the file.
        found: FileNumber,
    },
    /// Files before it are missing.
    #[error("it is file {found}, but file {expected} is next")]
    Gap {
        /// The number of the first missing file.
        expected: FileNumber,
        /// The number of the file.
        found: FileNumber,
    },
    /// Transactions before it are missing, or come twice.
    #[error("it starts at LSN {found}, but LSN {expected} is next")]
    Lsn {
        /// The LSN that is next.
        expected: Lsn,
        /// The first LSN of the file.
        found: Lsn,
    },
    /// It follows another file than the one that is there.
    #[error(
        "it follows a file with digest {}, not the one with {}",
        blake3::Hash::from_bytes(*.found), blake3::Hash::from_bytes(*.expected)
    )]
    Previous {
        /// Digest of the file that is there.
        expected: Digest,
        /// Digest of the file that it follows.
        found: Digest,
    },
    /// It was begun in another group than the series is in.
    #[error("it starts in the group of LSN {found} (0: none), but that of LSN {expected} is open")]
    OpenGroup {
        /// Where the group that is open begins; 0: none is.
        expected: Lsn,
        /// Where the group begins in which the file starts; 0: in none.
        found: Lsn,
    },
}

/// Checks that the file with this header is the one that comes next behind `after`, in the same
/// epoch or, behind a promotion, in a later one.
///
/// # Errors
///
/// [`LinkError`] for the first thing that is not so. The volume is for [`check_volume`].
pub fn check_link(after: &Position, header: &Header) -> Result<(), LinkError> {
    let (reached, found) = (after.epoch, header.volume.epoch);
    if found < reached {
        return Err(LinkError::OldEpoch { reached, found });
    }
    let (reached, found) = (after.file, header.number);
    if found <= reached {
        return Err(LinkError::Repeated { reached, found });
    }
    let expected = after.file.next();
    if found != expected {
        return Err(LinkError::Gap { expected, found });
    }
    let (expected, found) = (after.lsn.next(), header.first_lsn);
    if found != expected {
        return Err(LinkError::Lsn { expected, found });
    }
    let (expected, found) = (after.digest, header.previous);
    if found != expected {
        return Err(LinkError::Previous { expected, found });
    }
    let (expected, found) = (after.open_group, header.open_group);
    if found != expected {
        return Err(LinkError::OpenGroup { expected, found });
    }
    Ok(())
}

/// Checks that the file with this header may follow `after` with files missing between: it begins
/// with a baseline, and lies behind `after` in the same epoch. Whoever applies it and what follows
/// up to the end of the baseline holds what the source does, whatever was held before.
///
/// # Errors
///
/// [`LinkError`] for the first thing that is not so. The volume is for [`check_volume`].
pub fn check_step(after: &Position, header: &Header) -> Result<(), LinkError> {
    let (reached, found) = (after.epoch, header.volume.epoch);
    // at the start of a series no epoch is reached yet
    if found != reached && reached != Epoch(0) {
        return Err(LinkError::OldEpoch { reached, found });
    }
    let (reached, found) = (after.file, header.number);
    if found <= reached {
        return Err(LinkError::Repeated { reached, found });
    }
    let expected = after.lsn.next();
    if header.first_lsn < expected {
        let found = header.first_lsn;
        return Err(LinkError::Lsn { expected, found });
    }
    match header.begins_baseline() {
        true => Ok(()),
        false => Err(LinkError::Gap {
            expected: after.file.next(),
            found,
        }),
    }
}

/// Checks that the file with this header is of this volume: the same devices, of the same sizes.
/// The epoch does not count here.
///
/// # Errors
///
/// [`LinkError`] for the first difference.
pub fn check_volume(volume: &VolumeIdentity, header: &Header) -> Result<(), LinkError> {
    let (expected, found) = (volume.id, header.volume.id);
    if found != expected {
        return Err(LinkError::Volume { expected, found });
    }
    let (expected, found) = (volume.devices.len(), header.volume.devices.len());
    if found != expected {
        return Err(LinkError::DeviceCount { expected, found });
    }
    let pairs = volume.devices.iter().zip(&header.volume.devices);
    for (index, (ours, theirs)) in pairs.enumerate() {
        if theirs.id != ours.id {
            return Err(LinkError::Device {
                index,
                expected: ours.id,
                found: theirs.id,
            });
        }
        if theirs.size != ours.size {
            return Err(LinkError::DeviceSize {
                index,
                expected: ours.size,
                found: theirs.size,
            });
        }
        if theirs.block_size != ours.block_size {
            return Err(LinkError::BlockSize {
                index,
                expected: ours.block_size,
                found: theirs.block_size,
            });
        }
    }
    Ok(())
}

//! Whether a file belongs here, and here next.

use super::ReplayError;
use crate::cursor::{MirrorCursor, Position};
use crate::format::Header;
use crate::identity::VolumeIdentity;
use crate::journal::VerifiedFile;

/// Where a file stands in the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was applied before.
    Before,
    /// It comes next.
    Next,
}

/// Decides about a file against the volume, the cursor and the position reached.
pub(super) fn standing(
    volume: &VolumeIdentity,
    cursor: &MirrorCursor,
    reached: Position,
    file: &VerifiedFile,
) -> Result<Standing, ReplayError> {
    let header = file.header();
    require_volume(volume, header)?;
    require_devices(volume, header)?;
    let position = file.position();
    for known in [cursor.applied, cursor.intent] {
        if known.file == position.file && known.digest != position.digest {
            return Err(ReplayError::OtherHistory {
                file: position.file,
                expected: known.digest,
                found: position.digest,
            });
        }
    }
    if header.number <= reached.file {
        return Ok(Standing::Before);
    }
    require_follows(reached, header)?;
    Ok(Standing::Next)
}

fn require_volume(volume: &VolumeIdentity, header: &Header) -> Result<(), ReplayError> {
    let file = header.number;
    if header.volume.id != volume.id {
        return Err(ReplayError::ForeignVolume {
            file,
            expected: volume.id,
            found: header.volume.id,
        });
    }
    let (expected, found) = (volume.epoch, header.volume.epoch);
    if found < expected {
        return Err(ReplayError::OldEpoch {
            file,
            expected,
            found,
        });
    }
    if found > expected {
        return Err(ReplayError::FutureEpoch {
            file,
            expected,
            found,
        });
    }
    Ok(())
}

fn require_devices(volume: &VolumeIdentity, header: &Header) -> Result<(), ReplayError> {
    let file = header.number;
    let (expected, found) = (&volume.devices, &header.volume.devices);
    if expected.len() != found.len() {
        return Err(ReplayError::RecordedCount {
            file,
            expected: expected.len(),
            found: found.len(),
        });
    }
    for (device, (expected, found)) in expected.iter().zip(found).enumerate() {
        if expected.id != found.id {
            return Err(ReplayError::RecordedDevice {
                file,
                device,
                expected: expected.id,
                found: found.id,
            });
        }
        if expected.size != found.size {
            return Err(ReplayError::RecordedSize {
                file,
                device,
                expected: expected.size,
                found: found.size,
            });
        }
        if expected.block_size != found.block_size {
            return Err(ReplayError::RecordedBlockSize {
                file,
                device,
                expected: expected.block_size,
                found: found.block_size,
            });
        }
    }
    Ok(())
}

fn require_follows(reached: Position, header: &Header) -> Result<(), ReplayError> {
    let file = header.number;
    if file != reached.file.next() {
        return Err(ReplayError::FileGap {
            after: reached,
            expected: reached.file.next(),
            found: file,
        });
    }
    if header.previous != reached.digest {
        return Err(ReplayError::BrokenChain {
            file,
            expected: reached.digest,
            found: header.previous,
        });
    }
    if header.first_lsn != reached.lsn.next() {
        return Err(ReplayError::LsnGap {
            file,
            expected: reached.lsn.next(),
            found: header.first_lsn,
        });
    }
    Ok(())
}

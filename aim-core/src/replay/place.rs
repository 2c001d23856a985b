//! Whether a file belongs here, and here next.

use std::cmp::Ordering;

use super::ReplayError;
use crate::cursor::{MirrorCursor, Position};
use crate::format::Header;
use crate::identity::VolumeIdentity;
use crate::journal::{check_link, check_volume};

/// Where a file stands in the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was applied before.
    Before,
    /// It comes next.
    Next,
}

/// Decides about a file, by its header and the place behind it, against the volume, the cursor
/// and the position reached.
pub(super) fn standing(
    volume: &VolumeIdentity,
    cursor: &MirrorCursor,
    reached: Position,
    header: &Header,
    position: Position,
) -> Result<Standing, ReplayError> {
    let link_error = |source| ReplayError::Link {
        file: header.number,
        source,
    };
    check_volume(volume, header).map_err(link_error)?;
    require_epoch(volume, header)?;
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
    check_link(&reached, header).map_err(link_error)?;
    Ok(Standing::Next)
}

fn require_epoch(volume: &VolumeIdentity, header: &Header) -> Result<(), ReplayError> {
    let (file, expected, found) = (header.number, volume.epoch, header.volume.epoch);
    match found.cmp(&expected) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(ReplayError::OldEpoch {
            file,
            expected,
            found,
        }),
        Ordering::Greater => Err(ReplayError::FutureEpoch {
            file,
            expected,
            found,
        }),
    }
}

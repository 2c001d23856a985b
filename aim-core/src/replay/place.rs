//! Whether a file belongs here, and here next.

use std::cmp::Ordering;

use super::{ReplayError, Run};
use crate::cursor::{MirrorCursor, Position};
use crate::format::Header;
use crate::identity::VolumeIdentity;
use crate::journal::{check_link, check_step, check_volume};

/// Where a file stands in the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was applied before.
    Before,
    /// It comes next.
    Next,
}

/// Decides about a file, by its header and the place behind it, against the volume, the cursor
/// and the position that a run has reached.
pub(super) fn standing(
    volume: &VolumeIdentity,
    cursor: &MirrorCursor,
    run: &Run,
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
    let reached = run.reached();
    if header.number <= reached.file || run.steps_over() && header.number < run.next_file() {
        return Ok(Standing::Before);
    }
    match run.steps_over() && header.number == run.next_file() {
        true => check_step(&reached, header),
        false => check_link(&reached, header),
    }
    .map_err(link_error)?;
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

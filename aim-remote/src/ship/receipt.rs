//! What the mirror's cursor proves.

use aim_core::cursor::{MirrorCursor, Position};
use aim_core::journal::{FileName, ParsedFile};
use aim_core::spool::{Listing, Outgoing};

use super::ShipError;

/// Checks that the cursor speaks of this journal, and says whether the files up to its
/// `received` may go.
///
/// A cursor is only believed about a file whose digest it names rightly: by the file itself, or
/// by what follows it. Where neither is here yet, nothing goes for now.
pub(super) fn proves_receipt(
    spool: &dyn Outgoing,
    sealed: Position,
    waiting: &Listing,
    cursor: &MirrorCursor,
) -> Result<bool, ShipError> {
    let identity = spool.identity();
    let received = cursor.received;
    if cursor.volume != identity.id {
        return Err(ShipError::ForeignMirror {
            expected: identity.id,
            found: cursor.volume,
        });
    }
    if received.is_start() {
        return Ok(false);
    }
    if received.epoch != identity.epoch {
        return Err(ShipError::OtherEpoch {
            expected: identity.epoch,
            found: received.epoch,
        });
    }
    if received.file > sealed.file {
        return Err(ShipError::Ahead {
            received: received.into(),
            sealed: sealed.into(),
        });
    }
    if received.file == sealed.file {
        return require_same(sealed, received);
    }
    let name = |number| FileName {
        volume: identity.id,
        epoch: identity.epoch,
        number,
    };
    let is_here = |name| waiting.files.iter().any(|file| file.name == name);
    let (itself, next) = (name(received.file), name(received.file.next()));
    if is_here(itself) {
        let position = open(spool, itself)?.position();
        return require_same(position.unwrap_or_default(), received);
    }
    if is_here(next) {
        let names = open(spool, next)?.header().previous;
        return match names == received.digest {
            true => Ok(true),
            false => Err(ShipError::OtherHistory {
                file: received.file,
            }),
        };
    }
    Ok(false)
}

/// Reads the header of a file that waits.
pub(super) fn open(spool: &dyn Outgoing, name: FileName) -> Result<ParsedFile, ShipError> {
    let opened = spool.folder().open(&name.sealed(), false);
    let file = opened.map_err(|source| ShipError::Unreadable {
        name,
        source: aim_core::journal::ReadError::Io { at: 0, source },
    })?;
    ParsedFile::open(file).map_err(ShipError::reading(name))
}

fn require_same(ours: Position, received: Position) -> Result<bool, ShipError> {
    match ours == received {
        true => Ok(true),
        false => Err(ShipError::OtherHistory {
            file: received.file,
        }),
    }
}

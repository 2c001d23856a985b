//! One file on its way from the store into a folder of the mirror.

use std::io::IoSlice;
use std::sync::Arc;

use aim_core::fs::Directory;

use super::FetchError;
use super::status::Shared;
use crate::transport::{Entry, Name, PART, ReadAt};

/// Bytes that are asked for at once: one request, and so much memory for each file.
const PIECE_BYTES: usize = 4 << 20;

/// Brings a file whose content does not change as `NAME.part`, and syncs it.
pub(super) async fn bring<T: ReadAt>(
    transport: Arc<T>,
    folder: Arc<dyn Directory>,
    far_folder: &'static str,
    entry: Entry,
    shared: Arc<Shared>,
) -> Result<(), FetchError> {
    let name = Name::in_folder(far_folder, &entry.name)?;
    let part = part(&entry.name);
    let path = folder.path().join(&part);
    let local = |source| FetchError::Local {
        path: path.clone(),
        source,
    };
    // what a stop has left may lack its end, or what was not synced
    match folder.remove(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(local(error)),
        _ => {}
    }
    let file = folder.create(&part).map_err(local)?;
    let mut offset = 0;
    while offset < entry.len {
        let rest = entry.len - offset;
        let len = usize::try_from(rest).map_or(PIECE_BYTES, |rest| rest.min(PIECE_BYTES));
        let piece = transport.read_at(&name, offset, len).await?;
        if piece.is_empty() || piece.len() > len {
            return Err(FetchError::Length {
                name: entry.name,
                listed: entry.len,
                found: offset + piece.len() as u64,
            });
        }
        let written = file.write_all_at(&[IoSlice::new(&piece)], offset);
        written.map_err(local)?;
        offset += piece.len() as u64;
        shared.update(|status| status.fetched_bytes += piece.len() as u64);
    }
    file.sync_data().map_err(local)
}

/// Gives a file that was brought its name, durably.
pub(super) fn finish(folder: &Arc<dyn Directory>, name: &str) -> Result<(), FetchError> {
    let done = folder
        .rename(&part(name), &**folder, name)
        .and_then(|()| folder.sync());
    done.map_err(|source| FetchError::Local {
        path: folder.path().join(name),
        source,
    })
}

fn part(name: &str) -> String {
    format!("{name}{PART}")
}

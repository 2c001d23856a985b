//! Objects of which some parts have arrived.
//!
//! A store keeps the parts of an object that is never completed, and has them paid for. So before
//! the first part goes, a note with the id of the upload is stored as `NAME.part`:
//!
//! | stop | what is done |
//! |---|---|
//! | an upload fails, or is given up | the next one of the same name goes on with its parts, if they are the same |
//! | it is gone on with, and the store refuses a part | it is given up, and the next one begins anew |
//! | the process ends | the next one that brings a file in parts into that folder gives up what the notes there name, and removes them |
//! | after the object was begun, before its note is stored | nothing: it has no parts, and is never paid for |

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use object_store::MultipartId;
use object_store::multipart::PartId;

use super::Bucket;
use crate::transport::{PART, TransportError};

/// Longer than any id of an upload.
const NOTE_BYTES_MAX: usize = 4096;

/// The unfinished objects of this process, and the folders without such of other ones.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    uploads: Mutex<HashMap<String, Parts>>,
    swept: tokio::sync::Mutex<HashSet<String>>,
}

/// What has arrived of an object.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: MultipartId,
    arrived: BTreeMap<usize, (blake3::Hash, PartId)>,
}

impl Parts {
    /// Whether a part with this content has arrived.
    pub(super) fn has(&self, index: usize, digest: &blake3::Hash) -> bool {
        let arrived = self.arrived.get(&index);
        arrived.is_some_and(|(known, _)| known == digest)
    }

    pub(super) fn add(&mut self, index: usize, digest: blake3::Hash, part: PartId) {
        self.arrived.insert(index, (digest, part));
    }

    /// The first `count` parts.
    pub(super) fn first(&self, count: usize) -> Vec<PartId> {
        let arrived = self.arrived.range(..count);
        arrived.map(|(_, (_, part))| part.clone()).collect()
    }
}

/// An unfinished object that somebody works on. Unless it is [forgotten](Self::forget), others
/// can go on with it afterwards.
#[derive(Debug)]
pub(super) struct Held<'a> {
    all: &'a Unfinished,
    name: String,
    parts: Option<Parts>,
}

impl Held<'_> {
    pub(super) fn parts(&mut self) -> Option<&mut Parts> {
        self.parts.as_mut()
    }

    /// There is nothing to go on with any more.
    pub(super) fn forget(mut self) {
        self.parts = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.all
                .lock()
                .insert(std::mem::take(&mut self.name), parts);
        }
    }
}

impl Unfinished {
    /// What this process has begun of an object.
    pub(super) fn take(&self, name: &str) -> Option<Held<'_>> {
        let parts = self.lock().remove(name)?;
        Some(self.hold(name, parts))
    }

    /// Begins an object; no part of it goes before this returns.
    pub(super) async fn begin(
        &self,
        bucket: &Bucket,
        name: &str,
    ) -> Result<Held<'_>, TransportError> {
        self.sweep(bucket, folder(name)).await?;
        let id = bucket.begin(name).await?;
        let note = bucket.write(&note(name), id.clone().into_bytes()).await;
        let arrived = BTreeMap::new();
        // also without its note there may be something to go on with
        let held = self.hold(name, Parts { id, arrived });
        note?;
        Ok(held)
    }

    /// Gives up what was begun of an object, if anything was.
    pub(crate) async fn give_up(&self, bucket: &Bucket, name: &str) -> Result<(), TransportError> {
        let Some(mut held) = self.take(name) else {
            return Ok(());
        };
        if let Some(parts) = held.parts() {
            bucket.abort(name, &parts.id).await?;
            bucket.remove(&note(name)).await?;
        }
        held.forget();
        Ok(())
    }

    /// Gives up what other processes have left in a folder. One process at a time stores files
    /// there, and this is it.
    async fn sweep(&self, bucket: &Bucket, folder: &str) -> Result<(), TransportError> {
        let mut swept = self.swept.lock().await;
        if swept.contains(folder) {
            return Ok(());
        }
        for entry in bucket.list(folder).await? {
            let Some(file) = entry.name.strip_suffix(PART) else {
                continue;
            };
            let name = match folder {
                "" => file.to_owned(),
                folder => format!("{folder}/{file}"),
            };
            if let Some(id) = read_note(bucket, &note(&name)).await? {
                tracing::info!(file = name, "giving up what an interrupted upload has left");
                bucket.abort(&name, &id).await?;
            }
            bucket.remove(&note(&name)).await?;
        }
        swept.insert(folder.to_owned());
        Ok(())
    }

    fn hold(&self, name: &str, parts: Parts) -> Held<'_> {
        Held {
            all: self,
            name: name.to_owned(),
            parts: Some(parts),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Parts>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id in a note; `None` where it is none of ours.
async fn read_note(bucket: &Bucket, note: &str) -> Result<Option<MultipartId>, TransportError> {
    let mut content = bucket.read(note).await?;
    let mut id = Vec::new();
    while let Some(bytes) = content.next().await? {
        id.extend_from_slice(&bytes);
        if id.len() > NOTE_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(String::from_utf8(id).ok().filter(|id| !id.is_empty()))
}

/// Where the note of an object is.
pub(super) fn note(name: &str) -> String {
    format!("{name}{PART}")
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

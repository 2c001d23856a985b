//! One round of fetching; the steps are those of the [module](super).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::{MirrorCursor, StoreCursor, StoreReader};
use aim_core::identity::MirrorIdentity;
use aim_core::journal::FileName;
use aim_core::spool::MirrorSpool;
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_core::units::FileNumber;
use tokio::task::JoinHandle;

use super::files::{bring, finish};
use super::status::Shared;
use super::{FetchError, FetchStatus};
use crate::file_io::Source;
use crate::transport::{Entry, Name, Progress, ReadAt, TransportError};

/// The folder of the store, and of the mirror, in which the files are.
const INCOMING: &str = "incoming";

/// How often a mirror says that it still follows the store, though nothing has changed.
const SAY_EVERY: Duration = Duration::from_secs(3600);

/// The rounds of a [`Fetcher`](super::Fetcher) one by one.
#[derive(Debug)]
pub struct FetchRounds<T> {
    spool: MirrorSpool,
    transport: Arc<T>,
    files: NonZeroUsize,
    shared: Arc<Shared>,
    /// What this mirror has said last.
    said: Option<StoreReader>,
}

/// What a round has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// So many files.
    Files(usize),
    /// Nothing: the mirror has all that is in the store.
    Nothing,
}

impl<T: ReadAt> FetchRounds<T> {
    /// Brings what is behind `transport` to `spool`, so many files at once.
    pub fn new(spool: MirrorSpool, transport: T, files: NonZeroUsize) -> Self {
        let shared = Arc::<Shared>::default();
        shared.update(|status| status.place = transport.place());
        Self {
            spool,
            transport: Arc::new(transport),
            files,
            shared,
            said: None,
        }
    }

    /// How it is going.
    pub fn status(&self) -> FetchStatus {
        self.shared.snapshot()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Goes round once. It may be dropped in the middle: the next one does what is left.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; the next round tries again.
    pub async fn round(&mut self) -> Result<Fetched, FetchError> {
        let store = self.store_cursor().await?;
        let mirror = self.mirror_cursor()?;
        let far = self.far_files().await?;
        let wanted = self.wanted(&store, &mirror, &far)?;
        self.shared.update(|status| {
            status.in_store = store.received.file;
            status.waits_for_baseline = begin(&store, &mirror, &far).is_none();
            status.waiting_files = wanted.len() as u64;
            status.waiting_bytes = wanted.iter().map(|entry| entry.len).sum();
        });
        let brought = wanted.len();
        self.bring(wanted).await?;
        self.say(&mirror).await?;
        Ok(match brought {
            0 => Fetched::Nothing,
            files => Fetched::Files(files),
        })
    }

    /// Step 1, for the store.
    async fn store_cursor(&self) -> Result<StoreCursor, FetchError> {
        let expected = self.spool.identity().id;
        let name = Name::parse(StoreCursor::NAME)?;
        let cursor = match self.transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => StoreCursor::decode(&bytes).map_err(FetchError::FarState)?,
            Err(TransportError::NotFound { .. }) => StoreCursor::new(expected),
            Err(error) => return Err(error.into()),
        };
        match cursor.volume == expected {
            true => Ok(cursor),
            false => Err(FetchError::Foreign {
                expected,
                found: cursor.volume,
            }),
        }
    }

    /// Step 1, for the mirror.
    fn mirror_cursor(&self) -> Result<MirrorCursor, FetchError> {
        let loaded = MirrorCursor::load(&**self.spool.root()).map_err(FetchError::State)?;
        Ok(loaded.unwrap_or_else(|| MirrorCursor::new(self.spool.identity().id)))
    }

    /// The journal files in the store, in whichever form.
    async fn far_files(&self) -> Result<BTreeMap<FileNumber, Entry>, FetchError> {
        let identity = self.spool.identity();
        let mut files = BTreeMap::new();
        for entry in self.transport.list(INCOMING).await? {
            let parsed = FileName::parse_sealed(&entry.name);
            let Ok(name) = parsed.or_else(|_| FileName::parse_packed(&entry.name)) else {
                continue;
            };
            if (name.volume, name.epoch) == (identity.id, identity.epoch) {
                files.insert(name.number, entry);
            }
        }
        Ok(files)
    }

    /// Step 2: the files to be brought, in series order.
    fn wanted(
        &self,
        store: &StoreCursor,
        mirror: &MirrorCursor,
        far: &BTreeMap<FileNumber, Entry>,
    ) -> Result<Vec<Entry>, FetchError> {
        let Some(first) = begin(store, mirror, far) else {
            return Ok(Vec::new());
        };
        let here = self.here()?;
        let mut wanted = Vec::new();
        let mut number = first;
        while number <= store.received.file {
            if !here.contains(&number) {
                let entry = far.get(&number).ok_or(FetchError::Missing { number })?;
                wanted.push(entry.clone());
            }
            number = number.next();
        }
        Ok(wanted)
    }

    /// Files that have arrived and wait here.
    fn here(&self) -> Result<BTreeSet<FileNumber>, FetchError> {
        let listing = self.spool.incoming()?;
        let files = listing.files.iter().chain(&listing.packed);
        Ok(files.map(|file| file.name.number).collect())
    }

    /// Step 3.
    async fn bring(&self, wanted: Vec<Entry>) -> Result<(), FetchError> {
        let folder = self.spool.incoming_folder();
        let mut waiting = VecDeque::from(wanted);
        let mut on_way = OnWay::default();
        loop {
            while on_way.0.len() < self.files.get()
                && let Some(entry) = waiting.pop_front()
            {
                let name = entry.name.clone();
                let (transport, shared) = (Arc::clone(&self.transport), Arc::clone(&self.shared));
                let folder = Arc::clone(folder);
                let task = tokio::spawn(bring(transport, folder, INCOMING, entry, shared));
                on_way.0.push_back((name, task));
            }
            let Some((name, task)) = on_way.0.front_mut() else {
                return Ok(());
            };
            let brought = task.await;
            brought.map_err(|error| FetchError::Local {
                path: folder.path().join(&*name),
                source: std::io::Error::other(error),
            })??;
            finish(folder, name)?;
            on_way.0.pop_front();
        }
    }

    /// Step 4.
    async fn say(&mut self, mirror: &MirrorCursor) -> Result<(), FetchError> {
        let pairing = self.spool.pairing()?;
        let Some(MirrorIdentity { id, .. }) = pairing else {
            return Ok(());
        };
        let now = SystemClock.now();
        let reader = StoreReader {
            volume: mirror.volume,
            mirror: id,
            seen: now,
            received: mirror.received,
            applied: mirror.applied,
        };
        let is_new = self.said.is_none_or(|said| {
            let age = Duration::from_nanos(now.get().saturating_sub(said.seen.get()));
            age >= SAY_EVERY || (said.received, said.applied) != (reader.received, reader.applied)
        });
        if is_new {
            let name = Name::in_folder(StoreReader::FOLDER, &id.to_string())?;
            let file = Source::from_bytes(name.as_str(), reader.encode());
            self.transport
                .put(&name, &file, &Progress::default())
                .await?;
            self.said = Some(reader);
        }
        Ok(())
    }
}

/// The first file that the mirror needs; `None` while the store has no baseline to begin at.
fn begin(
    store: &StoreCursor,
    mirror: &MirrorCursor,
    far: &BTreeMap<FileNumber, Entry>,
) -> Option<FileNumber> {
    let base = Some(store.base).filter(|base| *base != FileNumber(0));
    let next = mirror.received.file.next();
    let follows =
        !mirror.received.is_start() && (far.contains_key(&next) || next > store.received.file);
    match follows {
        true => Some(next),
        false => base,
    }
}

/// Files on their way, in series order. Dropped, they stay where they are.
#[derive(Default)]
struct OnWay(VecDeque<(String, JoinHandle<Result<(), FetchError>>)>);

impl Drop for OnWay {
    fn drop(&mut self) {
        for (_, task) in &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use aim_core::cursor::Position;
    use aim_core::units::{Lsn, VolumeId};

    use super::*;

    const VOLUME: VolumeId = VolumeId([1; 16]);

    fn position(file: u64) -> Position {
        Position {
            file: FileNumber(file),
            lsn: Lsn(file * 10),
            ..Position::START
        }
    }

    #[test]
    fn a_mirror_goes_on_or_begins_at_a_baseline() {
        let store = |base, received| StoreCursor {
            base: FileNumber(base),
            received: position(received),
            ..StoreCursor::new(VOLUME)
        };
        let mirror = |received: u64| MirrorCursor {
            received: match received {
                0 => Position::START,
                file => position(file),
            },
            ..MirrorCursor::new(VOLUME)
        };
        let far = |numbers: std::ops::RangeInclusive<u64>| {
            let entry = |number| Entry {
                name: format!("{number}"),
                len: 1,
            };
            let all = numbers.map(|number| (FileNumber(number), entry(number)));
            all.collect::<BTreeMap<_, _>>()
        };
        for (store, received, files, expected) in [
            // it has nothing: at the baseline, though earlier files are there
            (store(5, 9), 0, far(1..=9), Some(5)),
            (store(0, 9), 0, far(1..=9), None),
            // it follows, also before the last baseline
            (store(5, 9), 2, far(1..=9), Some(3)),
            (store(5, 9), 9, far(5..=9), Some(10)),
            (store(5, 9), 12, far(5..=9), Some(13)),
            // what it needs is gone
            (store(5, 9), 2, far(5..=9), Some(5)),
            (store(0, 9), 2, far(7..=9), None),
        ] {
            let found = begin(&store, &mirror(received), &files);
            assert_eq!(found.map(FileNumber::get), expected, "{store:?} {received}");
        }
    }
}

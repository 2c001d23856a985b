//! What a mirror host says of itself, for a store, where nobody is who could say it.
//!
//! The source keeps the cursor that is there:
//!
//! 1. A file counts once the store has it for certain: this process has stored it, or has read it
//!    back and found it to be the same. That its name is listed proves nothing.
//! 2. `store.cursor` is stored with it. The store makes that durable, too.
//! 3. The next round reads the cursor from the store, as it would read a mirror's, and only then are
//!    files removed here.
//!
//! | stop after | what is done |
//! |---|---|
//! | 1 | the file is read back and compared, since the cursor does not cover it |
//! | 2 | step 3 |
//!
//! Who can't be asked begins with a baseline, so a store has one, and gets another one when that is
//! old. A file is removed from the store when it lies before the last baseline that is there to its
//! end, and every mirror has received it that has put a note into `readers/` within
//! [`reader_age`](StoreOptions::reader_age) and has begun. So a mirror that begins finds all it needs, and one that
//! is slow is not overtaken; one that stays away for longer begins anew.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::{MirrorCursor, StoreCursor, StoreReader, TARGETS_MAX};
use aim_core::journal::FileName;
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_core::units::{FileNumber, Timestamp};

use super::ShipError;
use super::far_side::INCOMING;
use super::retention::Retention;
use super::round::Rounds;
use crate::file_io::Source;
use crate::transport::{Name, Progress, Transport, TransportError};

/// How long what is in a store is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Age at which a baseline is followed by another one; what lies before that can go then.
    pub baseline_every: Duration,
    /// For how long files are kept for a mirror that does not say any more that it follows.
    pub reader_age: Duration,
    /// Between two looks at who follows.
    pub look_every: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let week = Duration::from_secs(7 * 86_400);
        Self {
            baseline_every: week,
            reader_age: week,
            look_every: Duration::from_secs(60),
        }
    }
}

/// What is known of the store.
#[derive(Debug)]
pub(super) struct Store {
    options: StoreOptions,
    /// As it was read or stored last.
    cursor: StoreCursor,
    /// The base that another one was asked for in the place of.
    renewing: Option<FileNumber>,
    looked: Option<Instant>,
}

impl Store {
    pub(super) fn new(retention: &Retention) -> Self {
        Self {
            options: StoreOptions::default(),
            cursor: StoreCursor::new(retention.spool.identity().id),
            renewing: None,
            looked: None,
        }
    }
}

impl<T: Transport> Rounds<T> {
    /// Where the far side is a store, keeps what is in it for so long. Comes before anything else
    /// is done.
    #[must_use]
    pub fn keeping(mut self, options: StoreOptions) -> Self {
        if let Some(store) = &mut self.store {
            store.options = options;
        }
        self
    }

    /// Step 3: how far the store is.
    pub(super) async fn store_cursor(&mut self) -> Result<MirrorCursor, ShipError> {
        let volume = self.spool.identity().id;
        let cursor = self.far_state::<StoreCursor>().await?;
        let cursor = cursor.unwrap_or_else(|| StoreCursor::new(volume));
        if cursor.volume != volume {
            return Err(ShipError::ForeignMirror {
                expected: volume,
                found: cursor.volume,
            });
        }
        if let Some(store) = &mut self.store {
            store.cursor = cursor;
            let now = SystemClock.now();
            self.retention.renew_baseline(self.target, store, now)?;
        }
        Ok(cursor.as_mirror())
    }

    /// Steps 1 and 2: takes what has arrived since.
    pub(super) async fn keep_store_cursor(&mut self) -> Result<(), ShipError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let mut cursor = store.cursor;
        loop {
            let following = cursor.received.file.next();
            let next = match cursor.has_begun() && following >= self.needs_from {
                true => following,
                // what is before it, the store does not need
                false => self.needs_from,
            };
            let known = self.delivered.get(&next);
            if !known.is_some_and(|known| cursor.take(&known.file)) {
                break;
            }
        }
        if store.cursor != cursor {
            let name = Name::parse(StoreCursor::NAME)?;
            let file = Source::from_bytes(StoreCursor::NAME, cursor.encode());
            let progress = Progress::default();
            self.transport.put(&name, &file, &progress).await?;
            store.cursor = cursor;
        }
        Ok(())
    }

    /// From time to time looks who follows the store, and removes what nobody needs.
    pub(super) async fn tidy_store(
        &mut self,
        far: &BTreeMap<String, u64>,
    ) -> Result<(), ShipError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let is_due = store
            .looked
            .is_none_or(|looked| looked.elapsed() >= store.options.look_every);
        if !is_due {
            return Ok(());
        }
        store.looked = Some(Instant::now());
        let (base, age) = (store.cursor.base, store.options.reader_age);
        let readers = match self.readers().await {
            Err(ShipError::FarState(error)) => {
                tracing::warn!(%error, "who follows the store can't be read: nothing is removed");
                return Ok(());
            }
            readers => readers?,
        };
        let oldest = SystemClock.now().get().saturating_sub(nanoseconds(age));
        let is_of_late = |reader: &&StoreReader| reader.seen.get() >= oldest;
        let floor = readers
            .iter()
            .filter(is_of_late)
            .filter(|reader| !reader.received.is_start())
            .map(|reader| reader.received.file.next())
            .fold(base, FileNumber::min);
        let identity = self.spool.identity();
        for text in far.keys() {
            let parsed = FileName::parse_sealed(text).or_else(|_| FileName::parse_packed(text));
            let is_past = parsed.is_ok_and(|name| {
                (name.volume, name.epoch) == (identity.id, identity.epoch) && name.number < floor
            });
            if is_past {
                let name = Name::in_folder(INCOMING, text)?;
                self.transport.remove(&name).await?;
                tracing::debug!(file = text, "removed from the store: nobody needs it");
            }
        }
        self.shared.update(|status| status.readers = readers);
        Ok(())
    }

    /// What the mirrors say that follow the store.
    async fn readers(&self) -> Result<Vec<StoreReader>, ShipError> {
        let volume = self.spool.identity().id;
        let listed = match self.transport.list(StoreReader::FOLDER).await {
            Ok(listed) => listed,
            // a directory in the place of a store need not have it
            Err(TransportError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut readers = Vec::new();
        for entry in listed {
            let Ok(name) = Name::in_folder(StoreReader::FOLDER, &entry.name) else {
                continue;
            };
            let bytes = match self.transport.get(&name, FILE_BYTES_MAX).await {
                Ok(bytes) => bytes,
                Err(TransportError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let reader = StoreReader::decode(&bytes).map_err(ShipError::FarState)?;
            reader.require_volume(volume).map_err(ShipError::FarState)?;
            readers.push(reader);
        }
        Ok(readers)
    }
}

impl Retention {
    /// Asks for a baseline to follow the last one in a store, when that is old, and no more when
    /// it is there.
    fn renew_baseline(
        &self,
        index: usize,
        store: &mut Store,
        now: Timestamp,
    ) -> Result<(), ShipError> {
        let Some(origin) = &self.origin else {
            return Ok(());
        };
        // beside the target itself, and those behind it
        let who = (2 * TARGETS_MAX + index) as u32;
        let cursor = &store.cursor;
        if store.renewing.is_some_and(|base| base != cursor.base) {
            origin.baselines.unwant(who);
            store.renewing = None;
        }
        let age = now.get().saturating_sub(cursor.base_time.get());
        let is_old = age >= nanoseconds(store.options.baseline_every);
        if cursor.base != FileNumber(0) && is_old && store.renewing.is_none() {
            let sealed = self.spool.look()?.sealed;
            origin.baselines.want(who, sealed.lsn.next());
            store.renewing = Some(cursor.base);
        }
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

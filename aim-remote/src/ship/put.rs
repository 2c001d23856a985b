//! Files on their way to the far side: step 4 of the [module](super).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aim_core::cursor::StoredFile;
use aim_core::failpoint::Failpoint;
use aim_core::journal::{ParsedFile, ReadError};
use aim_core::spool::WaitingFile;
use aim_core::units::FileNumber;

use super::far_side::INCOMING;
use super::receipt::open;
use super::round::{Rounds, Seen};
use super::uploads::{Delivered, Ended, Stored, Upload, Uploads};
use super::{ShipError, ShipStatus};
use crate::file_io::FileIo;
use crate::transport::{Name, Remedy, Transport, TransportError, pass};

impl<T: Transport> Rounds<T> {
    /// The waiting files that are neither on the far side nor on their way there.
    pub(super) fn not_there(
        &mut self,
        seen: &Seen,
        carried: &BTreeSet<FileNumber>,
    ) -> Result<Vec<WaitingFile>, ShipError> {
        let mut missing = Vec::new();
        for file in &seen.waiting {
            let number = file.name.number;
            if carried.contains(&number) {
                continue;
            }
            let is_there = |stored: &Stored| seen.far.get(&stored.name) == Some(&stored.bytes);
            let as_it_is = Stored {
                name: file.name.sealed(),
                bytes: file.bytes,
            };
            // that a store has the name proves nothing: put, what is there is compared
            if is_there(&as_it_is) && self.store.is_none() {
                self.note_there(file, as_it_is)?;
            } else if !(self.delivered.get(&number)).is_some_and(|known| is_there(&known.stored)) {
                missing.push(*file);
            }
        }
        Ok(missing)
    }

    /// Files that may be on their way when this one is begun. A mirror that sees a baseline, and
    /// not the file that it needs next, gives up all files before the baseline: none of them must
    /// arrive later.
    pub(super) fn files_beside(&self, file: &ParsedFile) -> usize {
        match file.header().begins_baseline() {
            true => 0,
            false => self.line.files.get() - 1,
        }
    }

    /// Waits until no more than `beside` files are on their way, and none of the others has
    /// failed. Says whether that is so before the time is over.
    pub(super) async fn make_room(
        &mut self,
        uploads: &mut Uploads,
        beside: usize,
        io: &FileIo,
        started: Instant,
        longest: Duration,
    ) -> Result<bool, ShipError> {
        while uploads.count() > beside {
            if !self.wait_for_one(uploads, io, started, longest).await? {
                return Ok(false);
            }
        }
        self.settle(uploads)?;
        Ok(true)
    }

    /// Waits until one of the files has come to its end. Says whether one has, before the time is
    /// over.
    pub(super) async fn wait_for_one(
        &mut self,
        uploads: &mut Uploads,
        io: &FileIo,
        started: Instant,
        longest: Duration,
    ) -> Result<bool, ShipError> {
        let left = longest.saturating_sub(started.elapsed());
        let ended = tokio::select! {
            biased;
            ended = uploads.next() => ended,
            () = io.pause(left) => return Ok(false),
        };
        if let Some(ended) = ended {
            self.note_ended(ended)?;
        }
        Ok(true)
    }

    /// Notes what has come to its end.
    pub(super) fn settle(&mut self, uploads: &mut Uploads) -> Result<(), ShipError> {
        while let Some(ended) = uploads.take_ended() {
            self.note_ended(ended)?;
        }
        Ok(())
    }

    fn note_ended(&mut self, ended: Ended) -> Result<(), ShipError> {
        let delivered = ended.delivered?;
        let bytes = ended.file.bytes;
        self.arrived += 1;
        self.shared.update(|status| status.delivered_bytes += bytes);
        self.delivered.insert(ended.file.name.number, delivered);
        self.note_shipped();
        Ok(())
    }

    /// Brings what is on its way to its end, after something went wrong that need not concern it.
    pub(super) async fn finish(&mut self, uploads: &mut Uploads) {
        while let Some(ended) = uploads.next().await {
            let name = ended.file.name;
            if let Err(error) = self.note_ended(ended) {
                tracing::debug!(file = %name, %error, "not shipped either");
                if breaks_line(&error) {
                    return;
                }
            }
        }
    }

    /// Step 4, for one file. What was set aside before goes as it is, in case that was for being
    /// packed.
    pub(super) fn upload(
        &self,
        file: &WaitingFile,
        parsed: &ParsedFile,
        io: &FileIo,
    ) -> Result<Upload, ShipError> {
        // it may be gone from here by the time that it is there
        let there = stored_file(parsed)?;
        let local = file.name.sealed();
        let folder = self.spool.folder();
        let is_again = self.delivered.contains_key(&file.name.number);
        let (text, opened) = match self.line.compression.filter(|_| !is_again) {
            None => (local.clone(), io.open(&**folder, &local)),
            Some(level) => {
                let packed = io.open_packed(&**folder, &local, level);
                (file.name.packed(), packed)
            }
        };
        let source = opened.map_err(|source| {
            let path = folder.path().join(&local);
            TransportError::Source { path, source }
        })?;
        let name = Name::in_folder(INCOMING, &text)?;
        let (transport, shared) = (Arc::clone(&self.transport), Arc::clone(&self.shared));
        Ok(Box::pin(async move {
            pass(Failpoint::ShipPut, &text)?;
            let stored = transport.put(&name, &source, &shared.progress).await?;
            pass(Failpoint::ShipDelivered, &text)?;
            tracing::debug!(
                file = text,
                sent = stored.sent,
                reused = stored.reused,
                "shipped"
            );
            let stored = Stored {
                name: text,
                bytes: stored.sent + stored.reused,
            };
            Ok(Delivered {
                file: there,
                stored,
            })
        }))
    }

    /// Notes that a file lies there, whoever brought it.
    fn note_there(&mut self, file: &WaitingFile, stored: Stored) -> Result<(), ShipError> {
        let number = file.name.number;
        if let Some(known) = self.delivered.get_mut(&number) {
            known.stored = stored;
            return Ok(());
        }
        let there = stored_file(&open(&*self.spool, file.name)?)?;
        let delivered = Delivered {
            file: there,
            stored,
        };
        self.delivered.insert(number, delivered);
        self.note_shipped();
        Ok(())
    }

    /// Files arrive in any order: only those without a gap before them count, but for what the
    /// mirror does not need.
    pub(super) fn note_shipped(&self) {
        self.shared.update(|status| {
            let next = |status: &ShipStatus| status.shipped.file.next().max(self.needs_from);
            while let Some(delivered) = self.delivered.get(&next(status)) {
                status.shipped = delivered.file.position;
            }
        });
    }
}

fn stored_file(file: &ParsedFile) -> Result<StoredFile, ShipError> {
    let not_sealed = || ShipError::reading(file.name())(ReadError::NotSealed);
    let seal = file.header().seal.as_ref();
    let (position, seal) = file.position().zip(seal).ok_or_else(not_sealed)?;
    Ok(StoredFile::new(position, file.header().created, seal))
}

/// Whether nothing more can be had of the line for now.
pub(super) fn breaks_line(error: &ShipError) -> bool {
    matches!(error, ShipError::Transport(error) if error.remedy() == Remedy::Retry)
}

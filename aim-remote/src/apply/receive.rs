//! Receiving: from a file that lies in `incoming/` to one that the source may delete.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aim_core::cursor::{MirrorCursor, MirrorCursorFile, Position};
use aim_core::failpoint::{Failpoint, reach};
use aim_core::journal::{FileName, ReadError, VerifiedFile, check_link, check_step, check_volume};
use aim_core::replay::{Replay, Run};
use aim_core::signature::Question;
use aim_core::spool::{MirrorSpool, Names, SpoolError};
use aim_core::units::FileNumber;

use super::arrived::{Arrivals, Arrived};
use super::status::Shared;
use super::suspect::{Look, Suspects};
use super::{ApplyError, ApplyStatus};
use crate::coordinator::{Signal, chain};
use crate::relay::Relay;

/// What both threads of the coordinator work with.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) spool: MirrorSpool,
    pub(super) cursor: Arc<MirrorCursorFile>,
    /// Whether nobody asks what the devices hold: then the first file begins with a baseline.
    pub(super) is_follower: bool,
    /// What is passed on to others, if anything is.
    pub(super) relay: Option<Arc<Relay>>,
    pub(super) shared: Shared,
    /// The run that waits for the end of its group.
    planned: Mutex<Option<Run>>,
    pub(super) arrivals: Arrivals,
    /// Whether what was applied before the start has been looked for, and removed.
    pub(super) is_swept: AtomicBool,
    suspects: Mutex<Suspects>,
    /// Files that were left over; these are measured, and not read.
    leftovers: Mutex<Suspects>,
    /// How long a file that is wrong must stay as it is before it is set aside.
    pub(super) settle: Duration,
    /// Files that are not received and were set aside, each with the time when it was first.
    pub(super) set_aside: Mutex<BTreeMap<FileNumber, Instant>>,
    setting_aside: Mutex<()>,
    /// The question of the source that was answered last.
    pub(super) answered: Mutex<Option<Question>>,
    /// Wakes the receiver.
    pub(super) arrived: Arc<Signal>,
    /// Wakes the applier.
    pub(super) received: Arc<Signal>,
}

impl Mirror {
    pub(super) fn new(
        spool: MirrorSpool,
        cursor: Arc<MirrorCursorFile>,
        relay: Option<Arc<Relay>>,
        settle: Duration,
    ) -> Result<Self, SpoolError> {
        Ok(Self {
            is_follower: spool.is_follower()?,
            spool,
            cursor,
            relay,
            shared: Shared::default(),
            planned: Mutex::default(),
            arrivals: Arrivals::default(),
            is_swept: AtomicBool::new(false),
            suspects: Mutex::default(),
            leftovers: Mutex::default(),
            settle,
            set_aside: Mutex::default(),
            setting_aside: Mutex::default(),
            answered: Mutex::default(),
            arrived: Arc::default(),
            received: Arc::default(),
        })
    }

    /// How it is going.
    pub(super) fn status(&self) -> ApplyStatus {
        self.shared.snapshot(&self.cursor, self.is_follower)
    }

    /// Looks at everything that lies in `incoming/`.
    pub(super) fn receive(&self) -> Result<(), ApplyError> {
        let names = self.spool.incoming_names()?;
        let folder = self.spool.incoming_folder();
        let taken = self.arrivals.take(&names, &**folder);
        taken.map_err(|source| {
            let path = folder.path();
            ApplyError::Spool(SpoolError::Io { path, source })
        })?;
        self.forget_suspects(&names);
        for name in &names.strangers {
            // what other programs are still writing has a name that begins with a dot
            if !name.starts_with('.') {
                self.suspect(name, "its name is not that of a journal file")?;
            }
        }
        for arrived in self.arrivals.in_order() {
            if self.arrived.is_stopped() {
                break;
            }
            self.consider(arrived)?;
        }
        self.step_over()?;
        self.remove_leftovers(&names);
        self.note_waiting();
        Ok(())
    }

    /// Receives a file if it is the one that comes next.
    pub(super) fn consider(&self, arrived: Arrived) -> Result<(), ApplyError> {
        let identity = self.spool.identity();
        let (name, text) = (arrived.name, arrived.text());
        if name.volume != identity.id {
            let reason = format!("it is of volume {}, not of {}", name.volume, identity.id);
            return self.set_aside(&text, &reason);
        }
        if name.epoch != identity.epoch {
            let reason = format!("it is of epoch {}, not of {}", name.epoch, identity.epoch);
            return self.set_aside(&text, &reason);
        }
        let before = self.cursor.get().received;
        // earlier ones are applied, or wait for that; later ones wait for this one
        let is_next = name.number == before.file.next() && !self.must_begin_at_a_baseline(before);
        match is_next {
            true => self.take_up(arrived, before),
            false => Ok(()),
        }
    }

    /// Receives a file behind `before`, if it is right.
    pub(super) fn take_up(&self, arrived: Arrived, before: Position) -> Result<(), ApplyError> {
        let (name, text) = (arrived.name, arrived.text());
        let opened = match arrived.is_packed {
            false => self.open(name, &text),
            true => self.unpack(name),
        };
        let verified = match opened {
            Ok(verified) => verified,
            Err(Unfit::Damaged(reason)) => return self.suspect(&text, &reason),
            Err(Unfit::Misnamed(reason)) => return self.set_aside(&text, &reason),
            Err(Unfit::Gone) => return Ok(()),
            Err(Unfit::Failed(error)) => return Err(error),
        };
        if let Err(reason) = self.fits(&verified, before) {
            if arrived.is_packed {
                self.remove_unpacked(name);
            }
            return self.set_aside(&text, &reason);
        }
        if arrived.is_packed {
            self.take_unpacked(name)?;
        }
        // whoever wrote it under this name may have gone on since it was measured
        self.arrivals.note(name, verified.bytes().get());
        pass(Failpoint::ReceiveVerified, name)?;
        if !self.make_durable(name)? {
            return Ok(());
        }
        pass(Failpoint::ReceiveDurable, name)?;
        let position = verified.position();
        let steps_over = self.steps_over(before, name.number);
        if let Some(relay) = self.relay.as_ref().filter(|_| steps_over) {
            // first: what is missing before it is never passed on, even if it comes yet
            relay.break_before(name.number)?;
        }
        let stored = self.cursor.update(|cursor| {
            // meanwhile the applier may have found that a file before is damaged
            if cursor.received == before {
                cursor.received = position;
                if steps_over {
                    cursor.base = name.number;
                }
            }
        });
        stored.map_err(ApplyError::Cursor)?;
        pass(Failpoint::ReceiveCursor, name)?;
        match steps_over {
            false => tracing::debug!(file = text, "received"),
            true => tracing::warn!(
                file = text,
                %before,
                "files before it are missing: it begins with a baseline, which makes up for them"
            ),
        }
        if arrived.is_packed {
            self.remove_packed(name)?;
        }
        let verified_end = verified.seal().baseline_ended;
        if let Some(relay) = &self.relay {
            relay.note_received(verified_end);
        }
        self.received.hint();
        Ok(())
    }

    /// Whether a verified file is the one that follows `before`. Its name says that it is of the
    /// volume's epoch.
    fn fits(&self, file: &VerifiedFile, before: Position) -> Result<(), String> {
        let header = file.header();
        check_volume(self.spool.identity(), header)
            .and_then(|()| match self.steps_over(before, header.number) {
                true => check_step(&before, header),
                false => check_link(&before, header),
            })
            .map_err(|error| format!("it does not follow {before}: {error}"))
    }

    /// Whoever brought the file may not have synced it. Says whether it is durable now.
    ///
    /// A file whose sync failed is set aside: a second sync would prove nothing.
    fn make_durable(&self, name: FileName) -> Result<bool, ApplyError> {
        let folder = self.spool.incoming_folder();
        let text = name.sealed();
        let synced = folder.open(&text, false).and_then(|file| file.sync_data());
        if let Err(error) = synced {
            let reason = format!("it can't be made durable: {error}");
            self.set_aside(&text, &reason)?;
            return Ok(false);
        }
        pass(Failpoint::ReceiveSynced, name)?;
        match folder.sync() {
            Ok(()) => Ok(true),
            Err(source) => Err(ApplyError::Undurable { name, source }),
        }
    }

    /// Opens a file that lies in `incoming/` as `text`, and checks every byte of it, and that it is
    /// `name`.
    pub(super) fn open(&self, name: FileName, text: &str) -> Result<VerifiedFile, Unfit> {
        let file = match self.spool.incoming_folder().open(text, false) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Unfit::Gone),
            Err(source) => {
                let source = ReadError::Io { at: 0, source };
                return Err(Unfit::Failed(ApplyError::Unreadable { name, source }));
            }
        };
        match VerifiedFile::open(file) {
            Ok(file) if file.name() == name => Ok(file),
            Ok(file) => Err(Unfit::Misnamed(format!("inside it is {}", file.name()))),
            Err(source) if source.is_damage() => Err(Unfit::Damaged(chain(&source))),
            Err(source) => Err(Unfit::Failed(ApplyError::Unreadable { name, source })),
        }
    }

    /// The run that was kept, if it still is one behind what is applied and received.
    pub(super) fn planned(&self, replay: &Replay, cursor: &MirrorCursor) -> Run {
        let kept = self.lock_planned().take();
        let still_holds =
            |run: &Run| run.is_behind(cursor) && run.reached().file <= cursor.received.file;
        kept.filter(still_holds)
            .unwrap_or_else(|| replay.start_run())
    }

    pub(super) fn keep_planned(&self, run: Run) {
        *self.lock_planned() = Some(run);
    }

    fn lock_planned(&self) -> MutexGuard<'_, Option<Run>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a file aside that is wrong, unless it may still be being written.
    fn suspect(&self, name: &str, reason: &str) -> Result<(), ApplyError> {
        let opened = self.spool.incoming_folder().open(name, false);
        let look = match opened.and_then(|file| Look::at(&*file)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            look => look.map_err(|source| ApplyError::Suspect {
                name: name.to_owned(),
                source,
            })?,
        };
        let is_wrong =
            self.lock_suspects()
                .is_wrong_for_good(name, look, Instant::now(), self.settle);
        if is_wrong {
            return self.set_aside(name, reason);
        }
        self.shared.note_unfinished(name, reason);
        Ok(())
    }

    fn forget_suspects(&self, found: &Names) {
        let files = found.files.iter().map(FileName::sealed);
        let packed = found.packed.iter().map(FileName::packed);
        let strangers = found.strangers.iter().cloned();
        let names: HashSet<String> = files.chain(packed).chain(strangers).collect();
        self.lock_suspects().retain(|name| names.contains(name));
        self.shared.lock().unfinished = None;
    }

    pub(super) fn lock_leftovers(&self) -> MutexGuard<'_, Suspects> {
        (self.leftovers.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a file to `rejected/`, if it is there.
    pub(super) fn set_aside(&self, name: &str, reason: &str) -> Result<(), ApplyError> {
        // both threads may find the same file at fault
        let _one_at_a_time = (self.setting_aside.lock()).unwrap_or_else(PoisonError::into_inner);
        match self.spool.incoming_folder().open(name, false) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
        let kept = self.spool.reject(name, reason)?;
        let plain = FileName::parse_sealed(name).map(|name| (name, false));
        let ours = plain.or_else(|_| FileName::parse_packed(name).map(|name| (name, true)));
        if let Ok((file, is_packed)) = ours {
            self.arrivals.forget(file, is_packed);
            let identity = self.spool.identity();
            if (file.volume, file.epoch) == (identity.id, identity.epoch) {
                let mut set_aside = self.lock_set_aside();
                // not later each time, if it is no better when it comes again
                set_aside.entry(file.number).or_insert_with(Instant::now);
            }
        }
        self.shared.note_rejected(kept, reason.to_owned());
        Ok(())
    }
}

/// Why an arrived file is not used.
#[derive(Debug)]
pub(super) enum Unfit {
    /// Its bytes are wrong.
    Damaged(String),
    /// It is whole, and another one than its name says.
    Misnamed(String),
    /// It is not there.
    Gone,
    /// It can't be told.
    Failed(ApplyError),
}

/// Comes by a failpoint that concerns a file.
pub(super) fn pass(point: Failpoint, name: FileName) -> Result<(), ApplyError> {
    reach(point).map_err(|source| ApplyError::Undurable { name, source })
}

//! One round of shipping; the steps are those of the [module](super).

use std::collections::BTreeMap;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aim_core::cursor::Position;
use aim_core::journal::FileName;
use aim_core::spool::{Outgoing, SourceSpool, WaitingFile};
use aim_core::units::FileNumber;

use super::compare::Asked;
use super::course::Course;
use super::line::LineOptions;
use super::put::breaks_line;
use super::receipt::open;
use super::retention::{Retention, Said};
use super::status::{SetAside, Shared};
use super::store::Store;
use super::targets::TargetKind;
use super::uploads::{Delivered, Uploads};
use super::{ShipError, ShipStatus};
use crate::coordinator::Signal;
use crate::file_io::FileIo;
use crate::transport::Transport;

/// The rounds of a [`Shipper`](super::Shipper) one by one, for those who say themselves when the
/// next one is due.
#[derive(Debug)]
pub struct Rounds<T> {
    pub(super) spool: Arc<dyn Outgoing>,
    pub(super) transport: Arc<T>,
    pub(super) line: LineOptions,
    pub(super) shared: Arc<Shared>,
    /// Whether the far directory was found to be the one of this volume's mirror.
    pub(super) mirror_is_ours: bool,
    /// Files that were seen whole on the far side, and are not received yet.
    pub(super) delivered: BTreeMap<FileNumber, Delivered>,
    /// The first file that the mirror needs: those before it are received, or of no use to it.
    pub(super) needs_from: FileNumber,
    /// Files that are on their way from one round to the next.
    uploads: Uploads,
    /// Files that have arrived, since the start.
    pub(super) arrived: u64,
    pub(super) retention: Arc<Retention>,
    /// Which of its targets this is.
    pub(super) target: usize,
    asked: Asked,
    /// What the mirror had applied when its differences were read.
    pub(super) differences_at: Option<Position>,
    /// Set where the far side is a store.
    pub(super) store: Option<Store>,
}

/// What a look at the far side has shown.
pub(super) struct Seen {
    /// Files that the mirror needs and has not received, in the order of the series.
    pub(super) waiting: Vec<WaitingFile>,
    /// The files of the far `incoming/`, with their lengths.
    pub(super) far: BTreeMap<String, u64>,
    /// The last file that is received.
    received: FileNumber,
    /// Whether an answer or a baseline is waited for.
    waits_for_more: bool,
    is_applied: bool,
}

impl Seen {
    fn needs(&self, number: FileNumber) -> bool {
        let found = self
            .waiting
            .binary_search_by_key(&number, |file| file.name.number);
        found.is_ok()
    }
}

/// When the next round is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There are more files to put, or on their way.
    Now,
    /// The same, and none has arrived in this round: whether what was in the way has passed is
    /// still to be seen.
    Underway,
    /// The mirror host has files to receive or to apply.
    Soon,
    /// Source and mirror agree.
    Later,
}

impl<T: Transport> Rounds<T> {
    /// Rounds that carry what is sealed in `spool` over `transport`, to the only target.
    pub fn new(spool: SourceSpool, transport: T) -> Self {
        Self::to_target(Retention::single(spool), 0, transport)
    }

    /// Rounds that carry what is sealed to one of several targets, over `transport`; and what the
    /// capture asks of its mirror, and the answers.
    pub fn to_target(retention: Arc<Retention>, target: usize, transport: T) -> Self {
        let store = match retention.kind(target) {
            TargetKind::Mirror => None,
            TargetKind::Store => Some(Store::new(&retention)),
        };
        let rounds = Self {
            spool: retention.spool.clone(),
            transport: Arc::new(transport),
            line: LineOptions::default(),
            shared: Arc::default(),
            mirror_is_ours: false,
            delivered: BTreeMap::new(),
            needs_from: FileNumber(1),
            uploads: Uploads::default(),
            arrived: 0,
            retention,
            target,
            asked: Asked::default(),
            differences_at: None,
            store,
        };
        rounds.over(LineOptions::default())
    }

    /// Carries the files as `line` says. Comes before anything else is done.
    #[must_use]
    pub fn over(self, line: LineOptions) -> Self {
        let shared = Arc::new(Shared::throttled(line.bandwidth.clone()));
        shared.update(|status| status.target = self.transport.place());
        Self {
            line,
            shared,
            ..self
        }
    }

    /// How it is going. What is in the way is for its owner to say.
    pub fn status(&self) -> ShipStatus {
        self.shared.snapshot()
    }

    /// Where the files are that wait.
    pub(super) fn outgoing(&self) -> PathBuf {
        self.spool.folder().path()
    }

    /// Hints at a signal when there are more files.
    pub(super) fn tell(&self, signal: &Arc<Signal>) {
        self.retention.tell(signal);
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Goes round once, reading local files through `io`. What waits is put until `longest` has
    /// passed; then it is time to look for receipts again, and what is on its way goes on in the
    /// next round. A round may be dropped in the middle: the next one does what is left.
    ///
    /// # Errors
    ///
    /// [`ShipError`]; the next round tries again. Nothing is on its way then: what could be
    /// brought to its end has been.
    pub async fn round(&mut self, io: &FileIo, longest: Duration) -> Result<Next, ShipError> {
        // if the round is dropped, so are they
        let mut uploads = mem::take(&mut self.uploads);
        let arrived = self.arrived;
        let mut ended = self.look_and_put(&mut uploads, io, longest).await;
        if let Ok(next) = ended {
            let kept = uploads.beside(self.keep_store_cursor()).await;
            ended = kept.map(|()| next);
        }
        if let Err(error) = &ended {
            // whatever is there afterwards may be another place
            self.mirror_is_ours = false;
            self.differences_at = None;
            self.retention.lose_sight(self.target);
            if !breaks_line(error) {
                self.finish(&mut uploads).await;
            }
            uploads.abandon();
        }
        self.uploads = uploads;
        match ended {
            Ok(Next::Now) if self.arrived == arrived => Ok(Next::Underway),
            ended => ended,
        }
    }

    /// Goes round until all that is sealed is durable on the far side. It need not be received.
    ///
    /// # Errors
    ///
    /// [`ShipError`] for the first round that fails.
    pub async fn put_all(&mut self, io: &FileIo) -> Result<ShipStatus, ShipError> {
        while let Next::Now | Next::Underway = self.round(io, Duration::MAX).await? {}
        Ok(self.status())
    }

    async fn look_and_put(
        &mut self,
        uploads: &mut Uploads,
        io: &FileIo,
        longest: Duration,
    ) -> Result<Next, ShipError> {
        let started = Instant::now();
        let seen = uploads.beside(self.look()).await?;
        uploads.beside(self.tidy_store(&seen.far)).await?;
        // what came to its end during the look was not there yet when the look began
        let carried = uploads.numbers();
        let missing = self.not_there(&seen, &carried)?;
        self.settle(uploads)?;
        // the mirror may have been left meanwhile, and need no more than what follows a baseline
        uploads.keep(|number| number <= seen.received || seen.needs(number));
        let mut set_aside = None;
        for (files_begun, file) in missing.iter().enumerate() {
            // at least one in each round: asking alone may take longer than a round shall
            let is_time = files_begun > 0 && started.elapsed() >= longest;
            let parsed = match open(&*self.spool, file.name) {
                // nothing is kept for a target that is left: the next look shows what there is
                Err(error) if error.is_gone() => return set_aside.map_or(Ok(Next::Now), Err),
                opened => opened?,
            };
            let beside = self.files_beside(&parsed);
            if is_time
                || !self
                    .make_room(uploads, beside, io, started, longest)
                    .await?
            {
                return set_aside.map_or(Ok(Next::Now), Err);
            }
            if self.delivered.contains_key(&file.name.number) {
                set_aside = Some(uploads.beside(self.look_into(file.name, io)).await?);
            }
            uploads.start(*file, self.upload(file, &parsed, io)?);
            uploads.step().await;
            self.settle(uploads)?;
        }
        while !uploads.is_empty() {
            if !self.wait_for_one(uploads, io, started, longest).await? {
                return set_aside.map_or(Ok(Next::Now), Err);
            }
        }
        match set_aside {
            Some(error) => Err(error),
            None if seen.waits_for_more || !seen.waiting.is_empty() => Ok(Next::Soon),
            None if seen.is_applied => Ok(Next::Later),
            None => Ok(Next::Soon),
        }
    }

    /// Steps 1 to 3.
    async fn look(&mut self) -> Result<Seen, ShipError> {
        self.require_own_mirror().await?;
        let far = self.far_files().await?;
        let (cursor, relay) = match &self.store {
            Some(_) => (self.store_cursor().await?, None),
            // at once: most mirrors pass on nothing, and shall not be waited for longer
            None => tokio::try_join!(self.far_cursor(), self.far_relay())?,
        };
        self.look_for_differences(cursor.applied).await?;
        let said = Said {
            cursor,
            files: far,
            relay,
        };
        let Course {
            waiting,
            is_joining,
        } = self.take_receipts(&said)?;
        let origin = self.retention.origin.as_ref();
        let is_asking = match origin.and_then(|origin| origin.comparison.as_ref()) {
            Some(comparison) if self.store.is_none() => {
                let (party, retention) = (self.target as u32, &self.retention);
                let carried = (self.asked).carry(party, retention, comparison, &*self.transport);
                carried.await?
            }
            _ => false,
        };
        Ok(Seen {
            waiting,
            far: said.files,
            received: cursor.received.file,
            waits_for_more: is_asking || is_joining,
            is_applied: cursor.applied == cursor.received,
        })
    }

    /// Step 2; gives the files that are to be put.
    fn take_receipts(&mut self, said: &Said) -> Result<Course, ShipError> {
        let course = self.retention.take(self.target, said)?;
        let cursor = &said.cursor;
        let waiting = &course.waiting;
        let next = cursor.received.file.next();
        self.delivered = self.delivered.split_off(&next);
        self.needs_from = waiting.first().map_or(next, |file| file.name.number);
        let oldest = match waiting.first() {
            Some(file) => Some(open(&*self.spool, file.name)?.header().created),
            None => None,
        };
        self.shared.update(|status| {
            status.received = cursor.received;
            // of a store it is what could be applied at best, which is not known inside of a group
            if self.store.is_none() || !cursor.applied.is_start() {
                status.applied = cursor.applied;
            }
            status.applied_time = cursor.applied_time;
            if status.shipped.file < cursor.received.file {
                status.shipped = cursor.received;
            }
            status.waiting_files = waiting.len() as u64;
            status.waiting_bytes = waiting.iter().map(|file| file.bytes).sum();
            status.oldest_waiting = oldest;
        });
        self.note_shipped();
        Ok(course)
    }

    /// Asks why a file was set aside, and makes sure that it is whole here before it goes again.
    async fn look_into(&self, name: FileName, io: &FileIo) -> Result<ShipError, ShipError> {
        let parsed = open(&*self.spool, name)?;
        // reads all of the file, at most 1 GiB
        match io.away(move || parsed.verify().map(drop)).await {
            Ok(verified) => verified.map_err(ShipError::reading(name))?,
            Err(error) => tracing::error!(%error, "verifying {name} did not end"),
        }
        let reason = self.far_reason(name).await?;
        tracing::warn!(file = %name, reason, "set aside by the mirror host: sending it again");
        self.shared.update(|status| {
            status.set_aside_files += 1;
            status.last_set_aside = Some(SetAside {
                name: name.sealed(),
                reason: reason.clone(),
            });
        });
        Ok(ShipError::SetAside { name, reason })
    }
}

//! One round of shipping; the steps are those of the [module](super).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aim_core::cursor::{MirrorCursor, Position};
use aim_core::failpoint::Failpoint;
use aim_core::identity::{MirrorIdentity, VolumeIdentity};
use aim_core::journal::FileName;
use aim_core::replay::Differences;
use aim_core::spool::{SourceSpool, WaitingFile};
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_core::units::{FileNumber, MirrorId};

use super::compare::Asked;
use super::course::Course;
use super::receipt::open;
use super::retention::Retention;
use super::status::{SetAside, Shared};
use super::{ShipError, ShipStatus};
use crate::file_io::FileIo;
use crate::transport::{Name, Transport, TransportError, pass};

/// The folder on the far side that files are put into.
const INCOMING: &str = "incoming";

/// Where the mirror host keeps what it refused.
const REJECTED: &str = "rejected";

/// Most bytes of a reason that are read.
const REASON_BYTES_MAX: usize = 4096;

/// The rounds of a [`Shipper`](super::Shipper) one by one, for those who say themselves when the
/// next one is due.
#[derive(Debug)]
pub struct Rounds<T> {
    spool: SourceSpool,
    transport: T,
    shared: Arc<Shared>,
    /// Whether the far directory was found to be the one of this volume's mirror.
    mirror_is_ours: bool,
    /// Files that were seen whole on the far side, and are not received yet.
    delivered: BTreeSet<FileNumber>,
    retention: Arc<Retention>,
    /// Which of its targets this is.
    target: usize,
    asked: Asked,
    /// What the mirror had applied when its differences were read.
    differences_at: Option<Position>,
}

/// When the next round is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There are more files to put.
    Now,
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
        let spool = retention.spool.clone();
        let shared = Arc::new(Shared::default());
        shared.update(|status| status.target = transport.place());
        Self {
            spool,
            transport,
            shared,
            mirror_is_ours: false,
            delivered: BTreeSet::new(),
            retention,
            target,
            asked: Asked::default(),
            differences_at: None,
        }
    }

    /// How it is going. What is in the way is for its owner to say.
    pub fn status(&self) -> ShipStatus {
        self.shared.snapshot()
    }

    /// Where the files are that wait.
    pub(super) fn outgoing(&self) -> PathBuf {
        self.spool.outgoing_folder().path()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Goes round once, reading local files through `io`. What waits is put until `longest` has
    /// passed, one file at least; then it is time to look for receipts again. A round may be
    /// dropped in the middle: the next one does what is left.
    ///
    /// # Errors
    ///
    /// [`ShipError`]; the next round tries again.
    pub async fn round(&mut self, io: &FileIo, longest: Duration) -> Result<Next, ShipError> {
        let ended = self.look_and_put(io, longest).await;
        if ended.is_err() {
            // whatever is there afterwards may be another place
            self.mirror_is_ours = false;
            self.differences_at = None;
        }
        ended
    }

    async fn look_and_put(&mut self, io: &FileIo, longest: Duration) -> Result<Next, ShipError> {
        let started = Instant::now();
        self.require_own_mirror().await?;
        let far = self.far_files().await?;
        let cursor = self.far_cursor().await?;
        self.look_for_differences(cursor.applied).await?;
        let Course {
            waiting,
            is_joining,
        } = self.take_receipts(&cursor)?;
        let is_asking = match &self.retention.capture {
            Some(handles) => {
                let (party, retention) = (self.target as u32, &self.retention);
                let carried = self.asked.carry(party, retention, handles, &self.transport);
                carried.await?
            }
            None => false,
        };
        let mut set_aside = None;
        let mut files_put = 0;
        for file in &waiting {
            if far.get(&file.name.sealed()) == Some(&file.bytes) {
                self.note_delivered(file)?;
                continue;
            }
            // at least one in each round: asking alone may take longer than a round shall
            if files_put > 0 && started.elapsed() >= longest {
                return set_aside.map_or(Ok(Next::Now), Err);
            }
            if self.delivered.contains(&file.name.number) {
                set_aside = Some(self.look_into(file.name, io).await?);
            }
            self.put(file, io).await?;
            self.note_delivered(file)?;
            files_put += 1;
        }
        match set_aside {
            Some(error) => Err(error),
            None if is_asking || is_joining || !waiting.is_empty() => Ok(Next::Soon),
            None if cursor.applied == cursor.received => Ok(Next::Later),
            None => Ok(Next::Soon),
        }
    }

    /// Refuses the directory of another volume's mirror, once on each way that leads there: it
    /// would set all files aside.
    async fn require_own_mirror(&mut self) -> Result<(), ShipError> {
        if self.mirror_is_ours {
            return Ok(());
        }
        let name = Name::parse(VolumeIdentity::NAME)?;
        let far = match self.transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => VolumeIdentity::decode(&bytes).map_err(ShipError::FarState)?,
            // a place that only carries files on need not know whose they are
            Err(TransportError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let expected = self.spool.identity().id;
        if far.id != expected {
            return Err(ShipError::ForeignMirror {
                expected,
                found: far.id,
            });
        }
        self.retention.meet(self.target, self.far_mirror().await?)?;
        self.mirror_is_ours = true;
        Ok(())
    }

    /// Which mirror it is; zeroes where it does not say.
    async fn far_mirror(&self) -> Result<MirrorId, ShipError> {
        let name = Name::parse(MirrorIdentity::NAME)?;
        match self.transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => MirrorIdentity::decode(&bytes)
                .map(|mirror| mirror.id)
                .map_err(ShipError::FarState),
            Err(TransportError::NotFound { .. }) => Ok(MirrorId::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Step 1, first half: the files that are whole on the far side, with their lengths.
    async fn far_files(&self) -> Result<BTreeMap<String, u64>, ShipError> {
        let entries = self.transport.list(INCOMING).await?;
        Ok(entries.into_iter().map(|e| (e.name, e.len)).collect())
    }

    /// Step 1, second half; the start where the mirror host has not received anything.
    async fn far_cursor(&self) -> Result<MirrorCursor, ShipError> {
        let name = Name::parse(MirrorCursor::NAME)?;
        match self.transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => MirrorCursor::decode(&bytes).map_err(ShipError::FarState),
            Err(TransportError::NotFound { .. }) => Ok(MirrorCursor::new(self.spool.identity().id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what the mirror knows to differ. As that is stored before `applied` moves, and read
    /// here after it, it is of the position `applied` or of a later one.
    async fn look_for_differences(&mut self, applied: Position) -> Result<(), ShipError> {
        if self.differences_at == Some(applied) {
            return Ok(());
        }
        let volume = self.spool.identity().id;
        let name = Name::parse(Differences::NAME)?;
        let found = match self.transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => Differences::decode(&bytes)
                .and_then(|found| found.require_volume(volume).map(|()| found)),
            Err(TransportError::NotFound { .. }) => Ok(Differences::new(volume)),
            Err(error) => return Err(error.into()),
        };
        // files are shipped whatever is known of differences
        if let Err(error) = &found {
            tracing::warn!(%error, "where the mirror differs can't be read");
        }
        self.differences_at = Some(applied);
        self.shared.update(|status| status.differences = found.ok());
        Ok(())
    }

    /// Step 2; gives the files that are to be put.
    fn take_receipts(&mut self, cursor: &MirrorCursor) -> Result<Course, ShipError> {
        let course = self.retention.take(self.target, cursor)?;
        let waiting = &course.waiting;
        self.delivered = self.delivered.split_off(&cursor.received.file.next());
        let oldest = match waiting.first() {
            Some(file) => Some(open(&self.spool, file.name)?.header().created),
            None => None,
        };
        self.shared.update(|status| {
            status.received = cursor.received;
            status.applied = cursor.applied;
            status.applied_time = cursor.applied_time;
            if status.shipped.file < cursor.received.file {
                status.shipped = cursor.received;
            }
            status.waiting_files = waiting.len() as u64;
            status.waiting_bytes = waiting.iter().map(|file| file.bytes).sum();
            status.oldest_waiting = oldest;
        });
        Ok(course)
    }

    /// Step 3, for one file.
    async fn put(&self, file: &WaitingFile, io: &FileIo) -> Result<(), ShipError> {
        let text = file.name.sealed();
        let name = Name::in_folder(INCOMING, &text)?;
        let folder = self.spool.outgoing_folder();
        let source = io.open(&**folder, &text).map_err(|source| {
            let path = folder.path().join(&text);
            TransportError::Source { path, source }
        })?;
        pass(Failpoint::ShipPut, &text)?;
        let stored = self
            .transport
            .put(&name, &source, &self.shared.progress)
            .await;
        self.shared.settle_progress();
        let stored = stored?;
        pass(Failpoint::ShipDelivered, &text)?;
        tracing::debug!(
            file = text,
            sent = stored.sent,
            reused = stored.reused,
            "shipped"
        );
        Ok(())
    }

    fn note_delivered(&mut self, file: &WaitingFile) -> Result<(), ShipError> {
        if !self.delivered.insert(file.name.number) {
            return Ok(());
        }
        let position = open(&self.spool, file.name)?.position();
        self.shared.update(|status| {
            if let Some(position) = position
                && status.shipped.file < position.file
            {
                status.shipped = position;
            }
        });
        Ok(())
    }

    /// Asks why a file was set aside, and makes sure that it is whole here before it goes again.
    async fn look_into(&self, name: FileName, io: &FileIo) -> Result<ShipError, ShipError> {
        let parsed = open(&self.spool, name)?;
        // reads all of the file, at most 1 GiB
        match io.away(move || parsed.verify().map(drop)).await {
            Ok(verified) => verified.map_err(ShipError::reading(name))?,
            Err(error) => tracing::error!(%error, "verifying {name} did not end"),
        }
        let reason = Name::in_folder(REJECTED, &format!("{name}.reason"))?;
        let reason = match self.transport.get(&reason, REASON_BYTES_MAX).await {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()),
            // it may be kept under another name, or not be ours to read
            Err(_) => None,
        };
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

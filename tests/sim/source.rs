//! The source host: its disks, its journal, and the daemon that captures and ships.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aim_core::capture::{
    Capture, CaptureConfig, CaptureStatus, ExtentMap, HotPolicy, Initial, JournalPolicy, OnFull,
    SealPolicy, StagingConfig, Worker, Workers,
};
use aim_core::clock::Clock;
use aim_core::cursor::Standing;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{FileName, Recovered, recover};
use aim_core::packed::Level;
use aim_core::spool::{SourceSpool, SpoolError};
use aim_core::units::{ByteLen, Lsn};
use aim_remote::file_io::FileIo;
use aim_remote::ship::{LineOptions, MaxLag, Next, Retention, Rounds, Target, TargetKind};
use aim_tests::{MemFileSystem, Power, Rng, Sabotage};

use crate::clock::SimClock;
use crate::disks::Disks;
use crate::failure::{Failure, Promise};
use crate::line::{Line, now};
use crate::stop::Stop;

const JOURNAL: &str = "/journal";
const STATE: &str = "/state";

/// Files for so many bytes are kept, and no more when that is looked at.
const LAG_BYTES: u64 = 24 << 10;

/// The source host.
#[derive(Debug)]
pub(crate) struct Source {
    /// Of the machine.
    pub(crate) power: Arc<Power>,
    /// Of its disks, and of the file systems of its journal and of its extent map, which may be
    /// the same.
    pub(crate) disk_power: Arc<Power>,
    pub(crate) journal_power: Arc<Power>,
    pub(crate) state_power: Arc<Power>,
    pub(crate) disks: Disks,
    pub(crate) journal: MemFileSystem,
    pub(crate) state: MemFileSystem,
    /// Where the staging ring is: it outlives the process, and not the machine.
    ring: tempfile::TempDir,
    config: CaptureConfig,
    clock: SimClock,
    line: Line,
    line_options: LineOptions,
    daemon: Option<Daemon>,
    /// What it means when the power goes at the step that was chosen.
    pub(crate) stop: Option<Stop>,
    /// What was in the way of shipping last.
    pub(crate) trouble: Option<String>,
}

/// What lives in the process.
#[derive(Debug)]
struct Daemon {
    capture: Capture,
    workers: Workers,
    rounds: Rounds<Line>,
    retention: Arc<Retention>,
}

/// How the source is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) slots: usize,
    pub(crate) records: usize,
    pub(crate) request_bytes_max: usize,
    pub(crate) file_bytes: u64,
    pub(crate) extent_bytes: u64,
    pub(crate) hot: HotPolicy,
    /// Whether the extent map has a file system of its own.
    pub(crate) state_apart: bool,
    /// Whether a resync asks the mirror what it holds.
    pub(crate) compares: bool,
    /// Bytes that journal files may take.
    pub(crate) room: Option<u64>,
    pub(crate) on_full: OnFull,
    /// Files that are on their way at once.
    pub(crate) files_at_once: usize,
    /// Whether they are packed.
    pub(crate) packs: bool,
}

impl Source {
    /// A host with a journal for `volume`, not started.
    pub(crate) fn new(
        volume: &VolumeIdentity,
        setup: Setup,
        clock: SimClock,
        line: Line,
        rng: &mut Rng,
    ) -> Self {
        let power = Power::steady();
        let (disk_power, journal_power) = (power.part(), power.part());
        let journal = MemFileSystem::new(journal_power.clone());
        SourceSpool::create(journal.folder(JOURNAL), volume).unwrap();
        let (state_power, state) = match setup.state_apart {
            false => (journal_power.clone(), journal.clone()),
            true => {
                let power = power.part();
                (power.clone(), MemFileSystem::new(power))
            }
        };
        let (map, extent_bytes) = (state.folder(STATE), Some(setup.extent_bytes));
        ExtentMap::create(&*map, volume, Initial::Identical, extent_bytes).unwrap();
        let ring = ring_folder();
        let staging = StagingConfig {
            path: Some(ring.path().join("ring")),
            records: setup.records,
            spare_chunks: 2,
            ..StagingConfig::anonymous(setup.slots, setup.request_bytes_max)
        };
        let seal = SealPolicy {
            bytes: ByteLen(setup.file_bytes),
            age: Duration::from_secs(1),
        };
        Self {
            disks: Disks::new(volume, &disk_power, rng.next_u64()),
            power,
            disk_power,
            journal_power,
            state_power,
            journal,
            state,
            ring,
            config: CaptureConfig {
                seal,
                journal: JournalPolicy {
                    bytes: setup.room.map(ByteLen),
                    on_full: setup.on_full,
                },
                hot: setup.hot,
                compare: setup.compares,
                ..CaptureConfig::new(staging)
            },
            clock,
            line,
            line_options: LineOptions {
                files: NonZeroUsize::new(setup.files_at_once).unwrap(),
                compression: setup.packs.then_some(Level::MIN),
                ..LineOptions::default()
            },
            daemon: None,
            stop: None,
            trouble: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.daemon.is_some()
    }

    /// Starts the daemon.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let spool = SourceSpool::open(self.journal_folder()).map_err(|error| error.to_string())?;
        let spool = spool.with_state_folder(self.state.folder(STATE));
        let started = Capture::paused(
            &self.config,
            spool.clone(),
            self.disks.as_source_disks(),
            self.clock.clone(),
        );
        let (capture, workers) = started.map_err(|error| error.to_string())?;
        let target = Target {
            kind: TargetKind::Mirror,
            name: "mirror".to_owned(),
            max_lag: MaxLag {
                bytes: Some(LAG_BYTES),
                age: None,
            },
        };
        let retention = Retention::open(spool, vec![target], &capture);
        let retention = retention.map_err(|error| error.to_string())?;
        self.daemon = Some(Daemon {
            rounds: Rounds::to_target(retention.clone(), 0, self.line.clone())
                .over(self.line_options.clone()),
            retention,
            capture,
            workers,
        });
        Ok(())
    }

    pub(crate) fn capture(&self) -> Option<&Capture> {
        self.daemon.as_ref().map(|daemon| &daemon.capture)
    }

    pub(crate) fn status(&self) -> Option<CaptureStatus> {
        self.capture().map(Capture::status)
    }

    /// A step of one of the threads that a capture has. Says whether there was anything to do.
    pub(crate) fn work(&mut self, worker: Worker) -> bool {
        let daemon = self.daemon.as_mut();
        daemon.is_some_and(|daemon| daemon.workers.step(worker))
    }

    /// One round of shipping; a hasty one begins one file at most, and ends while files may be on
    /// their way.
    pub(crate) fn ship(&mut self, hasty: bool) -> Option<Result<Next, String>> {
        let daemon = self.daemon.as_mut()?;
        let longest = match hasty {
            true => Duration::ZERO,
            false => Duration::MAX,
        };
        let io = FileIo::in_place();
        let ended = now(daemon.rounds.round(&io, longest)).map_err(|error| error.to_string());
        self.trouble = ended.clone().err();
        Some(ended)
    }

    /// Leaves the mirror to a baseline if it is far behind. Says whether that is done.
    pub(crate) fn leave_mirror(&mut self) -> Option<Result<bool, String>> {
        let daemon = self.daemon.as_mut()?;
        let checked = daemon.retention.check(self.clock.now(), None);
        let checked = checked.map_err(|error| error.to_string());
        Some(checked.map(|()| daemon.retention.status(0).standing == Standing::Left))
    }

    /// Where the mirror stands.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let daemon = self.daemon.as_ref();
        daemon.map(|daemon| daemon.retention.status(0).standing)
    }

    /// Where the mirror stands, for messages.
    pub(crate) fn target(&self) -> String {
        let daemon = self.daemon.as_ref();
        let told = daemon.map(|daemon| {
            let baselines = daemon.capture.baselines().status();
            format!("{:?}, {baselines:?}", daemon.retention.status(0))
        });
        told.unwrap_or_default()
    }

    /// Whether the mirror gets each change.
    pub(crate) fn is_followed(&self) -> bool {
        let daemon = self.daemon.as_ref();
        daemon.is_some_and(|daemon| daemon.retention.status(0).standing == Standing::Follows)
    }

    /// The daemon ends as it should. Its caller has completed all requests.
    ///
    /// Gives how the capture stood at its end.
    pub(crate) fn stop_cleanly(&mut self) -> Option<(Result<(), String>, CaptureStatus)> {
        let daemon = self.daemon.take()?;
        let ended = daemon.workers.stop().map_err(|error| error.to_string());
        Some((ended, daemon.capture.status()))
    }

    /// The process ends where it is; the machine goes on.
    pub(crate) fn kill(&mut self) {
        self.power.cut();
        self.daemon = None;
        self.power.restore();
    }

    /// The power goes, and comes back.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) {
        self.power.cut();
        self.daemon = None;
        self.disks.power_cut();
        self.journal.crash(rng.next_u64());
        if self.is_state_apart() {
            self.state.crash(rng.next_u64());
        }
        let ring = self.ring.path().join("ring");
        match std::fs::remove_file(ring) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        self.power.restore();
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        self.disk_power.mend();
        self.journal_power.mend();
        self.state_power.mend();
        self.journal.set_capacity(None);
        self.state.set_capacity(None);
    }

    fn is_state_apart(&self) -> bool {
        !Arc::ptr_eq(&self.journal_power, &self.state_power)
    }

    pub(crate) fn journal_folder(&self) -> Arc<dyn Directory> {
        self.journal.folder(JOURNAL)
    }

    pub(crate) fn outgoing(&self) -> Arc<dyn Directory> {
        self.journal.folder(format!("{JOURNAL}/outgoing"))
    }

    /// What lies in `open/`, for a report.
    pub(crate) fn open_files(&self) -> Vec<String> {
        let open = self.journal.folder(format!("{JOURNAL}/open"));
        open.list().unwrap_or_default()
    }

    /// Lets its file systems not do all that they claim to do.
    pub(crate) fn sabotage(&self, sabotage: impl Fn() -> Sabotage) {
        self.journal.sabotage(Some(sabotage()));
        if self.is_state_apart() {
            self.state.sabotage(Some(sabotage()));
        }
    }

    /// The last LSN that is in the journal as it lies, before anybody takes it up.
    ///
    /// # Errors
    ///
    /// If the journal's state files can't be used.
    pub(crate) fn journalled(&self) -> Result<Lsn, Failure> {
        // an observer is not hindered by what the daemon meets
        let broken = self.journal_power.broken();
        self.journal_power.mend();
        let last = self.last_in_journal();
        if let Some(kind) = broken {
            self.journal_power.break_down(kind);
        }
        last.map_err(|error| {
            let what = format!("the journal can't be read: {error}");
            Failure::new(Promise::P1, what)
        })
    }

    fn last_in_journal(&self) -> Result<Lsn, SpoolError> {
        let spool = SourceSpool::open(self.journal_folder())?;
        let open = spool.open_folder();
        let mut last = spool.sealed()?.lsn;
        for text in open.list().unwrap() {
            let Ok(name) = FileName::parse_open(&text) else {
                continue;
            };
            match recover(&**open, name) {
                Ok(Recovered::Open(file)) => last = last.max(file.last_lsn()),
                Ok(Recovered::Sealed(file)) => last = last.max(file.position.lsn),
                Ok(Recovered::Empty) | Err(_) => {}
            }
        }
        Ok(last)
    }
}

/// A folder in memory if the system has one, since a ring is mapped and changes often.
fn ring_folder() -> tempfile::TempDir {
    let shared = PathBuf::from("/dev/shm");
    match shared.is_dir() {
        true => tempfile::tempdir_in(shared).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

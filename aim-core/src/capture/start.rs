//! How a capture begins: what the one before left is taken up, and what has to be copied is known
//! before the first request.
//!
//! | found | has to be copied |
//! |---|---|
//! | the map says that the one before ended cleanly | what it says is needed |
//! | it does not, but the ring of this boot is there | that, and the ranges that were in flight |
//! | neither, or the ring can't tell all of it | that, and every hot extent |
//! | no map, or an open file that can't be read | everything |

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::caretaker::Caretaker;
use super::drain::Drain;
use super::durability::Durability;
use super::extents::{Extents, Loaded, MapError, MapFile, MapState};
use super::gate::Gate;
use super::keeper::Keeper;
use super::record::RecordTable;
use super::series::{Series, TakenUp};
use super::shared::{Progress, Shared, Stop};
use super::signal::DrainSignal;
use super::staging::Staging;
use super::verify::Passes;
use super::worker::{Threads, Workers};
use super::{
    Baselines, Capture, CaptureConfig, CaptureState, Comparison, HotPolicy, SeriesError,
    SourceDisk, StagingConfig, leftover, status,
};
use crate::clock::Clock;
use crate::request::Request;
use crate::spool::SourceSpool;
use crate::units::{ByteLen, Lsn};

/// Why a capture could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The staging ring could not be made or mapped.
    #[error("staging ring of {bytes} bytes in {}", place(.path))]
    Staging {
        /// Its file; `None` in anonymous memory.
        path: Option<PathBuf>,
        /// Size that was asked for.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The series of journal files could not be taken up.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The extent map could not be read or written.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The disks are not those of the volume.
    #[error("disk {index} has {found} bytes, the volume's device has {expected}")]
    Disk {
        /// Which device of the volume.
        index: usize,
        /// Bytes of the volume's device; 0 if it has none of this index.
        expected: ByteLen,
        /// Bytes of the disk; 0 if none was given.
        found: ByteLen,
    },
    /// A thread could not be started.
    #[error("starting a thread of the capture")]
    Thread(#[source] std::io::Error),
}

fn place(path: &Option<PathBuf>) -> std::path::Display<'_> {
    path.as_deref()
        .unwrap_or_else(|| Path::new("memory"))
        .display()
}

impl Capture {
    /// Takes up the series in `spool` where it ended and starts to capture.
    ///
    /// `disks` are the volume's devices in its order, as the front end writes them: they are read
    /// where the mirror lacks something, and synced. After an unclean stop the open journal file
    /// is salvaged and what the staging ring still holds is drained; what may be on only one of
    /// disk and journal is copied, as one atomic group, while requests go on.
    ///
    /// # Errors
    ///
    /// [`CaptureError`]; nothing runs then.
    pub fn start(
        config: &CaptureConfig,
        spool: SourceSpool,
        disks: Vec<Arc<dyn SourceDisk>>,
        clock: impl Clock + Clone,
    ) -> Result<Self, CaptureError> {
        let (capture, workers) = Self::paused(config, spool, disks, clock)?;
        let Workers {
            drain,
            keeper,
            caretaker,
        } = workers;
        let threads = Threads {
            drain: spawn("aim-drain", move || drain.run())?,
            keeper: spawn("aim-map", move || keeper.run())?,
            caretaker: spawn("aim-care", move || caretaker.run())?,
        };
        *capture
            .threads
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(threads);
        Ok(capture)
    }

    /// As [`start`](Self::start), without threads: whoever calls it does the workers' steps. For
    /// simulators, and for front ends with an event loop of their own.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn paused(
        config: &CaptureConfig,
        spool: SourceSpool,
        disks: Vec<Arc<dyn SourceDisk>>,
        clock: impl Clock + Clone,
    ) -> Result<(Self, Workers), CaptureError> {
        check_disks(&spool, &disks)?;
        let loaded = MapFile::load(&**spool.state_folder(), spool.identity())?;
        let resumed = Series::resume(
            spool.clone(),
            config.seal,
            config.journal,
            Box::new(clock.clone()),
        );
        let (mut series, taken_up) = resumed?;
        let (staging, table, is_trusted) = open_ring(&config.staging, &series)?;
        let mut begin = Beginning::new(&spool, loaded, taken_up, config.hot);
        begin.take_up(&mut series, &staging, &table, is_trusted);
        let keeper_map = begin.store(&spool)?;
        // a start that ends before finds the ring as it was
        table.clear();
        let group = begin.open_group(&mut series);
        let trouble = begin.trouble.take();
        let shared = Arc::new(share(begin, &series, staging, table, disks, clock));
        if series.open_group() != Lsn(0) {
            shared.gate.group_begun(group);
        }
        if let Some(error) = trouble {
            series.leave(&error);
            shared.start_tracking(&status::with_causes(&error));
        } else {
            shared.staging.is_tracking().store(0, Ordering::SeqCst);
        }
        let workers = Workers {
            drain: Drain::new(shared.clone(), series, config.journal.on_full),
            keeper: Keeper::new(shared.clone(), keeper_map, MapState::Capturing),
            caretaker: Caretaker::new(shared.clone(), config),
        };
        let threads = Mutex::new(None);
        Ok((Self { shared, threads }, workers))
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, CaptureError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(body).map_err(CaptureError::Thread)
}

fn check_disks(spool: &SourceSpool, disks: &[Arc<dyn SourceDisk>]) -> Result<(), CaptureError> {
    let devices = &spool.identity().devices;
    for index in 0..devices.len().max(disks.len()) {
        let expected = devices.get(index).map_or(ByteLen(0), |device| device.size);
        let found = disks.get(index).map_or(ByteLen(0), |disk| disk.bytes());
        if expected != found {
            return Err(CaptureError::Disk {
                index,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// Maps the ring. The flag tells whether what it holds can be relied on: it is of this boot, and
/// everything that was captured went through it.
fn open_ring(
    config: &StagingConfig,
    series: &Series,
) -> Result<(Staging, RecordTable, bool), CaptureError> {
    // one landing more, for what is copied
    let config = StagingConfig {
        spare_chunks: config.spare_chunks + 1,
        ..config.clone()
    };
    let (path, bytes) = (config.path.clone(), config.total_bytes());
    let opened = Staging::open(config, series.volume());
    let (staging, existing) = opened.map_err(|source| CaptureError::Staging {
        path,
        bytes,
        source,
    })?;
    let (start, records) = staging.table();
    // SAFETY: the table lies inside the mapping that the caller keeps beside it in `Shared`, and
    // only this table uses it.
    let table = unsafe { RecordTable::new(start, records) };
    let is_tracking = staging.is_tracking().load(Ordering::SeqCst) != 0;
    Ok((staging, table, existing && !is_tracking))
}

/// What is known while the capture is being started.
struct Beginning {
    extents: Extents,
    shift: u32,
    state: MapState,
    /// Whether transactions were not captured.
    has_hole: bool,
    /// Why the journal can't be used for now.
    trouble: Option<SeriesError>,
}

impl Beginning {
    fn new(spool: &SourceSpool, loaded: Loaded, taken_up: TakenUp, hot: HotPolicy) -> Self {
        let mut extents = Extents::new(spool.identity(), loaded.shift, loaded.bits);
        // the other half is for what is written to
        extents.warm_neighbours_up_to((hot.bytes.get() >> loaded.shift >> 1) as usize);
        if matches!(taken_up, TakenUp::Damaged) {
            extents.need(0..extents.count());
        }
        Self {
            extents,
            shift: loaded.shift,
            state: loaded.state,
            has_hole: loaded.state == MapState::Tracking,
            trouble: match taken_up {
                TakenUp::Later(error) => Some(error),
                TakenUp::Whole | TakenUp::Damaged => None,
            },
        }
    }

    /// Drains the ring, if it can be relied on, and finds out what has to be copied.
    fn take_up(
        &mut self,
        series: &mut Series,
        staging: &Staging,
        table: &RecordTable,
        is_trusted: bool,
    ) {
        // what was known to be needed when a group was begun may not have been stored yet
        let was_in_group = series.open_group() != Lsn(0);
        let mut is_told = self.state == MapState::Clean
            || is_trusted && self.state == MapState::Capturing && !was_in_group;
        if is_trusted && self.trouble.is_none() {
            match leftover::drain(series, staging, table) {
                Ok(unknown) => unknown.iter().for_each(|range| self.need(range)),
                Err(error) => self.trouble = Some(error),
            }
        }
        if self.trouble.is_some() {
            // what the ring held is on the disk, and in extents that are hot
            self.has_hole = true;
            is_told = false;
        }
        if !is_told {
            self.extents.need_all_hot();
        }
        if self.extents.needed() > 0 {
            tracing::warn!(
                extents = self.extents.needed(),
                of = self.extents.count(),
                "source and mirror may differ there: it will be copied"
            );
        }
    }

    fn need(&mut self, range: &Request) {
        let range = self.extents.of(range);
        self.extents.need(range);
    }

    /// Says in the map that a capture runs, before it does.
    fn store(&mut self, spool: &SourceSpool) -> Result<MapFile, MapError> {
        let all = self.extents.all();
        let map = MapFile::take_over(
            spool.state_folder().clone(),
            spool.identity().clone(),
            self.shift,
            &all,
        )?;
        self.extents.take_changes();
        self.extents.set_stored(&all);
        Ok(map)
    }

    /// Begins a group where something has to be copied, unless one is open. Gives its begin.
    fn open_group(&mut self, series: &mut Series) -> Option<Lsn> {
        if self.trouble.is_some() || self.extents.needed() == 0 || series.open_group() != Lsn(0) {
            return None;
        }
        let first = series.last().next();
        match series.bridge(first.get()..=first.get(), self.has_hole) {
            Ok(()) => Some(first),
            Err(error) => {
                self.trouble = Some(error);
                None
            }
        }
    }
}

fn share(
    begin: Beginning,
    series: &Series,
    staging: Staging,
    table: RecordTable,
    disks: Vec<Arc<dyn SourceDisk>>,
    clock: impl Clock,
) -> Shared {
    let last = series.last();
    let extent_bytes = 1 << begin.shift;
    let records = table.capacity();
    let total = disks.iter().map(|disk| disk.bytes().get()).sum();
    let gate = Gate::new(last.next(), records, series.last_time(), begin.extents);
    let caretaker_bell = Arc::default();
    Shared {
        gate,
        durability: Durability::new(last),
        signal: DrainSignal::default(),
        keeper_bell: Arc::default(),
        comparison: Arc::new(Comparison::new(Arc::clone(&caretaker_bell))),
        baselines: Arc::new(Baselines::new(Arc::clone(&caretaker_bell), total)),
        caretaker_bell,
        volume: series.volume(),
        pending_bytes: AtomicI64::new(0),
        progress: Mutex::new(Progress {
            state: CaptureState::Capturing,
            map_trouble: None,
            drained: last,
            sealed: series.sealed(),
            oldest_unsealed: None,
            copied: ByteLen(0),
            verify: Passes::default(),
            stop: Stop::No,
        }),
        disks,
        extent_bytes,
        clock: Box::new(clock),
        is_stopping: AtomicBool::new(false),
        staging,
        table,
    }
}

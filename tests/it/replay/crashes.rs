//! Power cuts and errors at every step of an apply.

use std::io;
use std::sync::Arc;

use aim_core::cursor::{MirrorCursor, Position};
use aim_core::device::BlockDevice;
use aim_core::fs::{DirFile, Directory};
use aim_core::replay::{Replay, ReplayError};
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_core::units::{ByteLen, ByteOffset};
use aim_tests::{Series, SeriesFile};

use super::mirror::{Mirror, two_disks};

/// A mechanism of replay that a test can take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The intent is never stored.
    Intent,
    /// The devices are never synced.
    DeviceSync,
    /// The folder of the cursor is never synced.
    FolderSync,
}

/// What was seen over all the places where the power was cut.
#[derive(Debug, Default)]
struct Seen {
    cuts: u64,
    /// After the cut the devices were a mixture, and the cursor said so.
    mixtures: u64,
    /// After the cut the devices were not what the cursor said.
    differences: u64,
}

/// The files of a series and the runs in which they are applied.
struct Plan {
    series: Series,
    files: Vec<SeriesFile>,
    run_len: usize,
}

impl Plan {
    fn new(seed: u64, run_len: usize) -> Self {
        let mut series = Series::new(two_disks(), seed);
        let files = (0..4).map(|_| series.next_file(12)).collect();
        Self {
            series,
            files,
            run_len,
        }
    }

    /// What the devices hold at a position.
    fn devices_at(&self, position: Position) -> Vec<Vec<u8>> {
        match self.files.iter().find(|file| file.position == position) {
            Some(file) => file.devices.clone(),
            None => {
                let devices = self.series.identity().devices.iter();
                devices
                    .map(|device| vec![0; device.size.get() as usize])
                    .collect()
            }
        }
    }

    /// Applies what is not applied yet, in runs.
    fn apply(&self, replay: &mut Replay) -> Result<(), ReplayError> {
        for run in self.files.chunks(self.run_len) {
            let run: Vec<_> = run.iter().map(|file| self.series.verified(file)).collect();
            replay.apply_run(&run.iter().collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

fn start(mirror: &Mirror, broken: Broken) -> Result<Replay, ReplayError> {
    let devices = mirror.devices.iter().map(|device| -> Arc<dyn BlockDevice> {
        match broken {
            Broken::DeviceSync => Arc::new(NeverSynced(device.clone())),
            _ => device.clone(),
        }
    });
    let folder = match broken {
        Broken::Intent | Broken::FolderSync => Arc::new(BrokenFolder {
            folder: mirror.folder(),
            broken,
        }),
        _ => mirror.folder(),
    };
    mirror.start_with(devices.collect(), folder)
}

/// Cuts the power at each step of applying the plan, restarts, and applies the rest.
fn cut_everywhere(plan: &Plan, seed: u64, broken: Broken) -> Seen {
    let mut seen = Seen::default();
    for step in 1.. {
        let mirror = Mirror::new(plan.series.identity(), seed ^ (step << 8));
        mirror.power.cut_at(step);
        let finished = start(&mirror, broken).and_then(|mut replay| plan.apply(&mut replay));
        seen.cuts += 1;
        mirror.power_cut(seed ^ step);
        let cursor = mirror.cursor();
        let as_applied = mirror.content() == plan.devices_at(cursor.applied);
        match cursor.is_settled() {
            true => seen.differences += u64::from(!as_applied),
            false => seen.mixtures += u64::from(!as_applied),
        }
        let mut replay = start(&mirror, broken).unwrap();
        plan.apply(&mut replay).unwrap();
        mirror.power_cut(!seed);
        let last = &plan.files[plan.files.len() - 1];
        let arrived = mirror.cursor().applied == last.position && mirror.cursor().is_settled();
        seen.differences += u64::from(!arrived || mirror.content() != last.devices);
        if finished.is_ok() {
            assert!(step > 20, "only {step} steps to cut at");
            return seen;
        }
    }
    seen
}

#[test]
fn after_a_power_cut_at_any_step_the_mirror_is_a_past_of_the_source() {
    for run_len in [1, 2, 4] {
        let mut mixtures = 0;
        for seed in 0..6 {
            let plan = Plan::new(seed, run_len);
            let seen = cut_everywhere(&plan, seed, Broken::Nothing);
            assert_eq!(
                seen.differences, 0,
                "seed {seed}, runs of {run_len}: {seen:?}"
            );
            mixtures += seen.mixtures;
        }
        assert!(
            mixtures > 0,
            "no cut hit the devices: this test proves nothing"
        );
    }
}

#[test]
fn each_mechanism_is_needed() {
    for broken in [Broken::Intent, Broken::DeviceSync, Broken::FolderSync] {
        let differences: u64 = (0..6)
            .map(|seed| cut_everywhere(&Plan::new(seed, 1), seed, broken).differences)
            .sum();
        assert!(differences > 0, "without {broken:?} nothing is lost");
    }
}

#[test]
fn after_an_error_at_any_step_the_same_file_can_be_applied_again() {
    for seed in 0..4 {
        let plan = Plan::new(seed, 1);
        for step in 1.. {
            let mirror = Mirror::new(plan.series.identity(), seed ^ (step << 8));
            mirror.power.fail_at(step, io::ErrorKind::Other);
            let mut replay = mirror.start().unwrap();
            let finished = plan.apply(&mut replay);
            // no restart: the same applier goes on
            plan.apply(&mut replay).unwrap();
            mirror.power_cut(seed);
            assert!(mirror.cursor().is_settled(), "seed {seed}, step {step}");
            let last = &plan.files[plan.files.len() - 1];
            assert!(mirror.content() == last.devices, "seed {seed}, step {step}");
            if finished.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn after_an_error_and_then_the_end_of_the_process_at_any_steps_the_mirror_is_a_past() {
    let mut series = Series::new(two_disks(), 5);
    let files = (0..2).map(|_| series.next_file(12)).collect();
    let plan = Plan {
        series,
        files,
        run_len: 1,
    };
    for failing in 1.. {
        for cut in 1.. {
            let mirror = Mirror::new(plan.series.identity(), failing << 16 | cut);
            mirror.power.fail_at(failing, io::ErrorKind::Other);
            let mut replay = mirror.start().unwrap();
            if plan.apply(&mut replay).is_ok() {
                return;
            }
            // no restart: the same applier goes on
            mirror.power.cut_at(failing + cut);
            let finished = plan.apply(&mut replay).is_ok();
            // the machine lives: what was done and not synced is still there
            mirror.power.restore();
            let cursor = mirror.cursor();
            assert!(
                !cursor.is_settled() || mirror.content() == plan.devices_at(cursor.applied),
                "error at step {failing}, end {cut} steps later"
            );
            if finished {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_stops_before_the_device_is_touched_and_room_lets_it_go_on() {
    let plan = Plan::new(3, 1);
    let mirror = Mirror::new(plan.series.identity(), 3);
    mirror.file_system.set_capacity(Some(100));
    let mut replay = mirror.start().unwrap();
    let error = plan.apply(&mut replay).unwrap_err();
    assert!(matches!(error, ReplayError::Cursor(_)), "{error}");
    assert!(mirror.content() == plan.devices_at(Position::START));
    mirror.file_system.set_capacity(None);
    plan.apply(&mut replay).unwrap();
    assert!(mirror.content() == plan.files[3].devices);
}

#[test]
fn an_interrupted_run_is_finished_by_the_same_files_even_one_by_one() {
    let plan = Plan::new(9, 4);
    let mirror = Mirror::new(plan.series.identity(), 9);
    // creation, write, sync, rename and folder sync of the cursor; the rest is the devices
    mirror.power.cut_at(5 + 12);
    assert!(plan.apply(&mut mirror.start().unwrap()).is_err());
    mirror.power_cut(9);
    assert_eq!(mirror.cursor().intent, plan.files[3].position);
    let mut replay = mirror.start().unwrap();
    for file in &plan.files {
        assert!(!mirror.cursor().is_settled(), "before {}", file.position);
        replay.apply(&plan.series.verified(file)).map(drop).unwrap();
    }
    assert!(mirror.cursor().is_settled());

    // another end of the series does not replace the one that was begun
    let mirror = Mirror::new(plan.series.identity(), 9);
    mirror.power.cut_at(5 + 12);
    assert!(plan.apply(&mut mirror.start().unwrap()).is_err());
    mirror.power_cut(9);
    let mut replay = mirror.start().unwrap();
    let mut other = Series::new(plan.series.identity().clone(), 77);
    other.set_position(plan.files[2].position);
    let other_end = other.next_file(5);
    for file in &plan.files[..3] {
        replay.apply(&plan.series.verified(file)).map(drop).unwrap();
    }
    let error = replay.apply(&other.verified(&other_end)).unwrap_err();
    assert!(matches!(error, ReplayError::OtherHistory { .. }), "{error}");
}

/// A device whose applier forgot to sync it.
#[derive(Debug)]
struct NeverSynced(Arc<dyn BlockDevice>);

impl BlockDevice for NeverSynced {
    fn size(&self) -> ByteLen {
        self.0.size()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, buffer)
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        self.0.write_zeroes(offset, len, unmap)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder whose user forgot to store the intent, or to sync it.
#[derive(Debug)]
struct BrokenFolder {
    folder: Arc<dyn Directory>,
    broken: Broken,
}

impl Directory for BrokenFolder {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        self.folder.create(name)
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>> {
        self.folder.open(name, writable)
    }

    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()> {
        let content = self.folder.read_small(name, FILE_BYTES_MAX)?;
        let cursor = MirrorCursor::decode(&content).unwrap();
        match self.broken == Broken::Intent && !cursor.is_settled() {
            true => self.folder.remove(name),
            false => self.folder.rename(name, to, to_name),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        match self.broken {
            Broken::FolderSync => Ok(()),
            _ => self.folder.sync(),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        self.folder.subdirectory(name)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }
}

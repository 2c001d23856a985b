//! The mirror host loses power at every step of receiving and applying.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aim_core::cursor::MirrorCursor;
use aim_core::device::BlockDevice;
use aim_core::fs::{DirFile, Directory};
use aim_core::identity::VolumeIdentity;
use aim_core::replay::Replay;
use aim_core::spool::MirrorSpool;
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, FileNumber};
use aim_tests::{MemFileSystem, Power, Series, SeriesFile, VolatileDevice};

use super::receive::Mirror;

const DEVICE_BYTES: u64 = 64 << 10;
/// Which files end in a group: a group of three files lies between two others.
const IN_GROUP: [bool; 5] = [false, true, true, false, false];
const FILES: usize = IN_GROUP.len();

struct Host {
    power: Arc<Power>,
    files: MemFileSystem,
    folder: Arc<dyn Directory>,
    device: Arc<VolatileDevice>,
}

impl Host {
    fn new(identity: &VolumeIdentity, seed: u64) -> Self {
        let power = Power::steady();
        let files = MemFileSystem::new(power.clone());
        let folder = files.folder("/mirror");
        MirrorSpool::create(folder.clone(), identity).unwrap();
        Self {
            device: VolatileDevice::new(ByteLen(DEVICE_BYTES), 512, power.clone(), seed),
            folder,
            files,
            power,
        }
    }

    fn lose_power(&self, seed: u64) {
        self.files.crash(seed);
        self.device.power_cut();
        self.power.restore();
    }
}

/// Has its own power, and removes what the mirror host says it has.
struct Source {
    series: Series,
    sealed: Vec<SeriesFile>,
    received: FileNumber,
}

impl Source {
    fn new(seed: u64) -> Self {
        let identity = VolumeIdentity::generate(ByteLen(DEVICE_BYTES), 512);
        let mut series = Series::new(identity, seed);
        let sealed = IN_GROUP.map(|in_group| match in_group {
            true => series.next_file_in_group(8),
            false => series.next_file(8),
        });
        Self {
            series,
            sealed: sealed.to_vec(),
            received: FileNumber(0),
        }
    }

    /// Looks for receipts, then brings what it still has and is not there, and syncs nothing.
    fn go_round(&mut self, folder: &Arc<dyn Directory>) -> std::io::Result<()> {
        if let Ok(Some(cursor)) = MirrorCursor::load(&**folder) {
            self.received = self.received.max(cursor.received.file);
        }
        let incoming = folder.subdirectory("incoming")?;
        let there = incoming.list()?;
        for file in &self.sealed {
            let name = file.name.sealed();
            if file.name.number <= self.received || there.contains(&name) {
                continue;
            }
            let bytes = self.series.folder().read_small(&name, 1 << 30)?;
            match incoming.remove(&file.name.partial()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let part = incoming.create(&file.name.partial())?;
            part.write_all_at(&[IoSlice::new(&bytes)], 0)?;
            incoming.rename(&file.name.partial(), &*incoming, &name)?;
        }
        Ok(())
    }
}

/// Where the cursor says that the devices hold what is applied, they do, and it is no part of a
/// group.
fn assert_at_rest(source: &Source, host: &Host) {
    let cursor = MirrorCursor::load(&*host.folder).unwrap();
    let Some(cursor) = cursor.filter(MirrorCursor::is_settled) else {
        return;
    };
    let content = host.device.durable_content();
    let applied = |file: &&SeriesFile| file.position == cursor.applied;
    match source.sealed.iter().find(applied) {
        Some(file) => assert!(!file.position.is_in_group() && content == file.devices[0]),
        None => assert!(content.iter().all(|byte| *byte == 0)),
    }
}

/// Runs source and mirror in turns until all is applied or something fails.
fn run(source: &mut Source, host: &Host) -> Result<(), Box<dyn std::error::Error>> {
    let spool = MirrorSpool::open(host.folder.clone())?;
    let cursor = Arc::new(spool.cursor()?);
    let devices: Vec<Arc<dyn BlockDevice>> = vec![host.device.clone()];
    let mut replay = Replay::new(spool.identity().clone(), devices, cursor.clone())?;
    let mirror = Mirror::new(spool, cursor.clone(), None, Duration::ZERO)?;
    let end = source.series.position();
    for _ in 0..3 * FILES {
        source.go_round(&host.folder)?;
        mirror.receive()?;
        source.go_round(&host.folder)?;
        while mirror.apply_next(&mut replay)? {}
        if cursor.get().applied == end {
            return Ok(());
        }
    }
    Err(format!("{} is never reached: {:?}", end, cursor.get()).into())
}

/// Cuts the power of the mirror host at every step, and gives the first place where something is
/// lost or differs.
fn cut_everywhere(make: impl Fn(&VolumeIdentity, u64) -> Host) -> Option<String> {
    let mut probe = Source::new(1);
    let host = make(probe.series.identity(), 1);
    let start = host.power.steps();
    run(&mut probe, &host).unwrap();
    let steps = host.power.steps() - start;
    assert!(steps > 50, "only {steps} steps");
    for step in 0..steps {
        for seed in 0..3 {
            let mut source = Source::new(seed + 10);
            let host = make(source.series.identity(), seed);
            host.power.cut_at(host.power.steps() + step);
            if run(&mut source, &host).is_ok() {
                // another seed, another number of steps
                continue;
            }
            host.lose_power(seed * 1000 + step);
            assert_at_rest(&source, &host);
            if let Err(error) = run(&mut source, &host) {
                return Some(format!("step {step}, seed {seed}: {error}"));
            }
            let expected = &source.sealed[FILES - 1].devices[0];
            if host.device.durable_content() != *expected {
                return Some(format!("step {step}, seed {seed}: the mirror differs"));
            }
        }
    }
    None
}

#[test]
fn nothing_is_lost_and_the_mirror_is_the_same_after_a_power_cut_at_any_step() {
    assert_eq!(cut_everywhere(Host::new), None);
}

#[test]
fn without_a_sync_of_file_or_folder_what_was_received_is_lost() {
    for unsynced in [Unsynced::Files, Unsynced::Names] {
        let lost = cut_everywhere(|identity, seed| {
            let mut host = Host::new(identity, seed);
            host.folder = Arc::new(Forgetful {
                folder: host.folder.clone(),
                unsynced: None,
                of_incoming: unsynced,
            });
            host
        });
        let lost = lost.unwrap_or_default();
        assert!(
            lost.contains("is never reached") || lost.contains("not in incoming/"),
            "{unsynced:?}: {lost}"
        );
    }
}

/// What is never synced in `incoming/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsynced {
    Files,
    Names,
}

/// The folder of a mirror, or its `incoming/`, on a host that forgets to sync.
#[derive(Debug)]
struct Forgetful {
    folder: Arc<dyn Directory>,
    unsynced: Option<Unsynced>,
    of_incoming: Unsynced,
}

impl Forgetful {
    fn file(&self, file: Arc<dyn DirFile>) -> Arc<dyn DirFile> {
        match self.unsynced {
            Some(Unsynced::Files) => Arc::new(ForgetfulFile(file)),
            _ => file,
        }
    }
}

impl Directory for Forgetful {
    fn path(&self) -> PathBuf {
        self.folder.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        Ok(self.file(self.folder.create(name)?))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>> {
        Ok(self.file(self.folder.open(name, writable)?))
    }

    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()> {
        self.folder.rename(name, to, to_name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        match self.unsynced {
            Some(Unsynced::Names) => Ok(()),
            _ => self.folder.sync(),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(Self {
            folder: self.folder.subdirectory(name)?,
            unsynced: (name == "incoming").then_some(self.of_incoming),
            of_incoming: self.of_incoming,
        }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }
}

/// A file whose user forgets to sync it.
#[derive(Debug)]
struct ForgetfulFile(Arc<dyn DirFile>);

impl DirFile for ForgetfulFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.0.write_all_at(slices, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

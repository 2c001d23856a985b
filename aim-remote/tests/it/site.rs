//! A source and a mirror: their folders, a series of files, a device.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aim_core::cursor::Position;
use aim_core::device::{BlockDevice, MemDevice};
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::FileName;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::units::{ByteLen, ByteOffset};
use aim_remote::apply::{Applier, ApplyOptions};
use aim_remote::ship::{LineOptions, Rounds, ShipOptions, Shipper};
use aim_remote::transport::{LocalTransport, Transport};
use aim_tests::{Series, SeriesFile};
use tempfile::TempDir;

pub(crate) struct Site {
    journal: TempDir,
    /// Where a mover has files that are not complete yet.
    moving: TempDir,
    pub(crate) directory: TempDir,
    pub(crate) series: Series,
    pub(crate) device: Arc<Disk>,
    /// What the device shall hold when all has been applied.
    expected: Vec<u8>,
    pub(crate) files: Vec<SeriesFile>,
}

impl Site {
    pub(crate) fn new(seed: u64) -> Self {
        let identity = VolumeIdentity::generate(ByteLen(1 << 20), 512);
        let site = Self {
            journal: tempfile::tempdir().unwrap(),
            moving: tempfile::tempdir().unwrap(),
            directory: tempfile::tempdir().unwrap(),
            series: Series::new(identity.clone(), seed),
            device: Arc::new(Disk::new(1 << 20)),
            expected: vec![0; 1 << 20],
            files: Vec::new(),
        };
        SourceSpool::create(HostDirectory::open(site.journal.path()).unwrap(), &identity).unwrap();
        MirrorSpool::create(
            HostDirectory::open(site.directory.path()).unwrap(),
            &identity,
        )
        .unwrap();
        site
    }

    pub(crate) fn source(&self) -> SourceSpool {
        SourceSpool::open(HostDirectory::open(self.journal.path()).unwrap()).unwrap()
    }

    pub(crate) fn mirror(&self) -> MirrorSpool {
        MirrorSpool::open(HostDirectory::open(self.directory.path()).unwrap()).unwrap()
    }

    /// Seals files into `outgoing/`, as a capture does.
    pub(crate) fn seal(&mut self, files: usize) {
        for _ in 0..files {
            let file = self.series.next_file(40);
            self.add(file);
        }
    }

    /// Seals files that end in a group.
    pub(crate) fn seal_in_group(&mut self, files: usize) {
        for _ in 0..files {
            let file = self.series.next_file_in_group(40);
            self.add(file);
        }
    }

    /// Seals a file of the series.
    pub(crate) fn add(&mut self, file: SeriesFile) {
        self.source().set_sealed(file.position).unwrap();
        let open = self.journal.path().join("open").join(file.name.open());
        fs::write(&open, self.bytes(&file)).unwrap();
        fs::rename(open, self.outgoing(&file)).unwrap();
        self.expected.clone_from(&file.devices[0]);
        self.files.push(file);
    }

    pub(crate) fn bytes(&self, file: &SeriesFile) -> Vec<u8> {
        let folder = self.series.folder();
        folder.read_small(&file.name.sealed(), 1 << 30).unwrap()
    }

    pub(crate) fn outgoing(&self, file: &SeriesFile) -> PathBuf {
        self.journal
            .path()
            .join("outgoing")
            .join(file.name.sealed())
    }

    pub(crate) fn incoming(&self, name: &str) -> PathBuf {
        self.directory.path().join("incoming").join(name)
    }

    pub(crate) fn rejected(&self, name: &str) -> PathBuf {
        self.directory.path().join("rejected").join(name)
    }

    /// Lays a file into `incoming/` as any mover may. Its part is not there: where the file was received
    /// before, an applier that settles at once would take it for left over, and remove it.
    pub(crate) fn deliver(&self, file: &SeriesFile) {
        self.deliver_bytes(file.name, &self.bytes(file));
    }

    pub(crate) fn deliver_bytes(&self, name: FileName, bytes: &[u8]) {
        let part = self.moving.path().join(name.partial());
        fs::write(&part, bytes).unwrap();
        fs::rename(part, self.incoming(&name.sealed())).unwrap();
    }

    pub(crate) fn ship(&self) -> Shipper {
        self.ship_over(LocalTransport::new(self.directory.path()))
    }

    pub(crate) fn ship_over(&self, transport: impl Transport) -> Shipper {
        self.ship_by(transport, LineOptions::default())
    }

    pub(crate) fn ship_by(&self, transport: impl Transport, line: LineOptions) -> Shipper {
        let options = ShipOptions {
            poll: Duration::from_millis(20),
            idle_poll: Duration::from_millis(50),
            first_retry: Duration::from_millis(10),
            last_retry: Duration::from_millis(100),
        };
        let rounds = Rounds::new(self.source(), transport).over(line);
        Shipper::go_round(rounds, options).unwrap()
    }

    pub(crate) fn apply(&self) -> Applier {
        self.apply_settling(Duration::ZERO)
    }

    /// An applier that sets wrong files aside when they have stayed the same for so long.
    pub(crate) fn apply_settling(&self, settle: Duration) -> Applier {
        let options = ApplyOptions {
            settle,
            poll: Duration::from_millis(50),
            first_retry: Duration::from_millis(10),
            last_retry: Duration::from_millis(100),
        };
        Applier::start(self.mirror(), vec![self.device.clone()], options).unwrap()
    }

    pub(crate) fn sealed(&self) -> Position {
        self.files
            .last()
            .map_or(Position::START, |file| file.position)
    }

    /// Waits until the mirror holds all that was sealed, and checks that it does.
    pub(crate) fn wait_until_applied(&self, applier: &Applier) {
        eventually("all is applied", || {
            applier.status().applied == self.sealed()
        });
        assert!(self.device.content() == self.expected, "the mirror differs");
        assert!(applier.status().is_settled);
    }

    /// Waits until nothing is left to do on either side, and checks that the mirror is the same.
    pub(crate) fn wait_until_equal(&self, shipper: &Shipper, applier: &Applier) {
        self.wait_until_applied(applier);
        eventually("both folders are empty", || {
            let status = shipper.status();
            status.waiting_files == 0
                && status.applied == self.sealed()
                && status.trouble.is_none()
                && self.source().outgoing().unwrap().files.is_empty()
                && self.mirror().incoming().unwrap().files.is_empty()
        });
    }
}

/// Waits for something that other threads bring about.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A disk in memory that can be full.
#[derive(Debug)]
pub(crate) struct Disk {
    disk: MemDevice,
    is_full: AtomicBool,
}

impl Disk {
    fn new(size: u64) -> Self {
        Self {
            disk: MemDevice::new(ByteLen(size), 512),
            is_full: AtomicBool::new(false),
        }
    }

    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.disk.content()
    }

    fn has_room(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl BlockDevice for Disk {
    fn size(&self) -> ByteLen {
        self.disk.size()
    }

    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, buffer)
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        self.has_room()?;
        self.disk.write(offset, data)
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        self.has_room()?;
        self.disk.write_zeroes(offset, len, unmap)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

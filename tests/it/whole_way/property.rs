//! Any sequence of writes, shipments, restarts and power cuts of the mirror, against a model.
//!
//! The ship and receive steps are the smallest that keep the contract between the hosts; the
//! real coordinators have their own tests.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use aim_core::capture::{
    Capture, CaptureConfig, ExtentMap, Initial, MirroredDevice, SealPolicy, SourceDisk,
    StagingConfig,
};
use aim_core::clock::SystemClock;
use aim_core::cursor::MirrorCursor;
use aim_core::device::{BlockDevice, MemDevice};
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{verify_chain, verify_file};
use aim_core::replay::Replay;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, ByteOffset, Lsn};
use aim_tests::{MemFileSystem, Power, VolatileDevice};
use proptest::prelude::*;

const BLOCK: u64 = 512;
const BLOCKS: u64 = 64;
const REQUEST_BLOCKS: u64 = 16;

/// What happens next.
#[derive(Clone, Debug)]
enum Act {
    Write {
        first: u64,
        count: u64,
        fill: u8,
    },
    Zero {
        first: u64,
        count: u64,
        unmap: bool,
    },
    Discard {
        first: u64,
        count: u64,
    },
    Flush,
    /// The source stops and starts again: what is captured is sealed.
    RestartSource,
    /// Carries up to so many files over.
    Ship {
        files: usize,
    },
    /// The mirror host applies what it has.
    Apply,
    /// The power of the mirror host goes at a step of shipping and applying.
    CutMirror {
        step: u64,
        seed: u64,
    },
}

fn any_act() -> impl Strategy<Value = Act> {
    let range = || (0..BLOCKS, 1..=REQUEST_BLOCKS);
    prop_oneof![
        12 => (range(), any::<u8>())
            .prop_map(|((first, count), fill)| Act::Write { first, count, fill }),
        2 => (range(), any::<bool>())
            .prop_map(|((first, count), unmap)| Act::Zero { first, count, unmap }),
        1 => range().prop_map(|(first, count)| Act::Discard { first, count }),
        2 => Just(Act::Flush),
        1 => Just(Act::RestartSource),
        2 => (1..4usize).prop_map(|files| Act::Ship { files }),
        2 => Just(Act::Apply),
        2 => (1..60u64, any::<u64>()).prop_map(|(step, seed)| Act::CutMirror { step, seed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_mirror_is_always_a_past_of_the_source(
        acts in proptest::collection::vec(any_act(), 1..80)
    ) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        world.finish();
    }
}

/// Both hosts.
struct World {
    source: MemFileSystem,
    disk: Arc<MemDevice>,
    mirrored: Option<MirroredDevice<Arc<MemDevice>>>,
    model: Vec<u8>,
    /// What the disk held after each LSN.
    history: BTreeMap<Lsn, Vec<u8>>,
    mirror: MemFileSystem,
    mirror_power: Arc<Power>,
    mirror_disk: Arc<VolatileDevice>,
}

impl World {
    fn new() -> Self {
        let size = ByteLen(BLOCKS * BLOCK);
        let identity = VolumeIdentity::generate(size, BLOCK as u32);
        let source = MemFileSystem::new(Power::steady());
        let journal = source.folder("/journal");
        ExtentMap::create(&*journal, &identity, Initial::Identical, None).unwrap();
        SourceSpool::create(journal, &identity).unwrap();
        let mirror_power = Power::steady();
        let mirror = MemFileSystem::new(mirror_power.clone());
        MirrorSpool::create(mirror.folder("/mirror"), &identity).unwrap();
        let model = vec![0; size.get() as usize];
        let mut world = Self {
            source,
            disk: Arc::new(MemDevice::new(size, BLOCK as u32)),
            mirrored: None,
            history: BTreeMap::from([(Lsn(0), model.clone())]),
            model,
            mirror_disk: VolatileDevice::new(size, BLOCK as u32, mirror_power.clone(), 1),
            mirror,
            mirror_power,
        };
        world.start_source();
        world
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Write { first, count, fill } => {
                let (offset, len) = range(first, count);
                let data = vec![fill; len.get() as usize];
                self.device().write(offset, &data).unwrap();
                self.change(offset, len, fill);
            }
            Act::Zero {
                first,
                count,
                unmap,
            } => {
                let (offset, len) = range(first, count);
                self.device().write_zeroes(offset, len, unmap).unwrap();
                self.change(offset, len, 0);
            }
            Act::Discard { first, count } => {
                let (offset, len) = range(first, count);
                self.device().discard(offset, len).unwrap();
                self.change(offset, len, 0);
            }
            Act::Flush => {
                self.device().sync().unwrap();
                self.change(ByteOffset(0), ByteLen(0), 0);
            }
            Act::RestartSource => {
                self.stop_source();
                self.start_source();
            }
            Act::Ship { files } => self.ship(files).unwrap(),
            Act::Apply => {
                self.apply().unwrap();
                self.assert_past();
            }
            Act::CutMirror { step, seed } => {
                self.mirror_power.cut_at(self.mirror_power.steps() + step);
                let _ = self.ship(2).and_then(|()| self.apply());
                self.mirror_power.cut();
                self.mirror_disk.power_cut();
                self.mirror.crash(seed);
                self.mirror_power.restore();
                self.apply().unwrap();
                self.assert_past();
            }
        }
    }

    fn device(&self) -> &MirroredDevice<Arc<MemDevice>> {
        self.mirrored.as_ref().unwrap()
    }

    /// The disk has changed: so has the model.
    fn change(&mut self, offset: ByteOffset, len: ByteLen, fill: u8) {
        self.model[offset.get() as usize..][..len.get() as usize].fill(fill);
        let captured = self.device().capture().status().captured;
        self.history.insert(captured, self.model.clone());
    }

    fn start_source(&mut self) {
        let seal = SealPolicy {
            bytes: ByteLen(16 * BLOCK),
            age: Duration::from_secs(3600),
        };
        let staging = StagingConfig::anonymous(2, (REQUEST_BLOCKS * BLOCK) as usize);
        let config = CaptureConfig {
            seal,
            ..CaptureConfig::new(staging)
        };
        let disks: Vec<Arc<dyn SourceDisk>> = vec![self.disk.clone()];
        let capture = Capture::start(&config, self.source_spool(), disks, SystemClock).unwrap();
        self.mirrored = Some(MirroredDevice::new(self.disk.clone(), capture));
    }

    fn stop_source(&mut self) {
        self.mirrored.take().unwrap().stop().unwrap();
    }

    fn source_spool(&self) -> SourceSpool {
        SourceSpool::open(self.source.folder("/journal")).unwrap()
    }

    fn mirror_spool(&self) -> Result<MirrorSpool, String> {
        MirrorSpool::open(self.mirror.folder("/mirror")).map_err(|error| error.to_string())
    }

    /// The source's part: files go over in order, and are deleted when the mirror host says
    /// that it has them.
    fn ship(&self, files: usize) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let (source, mirror) = (self.source_spool(), self.mirror_spool()?);
        let incoming = mirror.incoming_folder();
        for file in source.outgoing().unwrap().files.iter().take(files) {
            let name = file.name.sealed();
            let content = source.outgoing_folder().read_small(&name, 1 << 20).unwrap();
            let partial = file.name.partial();
            if incoming.list().map_err(text)?.contains(&partial) {
                incoming.remove(&partial).map_err(text)?;
            }
            let part = incoming.create(&partial).map_err(text)?;
            let written = part.write_all_at(&[IoSlice::new(&content)], 0);
            written.map_err(text)?;
            part.sync_data().map_err(text)?;
            incoming
                .rename(&partial, &**incoming, &name)
                .map_err(text)?;
            incoming.sync().map_err(text)?;
        }
        self.receive(&mirror)?;
        let said = MirrorCursor::load(&*self.mirror.folder("/mirror"));
        let said = said.map_err(|error| error.to_string())?;
        if let Some(cursor) = said {
            source.remove_received(cursor.received).unwrap();
        }
        Ok(())
    }

    /// The mirror host's part: what is verified and durable is received.
    fn receive(&self, mirror: &MirrorSpool) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let cursor = mirror.cursor().map_err(|error| text(&error))?;
        for file in mirror.incoming().map_err(|error| text(&error))?.files {
            if file.name.number != cursor.get().received.file.next() {
                continue;
            }
            let folder = mirror.incoming_folder();
            let verified =
                verify_file(&**folder, &file.name.sealed()).map_err(|error| text(&error))?;
            folder.sync().map_err(|error| text(&error))?;
            let position = verified.position();
            let updated = cursor.update(|cursor| cursor.received = position);
            updated.map_err(|error| text(&error))?;
        }
        Ok(())
    }

    fn apply(&self) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let mirror = self.mirror_spool()?;
        let cursor = Arc::new(mirror.cursor().map_err(|error| text(&error))?);
        let identity = mirror.identity().clone();
        let mut replay = Replay::new(identity, vec![self.mirror_disk.clone()], cursor.clone())
            .map_err(|error| text(&error))?;
        for file in mirror.incoming().map_err(|error| text(&error))?.files {
            if file.name.number > cursor.get().received.file {
                break;
            }
            let opened = verify_file(&**mirror.incoming_folder(), &file.name.sealed());
            let opened = opened.map_err(|error| text(&error))?;
            replay
                .apply(&opened)
                .map(drop)
                .map_err(|error| text(&error))?;
        }
        let removed = mirror.remove_applied(cursor.get().applied);
        removed.map(drop).map_err(|error| text(&error))
    }

    /// P2, at a moment at which the mirror's host has recovered.
    fn assert_past(&self) {
        let cursor = self.mirror_spool().unwrap().cursor().unwrap().get();
        assert!(cursor.is_settled());
        let then = &self.history[&cursor.applied.lsn];
        assert!(&self.mirror_disk.content() == then, "at {}", cursor.applied);
    }

    /// P3: once the series has drained, both are equal, and nothing is left.
    fn finish(mut self) {
        self.stop_source();
        assert!(self.disk.content() == self.model);
        let spool = self.source_spool();
        let chain = verify_chain(&**spool.outgoing_folder(), spool.identity().id, None);
        assert!(chain.unwrap().is_whole());
        self.ship(usize::MAX).unwrap();
        self.apply().unwrap();
        self.assert_past();
        self.mirror_disk.power_cut();
        assert!(self.mirror_disk.content() == self.model);
        assert!(spool.outgoing().unwrap().files.is_empty());
        let mirror = self.mirror_spool().unwrap();
        assert_eq!(
            mirror.cursor().unwrap().get().applied,
            spool.sealed().unwrap()
        );
        assert!(mirror.incoming().unwrap().files.is_empty());
        assert!(mirror.rejected().unwrap().files.is_empty());
    }
}

fn range(first: u64, count: u64) -> (ByteOffset, ByteLen) {
    let count = count.min(BLOCKS - first);
    (ByteOffset(first * BLOCK), ByteLen(count * BLOCK))
}

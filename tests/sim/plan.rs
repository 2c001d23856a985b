//! What a run is made of: sizes, and how often each event comes.

use std::time::Duration;

use aim_core::capture::{HotPolicy, OnFull, Worker};
use aim_core::identity::{DeviceIdentity, VolumeIdentity};
use aim_core::units::{ByteLen, DeviceId, Epoch, VolumeId};
use aim_tests::Rng;

use crate::faults::Fault;
use crate::sector;
use crate::source::Setup;

/// Something that happens in a step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request comes.
    Submit,
    /// A request goes one step further.
    Step,
    /// A worker of the capture goes one step further.
    Work(Worker),
    Time,
    Ship,
    Receive,
    Apply,
    /// It is looked whether the mirror is too far behind.
    Leave,
    /// The operator asks for it.
    Resync,
    Verify,
    /// All requests that are in flight come to their end, whatever else is wrong.
    Insist,
    RestartSource,
    RestartMirror,
    /// The power goes, at once or at one of the next steps.
    CutSource,
    CutMirror,
    /// The process ends, at once or at one of the next steps.
    KillSource,
    KillMirror,
    Fault(Fault),
}

/// What always happens, and how often.
const WORK: &[(Event, u64)] = &[
    (Event::Submit, 60),
    (Event::Step, 260),
    (Event::Work(Worker::Drain), 60),
    (Event::Work(Worker::Keeper), 60),
    (Event::Work(Worker::Caretaker), 60),
    (Event::Time, 20),
    (Event::Ship, 20),
    (Event::Receive, 20),
    (Event::Apply, 24),
];

/// What happens in some runs, and how often at most.
const SOMETIMES: &[(Event, u64)] = &[
    (Event::Leave, 8),
    (Event::Resync, 3),
    (Event::Verify, 4),
    (Event::Insist, 4),
    (Event::RestartSource, 4),
    (Event::RestartMirror, 4),
    (Event::CutSource, 6),
    (Event::CutMirror, 8),
    (Event::KillSource, 6),
    (Event::KillMirror, 6),
    (Event::Fault(Fault::SourceDisk), 4),
    (Event::Fault(Fault::JournalStep), 3),
    (Event::Fault(Fault::MapStep), 3),
    (Event::Fault(Fault::Journal), 3),
    (Event::Fault(Fault::JournalRoom), 4),
    (Event::Fault(Fault::MirrorDisk), 6),
    (Event::Fault(Fault::MirrorFiles), 6),
    (Event::Fault(Fault::MirrorRoom), 6),
    (Event::Fault(Fault::Tamper), 8),
    (Event::Fault(Fault::Decay), 2),
];

/// What a run is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) volume: VolumeIdentity,
    pub(crate) setup: Setup,
    /// Steps before everything is mended.
    pub(crate) steps: u64,
    /// One in so many calls over the line goes wrong; 0 for none.
    pub(crate) line_breaks_one_in: u64,
    weights: Vec<(Event, u64)>,
    total: u64,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut weights = WORK.to_vec();
        for &(event, most) in SOMETIMES {
            // some runs have a few kinds of trouble, some have many: each kind meets all others
            if rng.chance(2) {
                weights.push((event, 1 + rng.below(most)));
            }
        }
        Self {
            volume: volume(rng),
            setup: setup(rng),
            steps: 150 + rng.below(450),
            line_breaks_one_in: [0, 5, 20][rng.below(3) as usize],
            total: weights.iter().map(|(_, weight)| weight).sum(),
            weights,
        }
    }

    /// The next event.
    pub(crate) fn next(&self, rng: &mut Rng) -> Event {
        let mut left = rng.below(self.total);
        for &(event, weight) in &self.weights {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return event,
            }
        }
        unreachable!("the weights add up to the total")
    }
}

fn setup(rng: &mut Rng) -> Setup {
    let file_bytes = (16 << 10) << rng.below(3);
    let extent_bytes = 2048 << rng.below(4);
    Setup {
        slots: 2 + rng.below(5) as usize,
        records: 16 << rng.below(3),
        request_bytes_max: (4 + rng.below(12) as usize) * sector::BYTES,
        file_bytes,
        extent_bytes,
        hot: HotPolicy {
            age: Duration::from_millis(100 << rng.below(10)),
            bytes: ByteLen(extent_bytes << rng.below(10)),
        },
        state_apart: rng.chance(2),
        room: rng.chance(3).then(|| file_bytes * (4 + rng.below(8))),
        on_full: match rng.chance(6) {
            true => OnFull::Block,
            false => OnFull::Track,
        },
        compares: rng.chance(2),
        files_at_once: 1 + rng.below(4) as usize,
        packs: rng.chance(3),
    }
}

/// A volume of one or two small disks. Its identity follows from the seed too.
fn volume(rng: &mut Rng) -> VolumeIdentity {
    let mut id = || {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        bytes
    };
    let (volume, devices) = (VolumeId(id()), [DeviceId(id()), DeviceId(id())]);
    let count = if rng.chance(4) { 2 } else { 1 };
    let devices = devices[..count].iter().map(|&id| DeviceIdentity {
        id,
        size: ByteLen((64 << rng.below(3)) * sector::BYTES as u64),
        block_size: sector::BYTES as u32,
    });
    VolumeIdentity {
        id: volume,
        epoch: Epoch(1),
        devices: devices.collect(),
    }
}

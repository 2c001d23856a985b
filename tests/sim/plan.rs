//! What a run is made of: sizes, and how often each event comes.

use aim_core::capture::{OnFull, Worker};
use aim_core::identity::{DeviceIdentity, VolumeIdentity};
use aim_core::units::{ByteLen, DeviceId, Epoch, VolumeId};
use aim_tests::Rng;

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
    /// One of the next steps fails.
    FailSourceDisk,
    FailSourceSync,
    FailJournal,
    FailState,
    FailMirrorDisk,
    FailMirrorFiles,
    /// All of it fails for a while.
    BreakJournal,
    /// The operator asks for it.
    Resync,
    Verify,
    /// There is no room, or there is again.
    FillJournal,
    FillMirror,
    /// A file in `incoming/` is not what was put there.
    Tamper,
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

/// What goes wrong in some runs, and how often at most.
const FAULTS: &[(Event, u64)] = &[
    (Event::Insist, 4),
    (Event::RestartSource, 4),
    (Event::RestartMirror, 4),
    (Event::CutSource, 6),
    (Event::CutMirror, 8),
    (Event::KillSource, 6),
    (Event::KillMirror, 6),
    (Event::FailSourceDisk, 4),
    (Event::FailJournal, 3),
    (Event::FailState, 3),
    (Event::BreakJournal, 3),
    (Event::Resync, 3),
    (Event::Verify, 4),
    (Event::FailMirrorDisk, 6),
    (Event::FailMirrorFiles, 6),
    (Event::FillJournal, 4),
    (Event::FillMirror, 6),
    (Event::Tamper, 8),
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
    /// Draws a plan; `allowed` says which events may be in it.
    pub(crate) fn draw(rng: &mut Rng, allowed: impl Fn(Event) -> bool) -> Self {
        let mut weights = WORK.to_vec();
        for &(event, most) in FAULTS {
            // some runs have a few kinds of faults, some have many: each kind meets all others
            if rng.chance(2) && allowed(event) {
                weights.push((event, 1 + rng.below(most)));
            }
        }
        let file_bytes = (16 << 10) << rng.below(3);
        let request_sectors = 4 + rng.below(12) as usize;
        Self {
            volume: volume(rng),
            setup: Setup {
                slots: 2 + rng.below(5) as usize,
                records: 16 << rng.below(3),
                request_bytes_max: request_sectors * sector::BYTES,
                file_bytes,
                extent_bytes: 2048 << rng.below(4),
                state_apart: rng.chance(2),
                room: rng.chance(3).then(|| file_bytes * (4 + rng.below(8))),
                on_full: match rng.chance(6) {
                    true => OnFull::Block,
                    false => OnFull::Track,
                },
            },
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

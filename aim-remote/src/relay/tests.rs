//! Which files of a mirror are passed on.

use std::sync::Arc;
use std::time::Duration;

use aim_core::cursor::{Position, RelayCursor};
use aim_core::device::{BlockDevice, MemDevice};
use aim_core::format::Kind;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{MirrorSpool, Outgoing};
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, Lsn};
use aim_tests::{MemFileSystem, Power, Series, SeriesFile};

use super::Relay;
use crate::apply::Steps;

const SIZE: u64 = 64 << 10;

struct Host {
    power: Arc<Power>,
    file_system: MemFileSystem,
    folder: Arc<dyn Directory>,
    device: Arc<dyn BlockDevice>,
    series: Series,
    files: Vec<SeriesFile>,
}

impl Host {
    /// Five files, the fourth of which is a baseline.
    fn new() -> Self {
        let identity = VolumeIdentity::generate(ByteLen(SIZE), 512);
        let mut series = Series::new(identity.clone(), 1);
        let mut files: Vec<_> = (0..3).map(|_| series.next_file(8)).collect();
        let begin = series.position().lsn.next();
        files.push(series.next_file_of(&[
            (Kind::BaselineBegin, 0, 0),
            (Kind::Write, 0, SIZE),
            (Kind::BaselineEnd { begin }, 0, 0),
        ]));
        files.push(series.next_file(8));
        let power = Power::steady();
        let file_system = MemFileSystem::new(power.clone());
        let folder = file_system.folder("/mirror");
        MirrorSpool::create(folder.clone(), &identity).unwrap();
        Self {
            power,
            file_system,
            folder,
            device: Arc::new(MemDevice::new(ByteLen(SIZE), 512)),
            series,
            files,
        }
    }

    fn open(&self) -> Arc<Relay> {
        Relay::open(MirrorSpool::open(self.folder.clone()).unwrap()).unwrap()
    }

    fn bring(&self, index: usize) {
        self.try_to_bring(index).unwrap();
    }

    fn try_to_bring(&self, index: usize) -> std::io::Result<()> {
        let name = self.files[index].name.sealed();
        let bytes = self.series.folder().read_small(&name, 1 << 30)?;
        let incoming = self.folder.subdirectory("incoming")?;
        incoming.write_atomic(&name, &bytes)
    }

    fn steps(&self, relay: &Arc<Relay>) -> Steps {
        Steps::relaying(relay, vec![self.device.clone()], Duration::ZERO).unwrap()
    }

    fn position(&self, index: usize) -> Position {
        self.files[index].position
    }
}

fn passed_on(relay: &Relay) -> Vec<u64> {
    let files = relay.look().unwrap().listing.files;
    files.iter().map(|file| file.name.number.get()).collect()
}

/// Receives what is there, and applies it.
fn work(steps: &mut Steps) {
    steps.receive().unwrap();
    while steps.apply().unwrap() {
        steps.receive().unwrap();
    }
}

#[test]
fn only_what_was_received_in_order_is_passed_on_and_nothing_goes_that_is_not_applied() {
    let host = Host::new();
    let relay = host.open();
    let mut steps = host.steps(&relay);
    [0, 2].into_iter().for_each(|index| host.bring(index));
    steps.receive().unwrap();
    assert_eq!(
        passed_on(&relay),
        [1],
        "the third lies there and is not next"
    );
    assert_eq!(
        relay.remove(host.position(0)).unwrap(),
        0,
        "it is not applied"
    );
    work(&mut steps);
    assert_eq!(passed_on(&relay), [1], "others may need it");
    host.bring(1);
    work(&mut steps);
    assert_eq!(passed_on(&relay), [1, 2, 3]);
    assert_eq!(relay.look().unwrap().sealed, host.position(2));
    assert_eq!(relay.remove(host.position(1)).unwrap(), 2);
    assert_eq!(passed_on(&relay), [3]);
}

/// What was missing before a baseline comes later, and was never received here.
#[test]
fn what_is_stepped_over_is_never_passed_on() {
    let host = Host::new();
    let relay = host.open();
    let mut steps = host.steps(&relay);
    host.bring(0);
    work(&mut steps);
    (2..5).for_each(|index| host.bring(index));
    work(&mut steps);
    assert_eq!(steps.status().applied, host.position(4));
    host.bring(1);
    steps.receive().unwrap();
    assert_eq!(passed_on(&relay), [4, 5]);
    drop((steps, relay));
    let relay = host.open();
    assert_eq!(passed_on(&relay), [4, 5], "nor after a restart");
    // a mirror that has passed on nothing for a while begins behind what it has
    Relay::close(relay.spool()).unwrap();
    drop(relay);
    let relay = host.open();
    assert!(passed_on(&relay).is_empty());
}

#[test]
fn what_is_needed_stands_in_the_folder_until_the_end_of_a_baseline_is_received() {
    let host = Host::new();
    let relay = host.open();
    let mut steps = host.steps(&relay);
    let stored = || RelayCursor::load(&*host.folder).unwrap().unwrap();
    let begin = Lsn(host.position(2).lsn.get() + 1);
    relay.want(1, begin);
    relay.want(2, Lsn(3));
    assert_eq!((stored().wanted, stored().rests), (begin, false));
    relay.pause(true);
    assert!(stored().rests);
    relay.unwant(1);
    assert_eq!(stored().wanted, Lsn(3));
    relay.want(1, begin);
    for index in 0..3 {
        host.bring(index);
        work(&mut steps);
        assert_eq!(relay.wanted(), begin);
    }
    host.bring(3);
    work(&mut steps);
    assert_eq!(stored().wanted, Lsn(0));
    // it is known after a restart, too, as long as the file is kept
    drop((steps, relay));
    let relay = host.open();
    assert_eq!(relay.ended(), begin);
    relay.want(1, begin);
    assert_eq!(stored().wanted, Lsn(0));
    relay.want(1, begin.next());
    assert_eq!(stored().wanted, begin.next());
}

/// A relay that steps over the second and the third file, which come too late.
fn step_over(host: &Host) -> Result<(), Box<dyn std::error::Error>> {
    let spool = MirrorSpool::open(host.folder.clone())?;
    let relay = Relay::open(spool)?;
    let mut steps = Steps::relaying(&relay, vec![host.device.clone()], Duration::ZERO)?;
    for brought in [&[0][..], &[2, 3, 4], &[1]] {
        for index in brought {
            host.try_to_bring(*index)?;
        }
        steps.receive()?;
        while steps.apply()? {
            steps.receive()?;
        }
    }
    Ok(())
}

#[test]
fn after_a_power_cut_at_any_step_nothing_is_passed_on_that_was_stepped_over() {
    let (mut before, mut behind) = (0, 0);
    for step in 1.. {
        let host = Host::new();
        host.power.cut_at(host.power.steps() + step);
        let ended = step_over(&host);
        host.file_system.crash(step);
        host.power.restore();
        // what is late lies there now, whatever was lost
        host.bring(1);
        host.bring(2);
        let relay = host.open();
        let received = relay.cursor().get().received.file.get();
        let found = passed_on(&relay);
        match received {
            0 => assert!(found.is_empty(), "step {step}: {found:?}"),
            1 => assert!(found.is_empty() || found == [1], "step {step}: {found:?}"),
            _ => assert!(found[0] == 4, "step {step}: {received}, {found:?}"),
        }
        before += u64::from(received == 1);
        behind += u64::from(received > 3);
        if ended.is_ok() {
            break;
        }
    }
    assert!(before > 0 && behind > 0, "no cut lay at the step");
}

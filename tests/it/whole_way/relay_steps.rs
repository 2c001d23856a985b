//! A relay and a mirror behind it, step by step in one thread: files come, are lost and come late, both hosts
//! lose their power at any step, and each holds an instant of the series whenever it is at rest.

use std::future::Future;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::{MirrorCursor, RelayCursor, Standing, TargetsCursor};
use aim_core::device::BlockDevice;
use aim_core::format::Kind;
use aim_core::fs::Directory;
use aim_core::identity::{MirrorIdentity, VolumeIdentity};
use aim_core::spool::MirrorSpool;
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, ByteOffset, Lsn, MirrorId};
use aim_remote::apply::Steps;
use aim_remote::file_io::FileIo;
use aim_remote::relay::Relay;
use aim_remote::ship::{MaxLag, Retention, Rounds, Target, TargetKind};
use aim_remote::transport::LocalTransport;
use aim_tests::{MemFileSystem, Power, Rng, Series, SeriesFile, VolatileDevice};

const SIZE: u64 = 32 << 10;
const FOLDER: &str = "/mirror";

/// A mirror host: its folder and its disk under one power.
struct Host {
    power: Arc<Power>,
    files: MemFileSystem,
    device: Arc<VolatileDevice>,
    /// What the disk held before anything was applied.
    initial: Vec<u8>,
}

impl Host {
    fn new(seed: u64) -> Self {
        let power = Power::steady();
        Self {
            files: MemFileSystem::new(power.clone()),
            device: VolatileDevice::new(ByteLen(SIZE), 512, power.clone(), seed),
            power,
            initial: vec![0; SIZE as usize],
        }
    }

    fn folder(&self) -> Arc<dyn Directory> {
        self.files.folder(FOLDER)
    }

    fn spool(&self) -> MirrorSpool {
        MirrorSpool::open(self.folder()).unwrap()
    }

    fn devices(&self) -> Vec<Arc<dyn BlockDevice>> {
        vec![self.device.clone()]
    }

    fn cursor(&self) -> Option<MirrorCursor> {
        MirrorCursor::load(&*self.folder()).unwrap()
    }

    fn lose_power(&self, seed: u64) {
        self.power.cut();
        self.device.power_cut();
        self.files.crash(seed);
        self.power.restore();
    }

    fn transport(&self) -> LocalTransport {
        let (files, power) = (self.files.clone(), self.power.clone());
        LocalTransport::in_place(FOLDER, move |folder| {
            power.require_on()?;
            Ok(files.folder(Path::new(FOLDER).join(folder)))
        })
    }

    /// Brings a file as a shipper does.
    fn bring(&self, series: &Series, file: &SeriesFile) -> io::Result<()> {
        let name = file.name.sealed();
        let incoming = self.folder().subdirectory("incoming")?;
        if incoming.list()?.contains(&name) {
            return Ok(());
        }
        let bytes = series.folder().read_small(&name, 1 << 30)?;
        match incoming.remove(&file.name.partial()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let part = incoming.create(&file.name.partial())?;
        part.write_all_at(&[IoSlice::new(&bytes)], 0)?;
        part.sync_data()?;
        incoming.rename(&file.name.partial(), &*incoming, &name)?;
        incoming.sync()
    }
}

/// The program on the relay.
struct Daemon {
    relay: Arc<Relay>,
    retention: Arc<Retention>,
    rounds: Rounds<LocalTransport>,
    steps: Steps,
}

struct World {
    rng: Rng,
    series: Series,
    sealed: Vec<SeriesFile>,
    /// How many of them the source has lost, or given up.
    gone: usize,
    relay: Host,
    third: Host,
    daemon: Daemon,
    applier: Steps,
    /// How often the third took up the series at a baseline, and was left.
    taken_up: u64,
    left: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let identity = VolumeIdentity::generate(ByteLen(SIZE), 512);
        let mut rng = Rng::new(seed);
        let (relay, mut third) = (Host::new(seed), Host::new(!seed));
        MirrorSpool::create(relay.folder(), &identity).unwrap();
        let spool = MirrorSpool::create_follower(third.folder(), &identity).unwrap();
        let pairing = MirrorIdentity {
            id: MirrorId::generate(),
            volume: identity.id,
            devices: vec![Default::default()],
        };
        spool.pair(&pairing).unwrap();
        rng.fill(&mut third.initial);
        third.device.write(ByteOffset(0), &third.initial).unwrap();
        third.device.sync().unwrap();
        Self {
            daemon: start(&relay, &third),
            applier: Steps::new(spool, third.devices(), Duration::ZERO).unwrap(),
            series: Series::new(identity, seed),
            sealed: Vec::new(),
            gone: 0,
            relay,
            third,
            rng,
            taken_up: 0,
            left: 0,
        }
    }

    fn act(&mut self) {
        match self.rng.below(16) {
            0..=2 => self.seal(),
            3..=5 => self.bring(3).unwrap(),
            6 => self.make_what_is_wanted(),
            7 if self.rng.chance(4) => self.lose(),
            8 => self.leave_who_is_late(),
            9 | 10 => self.work_on_relay().unwrap(),
            11 | 12 => self.ship().unwrap(),
            13 => self.work_on_third().unwrap(),
            14 => {
                let step = self.relay.power.steps() + 1 + self.rng.below(60);
                self.relay.power.cut_at(step);
                let _ = self.bring(2).and_then(|()| self.work_on_relay());
                let _ = self.ship();
                self.relay.lose_power(self.rng.next_u64());
                self.daemon = start(&self.relay, &self.third);
            }
            _ => {
                let step = self.third.power.steps() + 1 + self.rng.below(60);
                self.third.power.cut_at(step);
                let _ = self.ship().and_then(|()| self.work_on_third());
                self.third.lose_power(self.rng.next_u64());
                let spool = self.third.spool();
                self.applier = Steps::new(spool, self.third.devices(), Duration::ZERO).unwrap();
            }
        }
        self.assert_at_rest(&self.relay, "relay");
        self.assert_at_rest(&self.third, "third");
    }

    fn seal(&mut self) {
        let file = match self.rng.chance(4) {
            true => self.series.next_file_in_group(5),
            false => self.series.next_file(5),
        };
        self.sealed.push(file);
    }

    fn baseline(&mut self) {
        if self.series.position().is_in_group() {
            let file = self.series.next_file(2);
            self.sealed.push(file);
        }
        let begin = self.series.position().lsn.next();
        let half = SIZE / 2;
        let first = [(Kind::BaselineBegin, 0, 0), (Kind::Write, 0, half)];
        let last = [
            (Kind::Write, half, half),
            (Kind::BaselineEnd { begin }, 0, 0),
        ];
        self.sealed.push(self.series.next_file_of(&first));
        self.seal();
        if self.series.position().is_in_group() {
            let file = self.series.next_file(2);
            self.sealed.push(file);
        }
        self.sealed.push(self.series.next_file_of(&last));
    }

    /// The source reads what is wanted, and makes it.
    fn make_what_is_wanted(&mut self) {
        let wanted = RelayCursor::load(&*self.relay.folder()).unwrap();
        let end = self.series.position().lsn;
        if wanted.is_some_and(|cursor| cursor.wanted > Lsn(0) && cursor.wanted <= end.next()) {
            self.baseline();
        }
    }

    /// The source leaves the relay: what it lacks is gone, and a baseline follows.
    fn lose(&mut self) {
        if self.series.position().is_in_group() {
            self.seal();
        }
        self.gone = self.sealed.len();
        self.baseline();
    }

    /// The source's part: what the relay lacks is brought in order, if it is still there; now and then
    /// something comes that was given up.
    fn bring(&mut self, count: usize) -> Result<(), String> {
        let received = self
            .relay
            .cursor()
            .map_or(0, |cursor| cursor.received.file.get());
        let from = (received as usize).max(self.gone);
        for file in self.sealed.iter().skip(from).take(count) {
            let brought = self.relay.bring(&self.series, file);
            brought.map_err(|error| error.to_string())?;
        }
        if self.rng.chance(3) && (received as usize) > self.gone && self.gone > 0 {
            let late = &self.sealed[self.rng.below(self.gone as u64) as usize];
            let brought = self.relay.bring(&self.series, late);
            brought.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn work_on_relay(&mut self) -> Result<(), String> {
        work(&mut self.daemon.steps)
    }

    fn work_on_third(&mut self) -> Result<(), String> {
        self.applier.receive().map_err(|error| error.to_string())?;
        let waits = self.third.cursor().is_some_and(|it| it.base.get() > 0);
        self.taken_up += u64::from(waits);
        work(&mut self.applier)
    }

    fn ship(&mut self) -> Result<(), String> {
        let io = FileIo::in_place();
        let ended = now(self.daemon.rounds.round(&io, Duration::MAX));
        ended.map(drop).map_err(|error| error.to_string())
    }

    fn leave_who_is_late(&mut self) {
        let retention = &self.daemon.retention;
        retention.check(SystemClock.now(), None).unwrap();
        let standing = retention.status(0).standing;
        self.left += u64::from(standing == Standing::Left);
    }

    fn assert_at_rest(&self, host: &Host, name: &str) {
        let cursor = host.cursor();
        let cursor = cursor.unwrap_or_else(|| MirrorCursor::new(self.series.identity().id));
        if !cursor.is_settled() {
            return;
        }
        let then = match cursor.applied.file.get() {
            0 => &host.initial,
            number => &self.sealed[number as usize - 1].devices[0],
        };
        let content = host.device.durable_content();
        assert!(content == *then, "{name} at {}", cursor.applied);
    }

    fn finish(&mut self) {
        self.seal();
        if self.series.position().is_in_group() {
            let file = self.series.next_file(2);
            self.sealed.push(file);
        }
        for _ in 0..100 {
            self.leave_who_is_late();
            self.make_what_is_wanted();
            self.bring(usize::MAX).unwrap();
            self.work_on_relay().unwrap();
            self.ship().unwrap();
            self.work_on_third().unwrap();
            self.ship().unwrap();
            let end = self.sealed.last().unwrap().position;
            let applied = [&self.relay, &self.third].map(|host| host.cursor().unwrap().applied);
            let follows = self.daemon.retention.status(0).standing == Standing::Follows;
            if applied == [end, end] && follows && self.daemon.relay.wanted() == Lsn(0) {
                self.assert_at_rest(&self.relay, "relay");
                self.assert_at_rest(&self.third, "third");
                assert!(self.applier.status().differences.is_empty());
                return;
            }
        }
        let cursors = [&self.relay, &self.third].map(Host::cursor);
        let noted = TargetsCursor::load(&*self.relay.folder());
        let relay = RelayCursor::load(&*self.relay.folder());
        panic!("it does not come to its end: {cursors:#?} {noted:#?} {relay:?}");
    }
}

fn start(relay: &Host, third: &Host) -> Daemon {
    let target = Target {
        name: "third".to_owned(),
        kind: TargetKind::Mirror,
        max_lag: MaxLag {
            bytes: Some(3 * SIZE),
            age: None,
        },
    };
    let passed_on = Relay::open(relay.spool()).unwrap();
    let retention = Retention::relay(&passed_on, vec![target]).unwrap();
    Daemon {
        rounds: Rounds::to_target(retention.clone(), 0, third.transport()),
        steps: Steps::relaying(&passed_on, relay.devices(), Duration::ZERO).unwrap(),
        retention,
        relay: passed_on,
    }
}

fn work(steps: &mut Steps) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    steps.receive().map_err(|error| text(&error))?;
    while steps.apply().map_err(|error| text(&error))? {
        steps.receive().map_err(|error| text(&error))?;
    }
    Ok(())
}

/// What is done in place needs no runtime: it only ever waits for itself.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    let mut work = pin!(work);
    for _ in 0..100_000 {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it waits for something else");
}

#[test]
fn whatever_happens_both_hold_an_instant_of_the_series() {
    let (mut taken_up, mut left) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.act();
        }
        world.finish();
        taken_up += world.taken_up;
        left += world.left;
    }
    assert!(taken_up > 60 && left > 10, "{taken_up} {left}");
}

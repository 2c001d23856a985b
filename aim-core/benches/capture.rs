//! The capture path alone, native: requests in, payloads and records in journal files, beside a
//! plain copy in memory and a plain `write(2)` of the same bytes.
//!
//! ```text
//! cargo bench -p aim-core --bench capture -- [--folder DIR] [--bytes BYTES] [--rounds ROUNDS] [--json]
//! ```
//!
//! Every way has its turn in each round; ratios are taken within a round. `capture` ends when all is
//! in sealed, synced files, and so does `write, synced`: that one syncs wherever a file would be
//! sealed. `memcpy` copies into one piece of memory of the size that staging memory has. Where
//! the folder is on a disk its speed is measured as well, so without `--folder` it is in memory.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use aim_core::capture::{Capture, CaptureConfig, ExtentMap, Initial, StagingConfig};
use aim_core::clock::SystemClock;
use aim_core::device::MemDevice;
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::intercept::{Admission, Interceptor, Landing, Outcome};
use aim_core::request::Request;
use aim_core::spool::SourceSpool;
use aim_core::units::{ByteLen, ByteOffset};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Sizes of the writes, with the least ratio to `write` that is wanted.
const SIZES: [(usize, f64); 2] = [(4 << 10, 0.7), (128 << 10, 0.85)];
/// Of the volume. Its disk is not written to.
const VOLUME_BYTES: u64 = 64 << 20;
/// Requests that a front end could have in flight.
const LANDINGS: usize = 128;
const REQUEST_BYTES_MAX: usize = 128 << 10;

/// A way to bring the payloads somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Memcpy,
    Write,
    WriteSynced,
    Capture,
}

impl Way {
    const ALL: [Self; 4] = [Self::Memcpy, Self::Write, Self::WriteSynced, Self::Capture];

    fn name(self) -> &'static str {
        match self {
            Self::Memcpy => "memcpy",
            Self::Write => "write",
            Self::WriteSynced => "write, synced",
            Self::Capture => "capture",
        }
    }
}

struct Options {
    folder: PathBuf,
    bytes: usize,
    rounds: usize,
    json: bool,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            folder: PathBuf::from("/dev/shm"),
            bytes: 512 << 20,
            rounds: 7,
            json: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                // what cargo adds
                "--bench" => {}
                "--json" => options.json = true,
                "--folder" => options.folder = value()?.into(),
                "--bytes" => options.bytes = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                _ => return Err(format!("{argument} is no option").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    let mut worst = f64::MAX;
    for (size, goal) in SIZES {
        let ratio = measure(&options, size, goal)?;
        worst = worst.min(ratio / goal);
    }
    if !options.json {
        println!("capture_ratio_to_goal {worst:.2}");
    }
    Ok(())
}

/// Gives the median ratio of a capture to `write`.
fn measure(options: &Options, size: usize, goal: f64) -> Result<f64> {
    // the payloads take turns, so that they are neither one cache line nor all of memory
    let payloads: Vec<u8> = (0..8 << 20).map(|at: u32| ((at * 31) >> 3) as u8).collect();
    let load = Load {
        payloads: &payloads,
        size,
        count: options.bytes / size,
    };
    let mut times: Vec<[Duration; Way::ALL.len()]> = Vec::new();
    for round in 0..options.rounds + 1 {
        let mut took = [Duration::ZERO; Way::ALL.len()];
        for step in 0..Way::ALL.len() {
            // each comes behind each other one
            let index = (round + step) % Way::ALL.len();
            let folder = tempfile::tempdir_in(&options.folder)?;
            took[index] = load.bring(Way::ALL[index], folder.path())?;
        }
        // the first one finds cold caches
        if round > 0 {
            times.push(took);
        }
    }
    let ratio = |index: usize, to: usize| {
        median(
            times
                .iter()
                .map(|took| took[to].as_secs_f64() / took[index].as_secs_f64()),
        )
    };
    let of = |way| Way::ALL.iter().position(|&other| other == way).unwrap_or(0);
    let to_write = ratio(of(Way::Capture), of(Way::Write));
    for (index, way) in Way::ALL.iter().enumerate() {
        let each = median(times.iter().map(|took| took[index].as_secs_f64())) / load.count as f64;
        let (nanoseconds, speed) = (each * 1e9, size as f64 / each / 1e6);
        let (write, synced) = (
            ratio(index, of(Way::Write)),
            ratio(index, of(Way::WriteSynced)),
        );
        if options.json {
            println!(
                "{{\"bytes\": {size}, \"way\": \"{}\", \"nanoseconds\": {nanoseconds:.0}, \
                 \"megabytes_per_second\": {speed:.0}, \"ratio_to_write\": {write:.3}, \
                 \"ratio_to_write_synced\": {synced:.3}}}",
                way.name()
            );
        } else {
            println!(
                "{:>4} KiB  {:<14} {nanoseconds:>9.0} ns {speed:>8.0} MB/s   to write {write:.2}   \
                 to write, synced {synced:.2}",
                size >> 10,
                way.name()
            );
        }
    }
    if !options.json {
        let is_met = if to_write >= goal { "met" } else { "missed" };
        println!(
            "{:>4} KiB  capture to write, at least {goal}: {to_write:.2}, {is_met}",
            size >> 10
        );
    }
    Ok(to_write)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Payloads to be brought.
struct Load<'a> {
    payloads: &'a [u8],
    size: usize,
    count: usize,
}

impl Load<'_> {
    fn payload(&self, number: usize) -> &[u8] {
        let start = number * self.size % self.payloads.len();
        &self.payloads[start..start + self.size]
    }

    fn bring(&self, way: Way, folder: &Path) -> Result<Duration> {
        match way {
            Way::Memcpy => self.copy(),
            Way::Write => self.write(folder, usize::MAX),
            Way::WriteSynced => self.write(folder, 16 << 20),
            Way::Capture => self.capture(folder),
        }
    }

    fn copy(&self) -> Result<Duration> {
        let mut memory = vec![1; staging().total_bytes() / self.size * self.size];
        let began = Instant::now();
        for number in 0..self.count {
            let at = number * self.size % memory.len();
            memory[at..at + self.size].copy_from_slice(self.payload(number));
            black_box(&mut memory);
        }
        Ok(began.elapsed())
    }

    fn write(&self, folder: &Path, sync_every: usize) -> Result<Duration> {
        let file = File::create(folder.join("written"))?;
        let began = Instant::now();
        let mut unsynced = 0;
        for number in 0..self.count {
            file.write_all_at(self.payload(number), (number * self.size) as u64)?;
            unsynced += self.size;
            if unsynced >= sync_every {
                file.sync_data()?;
                unsynced = 0;
            }
        }
        if sync_every != usize::MAX {
            file.sync_data()?;
        }
        Ok(began.elapsed())
    }

    fn capture(&self, folder: &Path) -> Result<Duration> {
        let identity = VolumeIdentity::generate(ByteLen(VOLUME_BYTES), 512);
        let journal = HostDirectory::open_or_create(folder.join("journal"))?;
        ExtentMap::create(&*journal, &identity, Initial::Identical, None)?;
        let spool = SourceSpool::create(journal, &identity)?;
        let disk = Arc::new(MemDevice::new(ByteLen(VOLUME_BYTES), 512));
        let config = CaptureConfig::new(staging());
        let capture = Capture::start(&config, spool, vec![disk], SystemClock)?;
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let began = Instant::now();
        let mut landing = None;
        for number in 0..self.count {
            let payload = self.payload(number);
            let mut place = wait(|| landing_of(&capture, &mut landing, &waker));
            place.as_mut_slice()[..self.size].copy_from_slice(payload);
            let offset = (number * self.size) as u64 % VOLUME_BYTES;
            let request = Request::write(ByteOffset(offset), ByteLen(self.size as u64));
            let admitted = wait(|| capture.admit(&request, Some(&mut place), &waker).ok());
            if let Admission::Captured(ticket) = admitted {
                capture.complete(ticket, Outcome::Done);
            }
            landing = Some(place);
        }
        capture.stop()?;
        Ok(began.elapsed())
    }
}

fn staging() -> StagingConfig {
    StagingConfig::anonymous(LANDINGS, REQUEST_BYTES_MAX)
}

fn landing_of(capture: &Capture, previous: &mut Option<Landing>, waker: &Waker) -> Option<Landing> {
    match capture.landing(previous.take(), REQUEST_BYTES_MAX, waker) {
        Ok(landing) => Some(landing),
        Err(wait) => {
            *previous = wait.0;
            None
        }
    }
}

/// Asks again whenever the waker was woken.
fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

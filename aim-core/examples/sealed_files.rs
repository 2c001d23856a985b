//! Fills a journal folder with sealed files, as a capture would leave them: something to ship, to
//! apply and to measure.
//!
//! ```text
//! sealed_files JOURNAL BYTES random|text [FILE_BYTES]
//! ```
//!
//! `BYTES` are those of the payloads in all. The same arguments give the same records.

mod xorshift;

use std::error::Error;
use std::path::Path;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{OpenFile, OpenSpec, Record};
use aim_core::spool::SourceSpool;
use aim_core::units::{ByteLen, ByteOffset, Lsn, Timestamp};

use crate::xorshift::Rng;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of the volume.
const VOLUME_BYTES: u64 = 1 << 40;
/// Bytes of a record with its payload, about, in the middle.
const RECORD_BYTES: u64 = 20 << 10;
/// When the first transaction was captured, in microseconds.
const BEGIN: u64 = 1_800_000_000_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (journal, bytes, content, file_bytes) = match arguments[..] {
        [journal, bytes, content] => (journal, bytes, content, "16777216"),
        [journal, bytes, content, file_bytes] => (journal, bytes, content, file_bytes),
        _ => return Err("say JOURNAL BYTES random|text [FILE_BYTES]".into()),
    };
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let mut load = Load {
        source: Source::new(content, &mut rng)?,
        rng,
        payload: Vec::new(),
        place: Position::START,
        time: BEGIN,
    };
    load.seal(Path::new(journal), bytes.parse()?, file_bytes.parse()?)?;
    println!("{} files, up to LSN {}", load.place.file, load.place.lsn);
    Ok(())
}

/// What is written to the volume.
struct Load {
    source: Source,
    rng: Rng,
    payload: Vec<u8>,
    /// Behind the last sealed file.
    place: Position,
    time: u64,
}

impl Load {
    fn seal(&mut self, journal: &Path, bytes: u64, file_bytes: u64) -> Result<()> {
        let identity = VolumeIdentity::generate(ByteLen(VOLUME_BYTES), 512);
        let spool = SourceSpool::create(HostDirectory::open_or_create(journal)?, &identity)?;
        let mut written = 0;
        while written < bytes {
            let spec = OpenSpec {
                volume: identity.clone(),
                after: self.place,
                iocb_capacity: u32::try_from(file_bytes / RECORD_BYTES)?.max(64),
                target_size: ByteLen(file_bytes),
                created: Timestamp(self.time),
                floor: Timestamp(self.time),
            };
            let mut file = OpenFile::create(&**spool.open_folder(), &spec)?;
            while written < bytes && file.count() < file.capacity() {
                let record = self.next_record(file.last_lsn());
                if !file.has_room(ByteLen(record.payload.len() as u64)) {
                    break;
                }
                written += record.payload.len() as u64;
                file.append(&[record])?;
            }
            let sealed = file.seal(Timestamp(self.time))?;
            spool.set_sealed(sealed.position)?;
            sealed.publish(&**spool.open_folder(), &**spool.outgoing_folder())?;
            self.place = sealed.position;
        }
        Ok(())
    }

    /// Mostly writes, most of them small; now and then a flush, zeroes or a discard.
    fn next_record(&mut self, after: Lsn) -> Record<'_> {
        let rng = &mut self.rng;
        self.time += rng.below(200);
        let (kind, len) = match rng.below(100) {
            0..58 => (Kind::Write, 4 << 10),
            58..78 => (Kind::Write, 16 << 10),
            78..88 => (Kind::Write, 64 << 10),
            88..97 => (Kind::Write, 128 << 10),
            97 => (Kind::WriteZeroes { unmap: true }, 1 << 20),
            98 => (Kind::Discard, 1 << 20),
            _ => (Kind::Flush, 0),
        };
        let place = rng.below((VOLUME_BYTES - (1 << 20)) / 4096) * 4096;
        let stored = if kind == Kind::Write { len } else { 0 };
        self.source.fill(&mut self.payload, stored, rng);
        Record {
            lsn: after.next(),
            device: 0,
            kind,
            fua: false,
            offset: ByteOffset(if len == 0 { 0 } else { place }),
            len: ByteLen(len as u64),
            payload: &self.payload,
            time: Timestamp(self.time),
        }
    }
}

/// Where payloads come from.
enum Source {
    /// Nothing that could be packed.
    Noise,
    /// Lines of a log: times, numbers, and words of which few are frequent.
    Log { words: Vec<String>, micros: u64 },
}

impl Source {
    fn new(content: &str, rng: &mut Rng) -> Result<Self> {
        match content {
            "random" => Ok(Self::Noise),
            "text" => Ok(Self::Log {
                words: (0..4096).map(|_| word(rng)).collect(),
                micros: 0,
            }),
            _ => Err(format!("`{content}` is neither `random` nor `text`").into()),
        }
    }

    /// Replaces what is in `payload` by the next `len` bytes.
    fn fill(&mut self, payload: &mut Vec<u8>, len: usize, rng: &mut Rng) {
        payload.clear();
        while payload.len() < len {
            match self {
                Self::Noise => payload.extend(rng.next().to_le_bytes()),
                Self::Log { words, micros } => {
                    *micros += rng.below(5_000_000);
                    payload.extend(log_line(*micros, words, rng).as_bytes());
                }
            }
        }
        payload.truncate(len);
    }
}

fn log_line(micros: u64, words: &[String], rng: &mut Rng) -> String {
    let seconds = micros / 1_000_000;
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let mut line = format!(
        "2026-11-25T{hour:02}:{minute:02}:{:02}.{:06}Z {}[{}]:",
        seconds % 60,
        micros % 1_000_000,
        words[rng.below(24) as usize],
        1000 + rng.below(60)
    );
    for _ in 0..4 + rng.below(12) {
        let rank = rng.below(4096) * rng.below(4096) / 4096;
        line.push(' ');
        line.push_str(&words[rank as usize]);
    }
    line.push_str(&format!(" id={:x}\n", rng.below(1 << 32)));
    line
}

fn word(rng: &mut Rng) -> String {
    const SYLLABLES: [&str; 16] = [
        "an", "be", "co", "der", "en", "fi", "go", "in", "ka", "lo", "mer", "no", "ra", "sti",
        "ter", "us",
    ];
    let syllables = 1 + rng.below(4);
    (0..syllables)
        .map(|_| SYLLABLES[rng.below(16) as usize])
        .collect()
}

//! Fills a journal folder with sealed files of equal writes, and tells fio to do the same writes:
//! something to apply and to measure.
//!
//! ```text
//! sealed_writes JOURNAL IOLOG BYTES WRITE_BYTES random|sequential VOLUME_BYTES [FILE_BYTES]
//! ```
//!
//! `BYTES` are those of the payloads in all. `random` are places of the volume at random, each as
//! likely as any other whether it was written before or not; `sequential` go once over it after the
//! other. `IOLOG` becomes a file for `fio --read_iolog`. The same arguments give the same writes.

mod xorshift;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{OpenFile, OpenSpec, Record};
use aim_core::spool::SourceSpool;
use aim_core::units::{ByteLen, ByteOffset, Timestamp};

use crate::xorshift::Rng;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// When the first transaction was captured, in microseconds.
const BEGIN: u64 = 1_800_000_000_000_000;
/// Bytes of a sealed file if nothing else is said: what `seal_bytes` is by default.
const FILE_BYTES: u64 = 16 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [
        journal,
        iolog,
        bytes,
        write_bytes,
        order,
        volume,
        ref rest @ ..,
    ] = arguments[..]
    else {
        return Err(
            "say JOURNAL IOLOG BYTES WRITE_BYTES random|sequential VOLUME_BYTES [FILE_BYTES]"
                .into(),
        );
    };
    let load = Load {
        bytes: bytes.parse()?,
        write_bytes: write_bytes.parse()?,
        is_random: match order {
            "random" => true,
            "sequential" => false,
            _ => return Err(format!("`{order}` is neither `random` nor `sequential`").into()),
        },
        volume_bytes: volume.parse()?,
        file_bytes: rest.first().map_or(Ok(FILE_BYTES), |text| text.parse())?,
    };
    let mut iolog = BufWriter::new(File::create(iolog)?);
    let end = load.seal(Path::new(journal), &mut iolog)?;
    iolog.flush()?;
    println!("{} files, up to LSN {}", end.file, end.lsn);
    Ok(())
}

/// What is written.
struct Load {
    bytes: u64,
    write_bytes: u64,
    is_random: bool,
    volume_bytes: u64,
    file_bytes: u64,
}

impl Load {
    /// Writes all files; gives the place behind the last.
    fn seal(&self, journal: &Path, iolog: &mut impl Write) -> Result<Position> {
        let identity = VolumeIdentity::generate(ByteLen(self.volume_bytes), 512);
        let spool = SourceSpool::create(HostDirectory::open_or_create(journal)?, &identity)?;
        let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
        let mut payload = vec![0; usize::try_from(self.write_bytes)?];
        let (mut place, mut count) = (Position::START, 0);
        writeln!(iolog, "fio version 2 iolog\nmirror add\nmirror open")?;
        while count * self.write_bytes < self.bytes {
            let spec = OpenSpec {
                volume: identity.clone(),
                after: place,
                iocb_capacity: u32::try_from(self.file_bytes / self.write_bytes)?.max(64),
                target_size: ByteLen(self.file_bytes),
                created: Timestamp(BEGIN),
                floor: Timestamp(BEGIN),
            };
            let mut file = OpenFile::create(&**spool.open_folder(), &spec)?;
            while count * self.write_bytes < self.bytes
                && file.count() < file.capacity()
                && file.has_room(ByteLen(self.write_bytes))
            {
                let offset = self.place(count, &mut rng);
                writeln!(iolog, "mirror write {offset} {}", self.write_bytes)?;
                let (words, _) = payload.as_chunks_mut::<8>();
                words
                    .iter_mut()
                    .for_each(|word| *word = rng.next().to_le_bytes());
                file.append(&[Record {
                    lsn: file.last_lsn().next(),
                    device: 0,
                    kind: Kind::Write,
                    fua: false,
                    offset: ByteOffset(offset),
                    len: ByteLen(self.write_bytes),
                    payload: &payload,
                    time: Timestamp(BEGIN),
                }])?;
                count += 1;
            }
            let sealed = file.seal(Timestamp(BEGIN))?;
            spool.set_sealed(sealed.position)?;
            sealed.publish(&**spool.open_folder(), &**spool.outgoing_folder())?;
            place = sealed.position;
        }
        // `--end_fsync` does nothing for such a log
        writeln!(iolog, "mirror sync 0 0")?;
        Ok(place)
    }

    /// Where the write goes that `count` are before.
    fn place(&self, count: u64, rng: &mut Rng) -> u64 {
        let places = self.volume_bytes / self.write_bytes;
        let index = match self.is_random {
            true => rng.below(places),
            false => count % places,
        };
        index * self.write_bytes
    }
}

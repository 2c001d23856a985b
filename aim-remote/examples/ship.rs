//! Ships what waits in a journal folder, once and without a daemon: to measure a line.
//!
//! ```text
//! ship seal JOURNAL BYTES random|text [FILE_BYTES]
//!     fills an empty folder with sealed files of BYTES in all
//! ship put JOURNAL TARGET [key=FILE known_hosts=FILE]
//!          [channels=N] [files=N] [compression=off|LEVEL] [bandwidth=BYTES]
//!     puts them into TARGET/incoming, TARGET being ssh://user@host:port/path or a path
//! ```
//!
//! The last line of `put` is JSON. Files stay where they are: nobody receives them.

use std::error::Error;
use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Instant;

use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{OpenFile, OpenSpec, Record};
use aim_core::packed::Level;
use aim_core::spool::SourceSpool;
use aim_core::units::{ByteLen, ByteOffset, Timestamp};
use aim_remote::file_io;
use aim_remote::ship::{LineOptions, Rounds, ShipStatus};
use aim_remote::ssh::{Credential, Login, SshTarget, Timeouts, Way};
use aim_remote::transport::{Bandwidth, LocalTransport, SftpTransport, Transport};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of a write.
const WRITE_BYTES: usize = 128 << 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["seal", journal, bytes, content] => seal(journal, bytes, content, "16777216"),
        ["seal", journal, bytes, content, file] => seal(journal, bytes, content, file),
        ["put", journal, target, ref options @ ..] => put(journal, target, options),
        _ => Err("see the head of this example for what to say".into()),
    }
}

/// Makes a journal folder whose `outgoing/` has files with `bytes` of payload in all.
fn seal(journal: &str, bytes: &str, content: &str, file_bytes: &str) -> Result<()> {
    let (bytes, file_bytes): (u64, u64) = (bytes.parse()?, file_bytes.parse()?);
    let identity = VolumeIdentity::generate(ByteLen(1 << 40), 512);
    let spool = SourceSpool::create(HostDirectory::open_or_create(journal)?, &identity)?;
    let mut payload = Payload::new(content)?;
    let mut after = Position::START;
    let mut written = 0;
    while written < bytes {
        let writes = file_bytes.min(bytes - written).div_ceil(WRITE_BYTES as u64);
        let spec = OpenSpec {
            volume: identity.clone(),
            after,
            iocb_capacity: u32::try_from(writes)?.next_multiple_of(64),
            // header and IOCBs come on top of it
            target_size: ByteLen(u64::MAX),
            created: SystemClock.now(),
            floor: Timestamp(0),
        };
        let mut file = OpenFile::create(&**spool.open_folder(), &spec)?;
        let mut lsn = after.lsn;
        for _ in 0..writes {
            lsn = lsn.next();
            file.append(&[Record {
                lsn,
                device: 0,
                kind: Kind::Write,
                fua: false,
                offset: ByteOffset(written),
                len: ByteLen(WRITE_BYTES as u64),
                payload: payload.next(),
                time: SystemClock.now(),
            }])?;
            written += WRITE_BYTES as u64;
        }
        let sealed = file.seal(SystemClock.now())?;
        spool.set_sealed(sealed.position)?;
        sealed.publish(&**spool.open_folder(), &**spool.outgoing_folder())?;
        after = sealed.position;
    }
    println!("{} files with {written} bytes", after.file);
    Ok(())
}

/// Content that can't be packed, or as well as text can.
struct Payload {
    is_text: bool,
    state: u64,
    buffer: Vec<u8>,
}

impl Payload {
    fn new(content: &str) -> Result<Self> {
        Ok(Self {
            is_text: match content {
                "text" => true,
                "random" => false,
                _ => return Err(format!("`{content}` is neither `random` nor `text`").into()),
            },
            state: 0x9e37_79b9_7f4a_7c15,
            buffer: Vec::new(),
        })
    }

    fn next(&mut self) -> &[u8] {
        self.buffer.clear();
        while self.buffer.len() < WRITE_BYTES {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            match self.is_text {
                false => self.buffer.extend(self.state.to_le_bytes()),
                true => {
                    let word = WORDS[(self.state >> 32) as usize % WORDS.len()];
                    self.buffer.extend(word.as_bytes());
                    let number = self.state % 1000;
                    self.buffer.extend(format!(" {number:03} ").as_bytes());
                }
            }
        }
        self.buffer.truncate(WRITE_BYTES);
        &self.buffer
    }
}

const WORDS: &[&str] = &[
    "journal",
    "mirror",
    "the",
    "of",
    "sealed",
    "received",
    "applied",
    "transaction",
    "disk",
    "order",
    "durable",
    "a",
    "in",
    "group",
    "extent",
    "source",
];

fn put(journal: &str, target: &str, options: &[&str]) -> Result<()> {
    let mut line = LineOptions::default();
    let mut channels = SftpTransport::CHANNELS;
    let (mut key, mut known_hosts) = (None, None);
    for option in options {
        match option.split_once('=') {
            Some(("key", path)) => key = Some(PathBuf::from(path)),
            Some(("known_hosts", path)) => known_hosts = Some(PathBuf::from(path)),
            Some(("channels", count)) => {
                channels = count.parse()?;
                line.files = LineOptions::over_channels(channels).files;
            }
            Some(("files", count)) => line.files = count.parse()?,
            Some(("compression", "off")) => line.compression = None,
            Some(("compression", level)) => {
                let level = Level::new(level.parse()?).ok_or("there is no such level")?;
                line.compression = Some(level);
            }
            Some(("bandwidth", rate)) => {
                line.bandwidth = Bandwidth::always(rate.parse::<NonZeroU64>()?);
            }
            _ => return Err(format!("`{option}` is no option").into()),
        }
    }
    let spool = SourceSpool::open(HostDirectory::open(journal)?)?;
    let started = Instant::now();
    let status = match target.strip_prefix("ssh://") {
        None => carry(spool, LocalTransport::new(target), line)?,
        Some(rest) => {
            let account = account(rest, key, known_hosts)?;
            let (_, path) = rest.split_once('/').ok_or("no path in the target")?;
            let to = SftpTransport::new(account, format!("/{path}"));
            carry(spool, to.with_channels(channels), line)?
        }
    };
    println!(
        "{{\"files\": {}, \"bytes\": {}, \"sent_bytes\": {}, \"seconds\": {:.3}}}",
        status.shipped.file,
        status.delivered_bytes,
        status.sent_bytes,
        started.elapsed().as_secs_f64(),
    );
    Ok(())
}

fn carry<T: Transport>(spool: SourceSpool, to: T, line: LineOptions) -> Result<ShipStatus> {
    let mut rounds = Rounds::new(spool, to).over(line);
    let ended = file_io::run(|io| async move { rounds.put_all(&io).await })?;
    Ok(ended?)
}

/// `user@host:port/path`
fn account(rest: &str, key: Option<PathBuf>, known_hosts: Option<PathBuf>) -> Result<SshTarget> {
    let (authority, _) = rest.split_once('/').ok_or("no path in the target")?;
    let (user, place) = authority.split_once('@').ok_or("no user in the target")?;
    let (host, port) = place.rsplit_once(':').unwrap_or((place, "22"));
    let missing = || std::io::Error::new(ErrorKind::InvalidInput, "key= and known_hosts=");
    Ok(SshTarget {
        host: host.to_owned(),
        port: Some(port.parse()?),
        user: user.to_owned(),
        way: Way::BuiltIn(Login {
            known_hosts: vec![known_hosts.ok_or_else(missing)?],
            credentials: vec![Credential::KeyFile {
                path: key.ok_or_else(missing)?,
                passphrase: None,
            }],
        }),
        timeouts: Timeouts::default(),
    })
}

//! Ships what waits in a journal folder, once and without a daemon: to measure a line.
//!
//! ```text
//! ship put JOURNAL TARGET [key=FILE known_hosts=FILE]
//!          [channels=N] [files=N] [compression=off|LEVEL] [bandwidth=BYTES]
//!     puts them into TARGET/incoming, TARGET being ssh://user@host:port/path or a path
//! ```
//!
//! The last line is JSON. Files stay where they are: nobody receives them. The example `sealed_files`
//! of aim-core fills such a folder.

use std::error::Error;
use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Instant;

use aim_core::fs::HostDirectory;
use aim_core::packed::Level;
use aim_core::spool::SourceSpool;
use aim_remote::file_io;
use aim_remote::ship::{LineOptions, Rounds, ShipStatus};
use aim_remote::ssh::{Credential, Login, SshTarget, Timeouts, Way};
use aim_remote::transport::{Bandwidth, LocalTransport, SftpTransport, Transport};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["put", journal, target, ref options @ ..] => put(journal, target, options),
        _ => Err("see the head of this example for what to say".into()),
    }
}

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

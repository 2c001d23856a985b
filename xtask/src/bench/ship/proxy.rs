//! A long or a narrow line, in user space: what comes in at one port goes on to another when its time
//! has come.
//!
//! TCP ends at both of its sides, so it is the windows of SSH that show on it, and not TCP's.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::acceptor::Acceptor;

/// Bytes that are read at once, and pieces that may be on the line.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4096;
/// How long what waits for a narrow line may be; then nothing more is taken.
const QUEUE: Duration = Duration::from_millis(20);

/// What a line does to what it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    /// From one end to the other and back.
    pub(super) round_trip: Duration,
    /// Bytes a second in each direction.
    pub(super) bandwidth: Option<u32>,
}

/// A line to a port of this host.
#[derive(Debug)]
pub(super) struct Proxy(Acceptor);

impl Proxy {
    /// A line that ends at `port`.
    pub(super) fn start(port: u16, quality: Quality) -> io::Result<Self> {
        let serve = move |near: TcpStream| {
            let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            carry(near.try_clone()?, far.try_clone()?, quality)?;
            carry(far, near, quality)
        };
        Acceptor::start(serve).map(Self)
    }

    /// Where it begins.
    pub(super) fn port(&self) -> u16 {
        self.0.port()
    }
}

/// Starts one direction.
fn carry(from: TcpStream, to: TcpStream, quality: Quality) -> io::Result<()> {
    let (line, arriving) = sync_channel(PIECES);
    let spawn = || thread::Builder::new().name("line".to_owned());
    spawn().spawn(move || send(from, &line, quality))?;
    spawn().spawn(move || arrive(to, &arriving)).map(drop)
}

/// Reads until the end, or until the other side is gone.
fn send(mut from: TcpStream, line: &SyncSender<(Instant, Vec<u8>)>, quality: Quality) {
    let mut narrows = Narrows::new(quality, Instant::now());
    let mut piece = vec![0; PIECE];
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let now = Instant::now();
        let due = narrows.due(now, count);
        if line.send((due, piece[..count].to_vec())).is_err() {
            return;
        }
        thread::sleep(narrows.is_free.saturating_duration_since(now + QUEUE));
    }
}

/// The narrow part of a line, which carries one piece after the other.
#[derive(Debug)]
struct Narrows {
    quality: Quality,
    /// When it has carried all that was given to it.
    is_free: Instant,
}

impl Narrows {
    fn new(quality: Quality, now: Instant) -> Self {
        Self {
            quality,
            is_free: now,
        }
    }

    /// When so many bytes, which come to it now, are at the other end.
    fn due(&mut self, now: Instant, bytes: usize) -> Instant {
        let takes = |rate| Duration::from_secs_f64(bytes as f64 / f64::from(rate));
        let takes = self.quality.bandwidth.map(takes).unwrap_or_default();
        self.is_free = self.is_free.max(now) + takes;
        self.is_free + self.quality.round_trip / 2
    }
}

fn arrive(mut to: TcpStream, arriving: &Receiver<(Instant, Vec<u8>)>) {
    for (due, piece) in arriving {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    // the other direction may go on
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_when_those_before_them_are_through_and_the_way_is_behind_them() {
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let quality = Quality {
            round_trip: Duration::from_millis(50),
            bandwidth: Some(1_000_000),
        };
        let mut narrows = Narrows::new(quality, begin);
        assert_eq!(narrows.due(after(10), 1000), after(36));
        assert_eq!(narrows.due(after(10), 4000), after(40));
        assert_eq!(narrows.due(after(90), 1000), after(116));
        let wide = Quality {
            bandwidth: None,
            ..quality
        };
        let mut wide = Narrows::new(wide, begin);
        assert_eq!(wide.due(after(10), 1 << 30), after(35));
    }

    #[test]
    fn everything_arrives_in_order() {
        let echo = Acceptor::start(|client| {
            let mut back = client.try_clone()?;
            io::copy(&mut { client }, &mut back)?;
            back.shutdown(Shutdown::Write)
        });
        let quality = Quality {
            round_trip: Duration::from_millis(30),
            bandwidth: Some(10_000_000),
        };
        let echo = echo.unwrap();
        let line = Proxy::start(echo.port(), quality).unwrap();
        let mut near = TcpStream::connect((Ipv4Addr::LOCALHOST, line.port())).unwrap();
        let sent: Vec<u8> = (0..400_000_u32).map(|at| (at / 7) as u8).collect();
        let (mut writer, content) = (near.try_clone().unwrap(), sent.clone());
        thread::spawn(move || {
            writer.write_all(&content).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut came = Vec::new();
        near.read_to_end(&mut came).unwrap();
        assert!(came == sent);
    }
}

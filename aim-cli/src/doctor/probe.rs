//! How fast the line is, by a file that is sent and removed again.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aim_remote::file_io::Source;
use aim_remote::transport::{Name, Progress, Transport, TransportError};

/// The file's name in the far directory.
const NAME: &str = "doctor.probe";
/// Sent first: it tells whether more can be sent in reasonable time.
const FIRST_BYTES: usize = 256 << 10;
const MORE_BYTES: usize = 16 << 20;
/// The first part may take so long for more to follow.
const FAST: Duration = Duration::from_secs(1);

/// What the probe has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    pub(super) bytes: u64,
    /// From the first byte until the file and its name were durable.
    pub(super) time: Duration,
}

impl Speed {
    pub(super) fn bytes_per_second(self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64().max(1e-6)
    }
}

/// Sends the probe, and removes it whatever comes of it.
pub(super) async fn measure(transport: &impl Transport) -> Result<Speed, TransportError> {
    let name = Name::parse(NAME).map_err(|error| TransportError::Refused {
        place: transport.place(),
        reason: error.to_string(),
    })?;
    let measured = send(transport, &name).await;
    let removed = transport.remove(&name).await;
    let speed = measured?;
    removed?;
    Ok(speed)
}

async fn send(transport: &impl Transport, name: &Name) -> Result<Speed, TransportError> {
    let first = send_bytes(transport, name, FIRST_BYTES).await?;
    match first.time < FAST {
        true => send_bytes(transport, name, MORE_BYTES).await,
        false => Ok(first),
    }
}

async fn send_bytes(
    transport: &impl Transport,
    name: &Name,
    len: usize,
) -> Result<Speed, TransportError> {
    let source = Source::from_bytes(NAME, noise(len));
    let start = Instant::now();
    let put = transport.put(name, &source, &Progress::default()).await?;
    Ok(Speed {
        bytes: put.sent,
        time: start.elapsed(),
    })
}

/// Bytes that no compression on the way makes fewer, and that no earlier probe has left there.
fn noise(len: usize) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut state: u64 = now.map_or(1, |now| now.subsec_nanos()).into();
    state = (state ^ u64::from(std::process::id()) << 32) | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

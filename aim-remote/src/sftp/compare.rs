//! Finding out how much of a far file is the same as the source.

use std::collections::VecDeque;
use std::sync::Arc;

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{Data, StatusCode};
use tokio::task::JoinHandle;

use super::session::{Session, piece_len};
use crate::file_io::Source;
use crate::transport::TransportError;

/// Read requests that are in flight at once.
const READS_IN_FLIGHT: usize = 32;

/// What a far file has in common with the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// Bytes from the start in which they are the same.
    pub(super) bytes: u64,
    /// Whether these are all that the source has.
    pub(super) is_all: bool,
}

impl Common {
    /// Not a byte; whether the source has any shows when it is read.
    pub(super) const NOTHING: Self = Self {
        bytes: 0,
        is_all: false,
    };

    /// All `bytes` of the source.
    pub(super) fn all(bytes: u64) -> Self {
        Self {
            bytes,
            is_all: true,
        }
    }
}

/// What the open far file, of `len` bytes, has in common with the source.
///
/// It is read back and compared: nothing less tells a far host that lost power, and with it
/// part of what it had acknowledged, from one that did not.
pub(super) async fn common_prefix(
    session: &Session,
    path: &str,
    handle: &str,
    len: u64,
    source: &Source,
) -> Result<Common, TransportError> {
    let len = source.exact_len().map_or(len, |own| own.min(len));
    let mut reads = Reads {
        session,
        handle,
        next: 0,
        end: len,
        in_flight: VecDeque::new(),
    };
    let mut chunks = source.chunks(0, session.piece);
    let mut same = 0;
    while same < len {
        reads.fill();
        let Some(read) = reads.in_flight.pop_front() else {
            break;
        };
        let answer = async {
            match read.await {
                Ok(answer) => answer,
                Err(error) => Err(SftpError::UnexpectedBehavior(error.to_string())),
            }
        };
        let theirs = session.ask(path, "reading back a file", answer).await?;
        let Some(ours) = next_chunk(&mut chunks, source).await? else {
            return Ok(Common::all(same));
        };
        let equal = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        same += equal as u64;
        // a short answer ends the search too: what follows is simply sent again
        if equal < ours.len() {
            return Ok(Common {
                bytes: same,
                is_all: false,
            });
        }
    }
    let is_all = next_chunk(&mut chunks, source).await?.is_none();
    Ok(Common {
        bytes: same,
        is_all,
    })
}

/// Reads ahead, in order.
struct Reads<'a> {
    session: &'a Session,
    handle: &'a str,
    next: u64,
    end: u64,
    in_flight: VecDeque<JoinHandle<Result<Vec<u8>, SftpError>>>,
}

impl Reads<'_> {
    fn fill(&mut self) {
        while self.in_flight.len() < READS_IN_FLIGHT && self.next < self.end {
            let raw = Arc::clone(&self.session.raw);
            let handle = self.handle.to_owned();
            let offset = self.next;
            let piece = self.session.piece;
            self.next += piece as u64;
            let len = piece_len(piece);
            self.in_flight.push_back(tokio::spawn(async move {
                match raw.read(handle, offset, len).await {
                    Ok(Data { data, .. }) => Ok(data),
                    Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => {
                        Ok(Vec::new())
                    }
                    Err(error) => Err(error),
                }
            }));
        }
    }
}

/// The next piece of the source.
pub(super) async fn next_chunk(
    chunks: &mut crate::file_io::Chunks,
    source: &Source,
) -> Result<Option<Vec<u8>>, TransportError> {
    chunks.next().await.map_err(|error| TransportError::Source {
        path: source.path().to_owned(),
        source: error,
    })
}

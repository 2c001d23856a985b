//! What a server and the line to it are like.

use std::time::{Duration, Instant};

use super::failure::free_bytes;
use super::session::Session;
use crate::transport::TransportError;

/// Questions from which the round trip is taken.
const QUESTIONS: usize = 7;

impl Session {
    /// Names of the extensions that the server offers, sorted.
    pub(crate) fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Bytes that the account may still write in a folder; `None` where the server does not say.
    pub(crate) async fn free_bytes(&self, folder: &str) -> Result<Option<u64>, TransportError> {
        if !self.extensions.iter().any(|name| name == STATVFS) {
            return Ok(None);
        }
        let asking = self.raw.statvfs(folder);
        let answer = self.ask(folder, "asking for free space", asking).await?;
        Ok(Some(free_bytes(&answer)))
    }

    /// The median time from a question about `path` to its answer.
    pub(crate) async fn round_trip(&self, path: &str) -> Result<Duration, TransportError> {
        let mut times = Vec::with_capacity(QUESTIONS);
        for _ in 0..QUESTIONS {
            let start = Instant::now();
            self.ask(path, "asking about a folder", self.raw.stat(path))
                .await?;
            times.push(start.elapsed());
        }
        times.sort();
        Ok(times[QUESTIONS / 2])
    }
}

const STATVFS: &str = "statvfs@openssh.com";

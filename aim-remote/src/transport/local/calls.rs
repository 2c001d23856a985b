//! Calls that block, made where they hold up nobody.

use std::io;
use std::path::Path;
use std::sync::Arc;

use aim_core::fs::Directory;
use tokio::task::spawn_blocking;

use crate::transport::TransportError;

/// Where blocking calls are made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Calls {
    /// Away from the coordinator's thread, in its runtime.
    Away,
    /// Where they are awaited.
    InPlace,
}

impl Calls {
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match self {
            Self::Away => {
                let done = spawn_blocking(work).await;
                done.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            Self::InPlace => work(),
        }
    }
}

/// Does blocking work that concerns `path`.
pub(super) async fn blocking<T: Send + 'static>(
    calls: Calls,
    path: &Path,
    directory: Option<&Arc<dyn Directory>>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, TransportError> {
    calls.run(work).await.map_err(|error| {
        let free = directory.and_then(|directory| directory.free_bytes().ok());
        failed(path, free, error)
    })
}

pub(super) fn failed(path: &Path, free: Option<u64>, error: io::Error) -> TransportError {
    TransportError::from_io(path.display().to_string(), free, error)
}

//! A private network between two guests.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::error::{Doing, VmError};
use crate::qemu::escaped;

/// A cable between two guests: datagrams between two unix sockets.
///
/// There is no server and no order of starting; an end may be killed and started again.
#[derive(Debug)]
pub struct Link {
    folder: Arc<TempDir>,
}

impl Link {
    /// Lays a cable.
    ///
    /// # Errors
    ///
    /// [`VmError::Io`] if `/tmp` cannot hold its sockets.
    pub fn new() -> Result<Self, VmError> {
        // Not TMPDIR: the name of a socket may have no more than 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix("aim-link-")
            .tempdir_in("/tmp");
        Ok(Self {
            folder: Arc::new(folder.doing("create a folder in", "/tmp")?),
        })
    }

    /// The two ends, for guests with these addresses (`10.7.0.1/24`).
    #[must_use]
    pub fn ends(&self, addresses: [&str; 2]) -> [LinkEnd; 2] {
        let end = |mine, other, address: &str| LinkEnd {
            folder: Arc::clone(&self.folder),
            mine,
            other,
            address: address.to_owned(),
        };
        [end("a", "b", addresses[0]), end("b", "a", addresses[1])]
    }
}

/// One end of a [`Link`]; keeps the cable in place.
#[derive(Clone, Debug)]
pub struct LinkEnd {
    folder: Arc<TempDir>,
    mine: &'static str,
    other: &'static str,
    address: String,
}

impl LinkEnd {
    /// The address of the guest at this end, with the length of its net's prefix.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// QEMU's arguments for it as the network card number `place`.
    pub(crate) fn arguments(&self, place: usize) -> Result<[String; 4], VmError> {
        let socket = |end: &str| -> PathBuf { self.folder.path().join(end) };
        let mine = socket(self.mine);
        if mine.exists() {
            // left by a guest at this end that was killed
            std::fs::remove_file(&mine).doing("remove", &mine)?;
        }
        let netdev = format!(
            "dgram,id=n{place},local.type=unix,local.path={},remote.type=unix,remote.path={}",
            escaped(&mine),
            escaped(&socket(self.other)),
        );
        let side = if self.mine == "a" { 1 } else { 2 };
        let card = format!(
            "virtio-net-pci,netdev=n{place},mac=52:54:00:00:{place:02x}:{side:02x},romfile="
        );
        Ok(["-netdev".to_owned(), netdev, "-device".to_owned(), card])
    }
}

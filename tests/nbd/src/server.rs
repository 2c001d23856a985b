//! A disk at a unix socket.

use std::fs;
use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::cut::Cut;
use crate::image::{Image, Survivors};
use crate::negotiation::negotiate;
use crate::power::Power;
use crate::session::serve;

/// Serves an [`Image`] to one client after another; ends when it is dropped.
///
/// What is in the cache then is lost.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    image: Image,
    power: Arc<Power>,
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    client: Option<UnixStream>,
    ending: bool,
}

impl Server {
    /// Serves the raw image at `image` at `socket`, a path of at most 107 bytes that is not there
    /// yet.
    ///
    /// # Errors
    ///
    /// As [`Image::open`], and whatever binding the socket says.
    pub fn start(image: &Path, socket: &Path, power: &Arc<Power>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            image: Image::open(image)?,
            power: Arc::clone(power),
            line: Mutex::default(),
            changed: Condvar::new(),
        });
        let listener = UnixListener::bind(socket)?;
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("nbd".to_owned())
            .spawn(move || serving.serve_all(&listener))?;
        Ok(Self {
            socket: socket.to_owned(),
            shared,
            thread: Some(thread),
        })
    }

    /// The disk.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.shared.image
    }

    /// QEMU's words for it after `-drive if=none,`.
    #[must_use]
    pub fn drive(&self) -> String {
        let socket = self.socket.display().to_string().replace(',', ",,");
        format!("file=nbd+unix:///?socket={socket},format=raw,discard=unmap")
    }

    /// Ends the connection of the client, and waits until nothing of it is under way. Call when the
    /// client is dead.
    pub fn disconnect(&self) {
        let line = self.shared.lock();
        if let Some(client) = &line.client {
            let _ = client.shutdown(Shutdown::Both); // fails where it is closed already
        }
        let gone = |line: &mut Line| line.client.is_some();
        drop(self.shared.changed.wait_while(line, gone));
    }

    /// Loses of the cache what `cut` says. The [`Power`] must be off and the client dead; it is
    /// disconnected.
    ///
    /// # Errors
    ///
    /// As [`Image::power_cut`].
    pub fn power_cut(&self, cut: Cut) -> io::Result<Survivors> {
        self.disconnect();
        self.image().power_cut(cut)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.disconnect();
        // ends the wait for the next client
        let woken = UnixStream::connect(&self.socket);
        if let Some(thread) = self.thread.take()
            && woken.is_ok()
        {
            let _ = thread.join(); // it has nothing to say
        }
        let _ = fs::remove_file(&self.socket);
    }
}

impl Shared {
    fn serve_all(&self, listener: &UnixListener) {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            // A client that breaks off, or the protocol, has only itself to blame.
            let _ = self.serve_one(&client);
            self.lock().client = None;
            self.changed.notify_all();
            if self.lock().ending {
                return;
            }
        }
    }

    fn serve_one(&self, client: &UnixStream) -> io::Result<()> {
        {
            let mut line = self.lock();
            if line.ending {
                return Ok(());
            }
            line.client = Some(client.try_clone()?);
        }
        let mut line = client;
        if negotiate(&mut line, self.image.size())? {
            let mut from = BufReader::with_capacity(256 << 10, client);
            serve(&mut from, &mut line, &self.image, &self.power)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

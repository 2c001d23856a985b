//! io_uring, as a queue of writes to one file.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use super::depth::WriteQueue;

/// Writes that are under way at most. Each has up to a MiB: enough for any disk.
const DEPTH: u32 = 32;

/// A ring for writes to one file.
pub(super) struct Ring {
    ring: IoUring,
    file: File,
}

impl Ring {
    /// # Errors
    ///
    /// Where the kernel has no io_uring, or does not let this process use it.
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(DEPTH)?,
            file,
        })
    }
}

impl WriteQueue for Ring {
    fn depth(&self) -> usize {
        DEPTH as usize
    }

    unsafe fn push(&mut self, index: usize, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let file = types::Fd(self.file.as_raw_fd());
        // an `IoSlice` is an `iovec` by its documentation; there are at most 1024
        let write = opcode::Writev::new(file, slices.as_ptr().cast(), slices.len() as u32);
        let entry = write.offset(offset).build().user_data(index as u64);
        // SAFETY: the file lives as long as the ring, and the caller sees to the rest.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|_| io::Error::other("the submission queue is full"))?;
        loop {
            match self.ring.submit() {
                Ok(1..) => return Ok(()),
                Ok(0) => return Err(io::Error::other("a write was not taken")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&mut self) -> (usize, io::Result<usize>) {
        loop {
            if let Some(ended) = self.ring.completion().next() {
                let written = match ended.result() {
                    written @ 0.. => Ok(written as usize),
                    errno => Err(io::Error::from_raw_os_error(-errno)),
                };
                return (ended.user_data() as usize, written);
            }
            // whatever it says, the write is under way, and ends
            if self.ring.submit_and_wait(1).is_err() {
                std::thread::yield_now();
            }
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

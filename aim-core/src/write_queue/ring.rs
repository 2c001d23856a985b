//! io_uring, as a queue of writes.

use std::borrow::{Borrow, BorrowMut};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};
use std::thread::ThreadId;

use io_uring::{IoUring, opcode, types};

use super::fixed::Fixed;
use super::request::is_passing;
use super::under_way::WriteQueue;
use crate::intercept::Steady;

/// The kernel's `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;

/// A ring for writes to files, to one at a time.
pub(crate) struct Ring {
    ring: IoUring,
    depth: u32,
    /// Where it is for one thread: the kernel counts on it that nobody else submits.
    thread: Option<ThreadId>,
    /// What was pushed, and not submitted.
    pushed: Vec<usize>,
    /// With this the kernel has refused what was pushed: it is still in the ring, and must stay there.
    refusal: Option<Refusal>,
    /// What writes come from, mostly.
    memory: Option<Weak<dyn Steady>>,
    fixed: Fixed,
}

/// A [`Ring`] for writes to one file; both its own, or lent.
#[derive(Debug)]
pub(crate) struct RingFile<R, F> {
    ring: R,
    file: F,
    /// While it lives nothing else is mapped where it is.
    _memory: Option<Arc<dyn Steady>>,
}

impl Ring {
    /// A ring for up to `depth` writes under way, which go on whatever the thread does that began them.
    ///
    /// # Errors
    ///
    /// Where the kernel has no io_uring, or does not let this process use it.
    pub(crate) fn new(depth: u32) -> io::Result<Self> {
        Ok(Self::over(IoUring::new(depth)?, depth))
    }

    /// One for writes that the thread which begins them waits for at once. They come from this memory,
    /// mostly: as long as it lives the kernel holds it, where it can.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn with_memory(depth: u32, memory: Option<Weak<dyn Steady>>) -> io::Result<Self> {
        let mut thrifty = IoUring::builder();
        thrifty.setup_single_issuer().setup_defer_taskrun();
        // older kernels do not know these flags
        let ring = thrifty.build(depth).or_else(|_| IoUring::new(depth))?;
        let mapped = memory.as_ref().and_then(Weak::upgrade);
        let fixed = mapped.map_or_else(Fixed::default, |mapped| Fixed::register(&ring, &*mapped));
        Ok(Self {
            thread: Some(std::thread::current().id()),
            memory,
            fixed,
            ..Self::over(ring, depth)
        })
    }

    fn over(ring: IoUring, depth: u32) -> Self {
        Self {
            ring,
            depth,
            thread: None,
            pushed: Vec::with_capacity(depth as usize),
            refusal: None,
            memory: None,
            fixed: Fixed::default(),
        }
    }

    /// For writes to `file` alone.
    pub(crate) fn only_to(self, file: File) -> RingFile<Self, File> {
        RingFile {
            ring: self,
            file,
            _memory: None,
        }
    }

    /// For writes to `file` now. Nothing is under way.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub(crate) fn to<'a>(
        &'a mut self,
        file: &'a File,
    ) -> io::Result<RingFile<&'a mut Self, &'a File>> {
        let memory = self.memory.as_ref().and_then(Weak::upgrade);
        // something else may be where it was
        let is_stale = memory.is_none() && self.fixed.is_registered();
        let current = std::thread::current().id();
        let is_anothers = self.thread.is_some_and(|thread| thread != current);
        if self.refusal.is_some() || is_stale || is_anothers {
            *self = Self::with_memory(self.depth, self.memory.clone())?;
        }
        Ok(RingFile {
            ring: self,
            file,
            _memory: memory,
        })
    }

    /// Submits what was pushed, and waits until `count` writes have ended.
    fn enter(&mut self, count: usize) -> io::Result<()> {
        if self.refusal.is_some() {
            // SAFETY: nothing is submitted, and there is no argument.
            let entered = unsafe {
                let ring = self.ring.submitter();
                ring.enter::<()>(0, count as u32, GET_EVENTS, None)
            };
            return entered.map(|_| ());
        }
        let entered = self.ring.submit_and_wait(count);
        let left = self.ring.submission().len();
        self.pushed.drain(..self.pushed.len() - left);
        match entered {
            Err(error) if left > 0 && !is_passing(&error) => {
                self.refusal = Some(Refusal::of(&error));
                Ok(())
            }
            entered => entered.map(|_| ()),
        }
    }
}

impl<R: BorrowMut<Ring>, F: Borrow<File>> WriteQueue for RingFile<R, F> {
    fn depth(&self) -> usize {
        self.ring.borrow().depth as usize
    }

    unsafe fn push(&mut self, index: usize, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let ring = self.ring.borrow_mut();
        if let Some(refusal) = ring.refusal {
            return Err(refusal.into());
        }
        let file = types::Fd(self.file.borrow().as_raw_fd());
        // an `IoSlice` is an `iovec` by its documentation; there are at most 1024
        let (vectors, count) = (slices.as_ptr().cast(), slices.len() as u32);
        let entry = match ring.fixed.index_of(slices) {
            Some(piece) => opcode::WritevFixed::new(file, vectors, count, piece)
                .offset(offset)
                .build(),
            None => opcode::Writev::new(file, vectors, count)
                .offset(offset)
                .build(),
        };
        let entry = entry.user_data(index as u64);
        // SAFETY: the file is there for longer than the push and its end last, and the caller sees
        // to the rest. The pages that the kernel holds are those that the slices show: they are the
        // memory's, which lives.
        let pushed = unsafe { ring.ring.submission().push(&entry) };
        pushed.map_err(|_| io::Error::other("the submission queue is full"))?;
        ring.pushed.push(index);
        Ok(())
    }

    fn submit(&mut self) {
        let ring = self.ring.borrow_mut();
        while ring.refusal.is_none() && !ring.pushed.is_empty() {
            if ring.enter(0).is_err() {
                std::thread::yield_now();
            }
        }
    }

    fn wait(&mut self, count: usize) -> (usize, io::Result<usize>) {
        let ring = self.ring.borrow_mut();
        loop {
            if let Some(ended) = ring.ring.completion().next() {
                let written = match ended.result() {
                    written @ 0.. => Ok(written as usize),
                    errno => Err(io::Error::from_raw_os_error(-errno)),
                };
                return (ended.user_data() as usize, written);
            }
            if let Some(refusal) = ring.refusal
                && let Some(index) = ring.pushed.pop()
            {
                return (index, Err(refusal.into()));
            }
            // what the kernel has taken ends, whatever it says
            if ring.enter(count).is_err() {
                std::thread::yield_now();
            }
        }
    }
}

/// An error that is told more than once.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    kind: io::ErrorKind,
    errno: Option<i32>,
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            errno: error.raw_os_error(),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.errno {
            Some(errno) => Self::from_raw_os_error(errno),
            None => refusal.kind.into(),
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("depth", &self.depth)
            .field("refusal", &self.refusal)
            .field("fixed", &self.fixed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::ptr::NonNull;

    use rustix::mm::{MapFlags, ProtFlags};

    use super::super::{Request, write_all};
    use super::*;
    use crate::intercept::Memory;

    const MAPPED_BYTES: usize = 8192;

    /// Pages that stay where they are, until it is dropped.
    #[derive(Debug)]
    struct Mapped(usize);

    // SAFETY: tests map nothing else there while it lives.
    unsafe impl Steady for Mapped {
        fn memory(&self) -> Memory {
            Memory {
                address: NonNull::new(self.0 as *mut u8).unwrap(),
                len: MAPPED_BYTES,
            }
        }
    }

    /// Fresh pages with these bytes, somewhere or in the place of others.
    fn map(place: Option<usize>, byte: u8) -> &'static [u8] {
        let (address, fixed) = match place {
            Some(place) => (place as *mut _, MapFlags::FIXED),
            None => (std::ptr::null_mut(), MapFlags::empty()),
        };
        let (protection, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | fixed,
        );
        // SAFETY: a new mapping, or one over pages that the test does not use any more. They are never
        // unmapped.
        unsafe {
            let mapped =
                rustix::mm::mmap_anonymous(address, MAPPED_BYTES, protection, flags).unwrap();
            mapped.cast::<u8>().write_bytes(byte, MAPPED_BYTES);
            std::slice::from_raw_parts(mapped.cast::<u8>(), MAPPED_BYTES)
        }
    }

    fn assert_copied(ring: &mut Ring, bytes: &[u8]) {
        let file = tempfile::tempfile().unwrap();
        let (head, tail) = bytes.split_at(4096);
        let slices = vec![IoSlice::new(tail), IoSlice::new(head)];
        let written = write_all(ring.to(&file).unwrap(), vec![Request::new(512, slices)]);
        assert!(written.is_ok());
        let mut found = vec![0; 2 * 4096];
        file.read_exact_at(&mut found, 512).unwrap();
        assert!(found[..4096] == *tail && found[4096..] == *head);
    }

    #[test]
    fn what_comes_to_lie_where_held_memory_was_is_written_as_it_is() {
        let bytes = map(None, 7);
        let place = bytes.as_ptr().addr();
        let held: Arc<dyn Steady> = Arc::new(Mapped(place));
        let mut ring = Ring::with_memory(4, Some(Arc::downgrade(&held))).unwrap();
        assert_copied(&mut ring, bytes);
        let other = vec![9; MAPPED_BYTES];
        assert_copied(&mut ring, &other);
        drop(held);
        assert_copied(&mut ring, map(Some(place), 8));
        assert!(!ring.fixed.is_registered());
    }

    fn requests(bytes: &[u8]) -> Vec<Request<'_>> {
        let chunks = bytes.chunks(1000).zip(0..);
        chunks
            .map(|(chunk, index)| {
                let (head, tail) = chunk.split_at(300);
                let slices = vec![IoSlice::new(head), IoSlice::new(tail)];
                Request::new(index * 1000, slices)
            })
            .collect()
    }

    fn assert_written(ring: &mut Ring) {
        let (first, second) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let bytes: Vec<u8> = (0..9000_u32).map(|at| (at % 251) as u8).collect();
        for file in [&first, &second] {
            assert!(write_all(ring.to(file).unwrap(), requests(&bytes)).is_ok());
            let mut found = vec![0; bytes.len()];
            file.read_exact_at(&mut found, 0).unwrap();
            assert!(found == bytes);
        }
    }

    #[test]
    fn one_ring_writes_to_several_files_from_any_thread() {
        let mut ring = Ring::with_memory(4, None).unwrap();
        assert_written(&mut ring);
        std::thread::scope(|scope| scope.spawn(|| assert_written(&mut ring)).join()).unwrap();
        let closed = File::open("/dev/null").unwrap();
        let failed = write_all(ring.to(&closed).unwrap(), requests(&[1; 2000]));
        assert_eq!(failed.err().unwrap().offset, 0);
        assert_written(&mut ring);
    }

    #[test]
    fn what_the_kernel_refuses_to_take_fails_and_is_never_written() {
        let mut disabled = IoUring::builder();
        disabled.setup_r_disabled();
        let mut ring = Ring::with_memory(4, None).unwrap();
        ring.ring = disabled.build(4).unwrap();
        let file = tempfile::tempfile().unwrap();
        let failed = write_all(ring.to(&file).unwrap(), requests(&[1; 9000]));
        assert!(failed.is_err());
        assert!(ring.refusal.is_some() && ring.pushed.is_empty());
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_written(&mut ring);
    }
}

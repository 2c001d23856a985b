//! A device in front of a disk that captures nothing and counts what it sees.
//!
//! `passthrough NAME DISK [QUEUES [THREADS [zero-copy]]]`, as root, on a kernel with the ublk driver; Ctrl-C stops it.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::error::Error;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use aim_core::intercept::{
    Admission, Interceptor, Landing, LandingWait, Memory, Outcome, Ticket, Wait,
};
use aim_core::request::{Operation, Request};
use aim_core::units::Lsn;
use aim_ublk::{DeviceConfig, ReadPath, UblkDevice};

const NAMES: [&str; 5] = ["read", "write", "flush", "discard", "write zeroes"];

/// Requests and bytes of each operation, and the memory in which payloads land.
struct Tally {
    counts: [(AtomicU64, AtomicU64); NAMES.len()],
    memory: Memory,
    /// Bytes of the memory that are handed out.
    used: AtomicUsize,
}

// SAFETY: pieces of the memory are handed out once, and it is never freed.
unsafe impl Send for Tally {}
// SAFETY: as above.
unsafe impl Sync for Tally {}

impl Tally {
    fn new(config: &DeviceConfig) -> Result<Self, Box<dyn Error>> {
        let len = config.landings() * config.max_request_bytes as usize;
        let layout = Layout::from_size_align(len, 4096)?;
        // SAFETY: a checked configuration has neither no landings nor empty ones.
        let memory = unsafe { alloc_zeroed(layout) };
        let address = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        Ok(Self {
            counts: Default::default(),
            memory: Memory { address, len },
            used: AtomicUsize::new(0),
        })
    }
}

impl Interceptor for Tally {
    fn landing(
        &self,
        previous: Option<Landing>,
        capacity: usize,
        _: &Waker,
    ) -> Result<Landing, LandingWait> {
        if let Some(landing) = previous {
            return Ok(landing);
        }
        let offset = self.used.fetch_add(capacity, Ordering::Relaxed);
        if offset + capacity > self.memory.len {
            return Err(LandingWait(None));
        }
        // SAFETY: inside of the memory, zeroed, never freed, and handed out once: it comes back
        // as `previous`.
        Ok(unsafe { Landing::new(self.memory.address.add(offset), capacity, 0) })
    }

    fn admit(
        &self,
        request: &Request,
        _: Option<&mut Landing>,
        _: &Waker,
    ) -> Result<Admission, Wait> {
        let kind = match request.operation {
            Operation::Read => 0,
            Operation::Write => 1,
            Operation::Flush => 2,
            Operation::Discard => 3,
            Operation::WriteZeroes { .. } => 4,
        };
        let (count, bytes) = &self.counts[kind];
        count.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(request.len.get(), Ordering::Relaxed);
        Ok(Admission::Pass)
    }

    fn complete(&self, ticket: Ticket, _: Outcome) {
        ticket.settle();
    }

    fn poll_durable(&self, _: Lsn, _: &Waker) -> Poll<()> {
        Poll::Ready(())
    }

    fn memory(&self) -> Option<Memory> {
        Some(self.memory)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(disk)) = (arguments.next(), arguments.next()) else {
        return Err("usage: passthrough NAME DISK [QUEUES [THREADS [zero-copy]]]".into());
    };
    let mut config = DeviceConfig::new(name, disk);
    if let Some(queues) = arguments.next() {
        config.queues = queues.parse()?;
    }
    if let Some(threads) = arguments.next() {
        config.threads_per_queue = threads.parse()?;
    }
    if arguments.next().as_deref() == Some("zero-copy") {
        config.read_path = ReadPath::ZeroCopy;
    }
    let signals = Signals::block();
    let tally = Arc::new(Tally::new(&config)?);
    let device = UblkDevice::start(config, Arc::clone(&tally) as Arc<_>, 0)?;
    println!("{}: {} bytes", device.path().display(), device.size());
    loop {
        signals.wait();
        match device.stop() {
            Ok(()) => break,
            Err(error) => eprintln!("{error}"),
        }
    }
    device.wait()?;
    for (name, (count, bytes)) in NAMES.iter().zip(&tally.counts) {
        let (count, bytes) = (count.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
        println!("{name}: {count} requests, {bytes} bytes");
    }
    Ok(())
}

/// SIGINT and SIGTERM, held back from all threads and waited for by one.
struct Signals(libc::sigset_t);

impl Signals {
    /// To be called before other threads are started, so that they inherit it.
    fn block() -> Self {
        // SAFETY: an all-zero set is a valid argument of sigemptyset, which initializes it; the
        // other calls take initialized sets.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGINT);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            Self(set)
        }
    }

    fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both pointers are to initialized local values.
        unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
    }
}

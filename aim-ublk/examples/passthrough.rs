//! A device in front of a disk that captures nothing and counts what it sees.
//!
//! `passthrough NAME DISK`, as root, on a kernel with the ublk driver; Ctrl-C stops it.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::collections::HashMap;
use std::error::Error;
use std::mem::Discriminant;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use aim_core::intercept::{Admission, Interceptor, Landing, LandingWait, Outcome, Ticket, Wait};
use aim_core::request::{Operation, Request};
use aim_core::units::Lsn;
use aim_ublk::{DeviceConfig, UblkDevice};

/// Requests and bytes of each operation.
#[derive(Default)]
struct Tally(Mutex<HashMap<Discriminant<Operation>, (Operation, u64, u64)>>);

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
        let layout = Layout::from_size_align(capacity, 4096).map_err(|_| LandingWait(None))?;
        // SAFETY: a request's size is never 0.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: fresh, zeroed, never freed, and handed out once: it comes back as `previous`.
        Ok(unsafe { Landing::new(memory, capacity, 0) })
    }

    fn admit(
        &self,
        request: &Request,
        _: Option<&mut Landing>,
        _: &Waker,
    ) -> Result<Admission, Wait> {
        let kind = std::mem::discriminant(&request.operation);
        if let Ok(mut tally) = self.0.lock() {
            let (_, count, bytes) = tally.entry(kind).or_insert((request.operation, 0, 0));
            *count += 1;
            *bytes += request.len.get();
        }
        Ok(Admission::Pass)
    }

    fn complete(&self, ticket: Ticket, _: Outcome) {
        ticket.settle();
    }

    fn poll_durable(&self, _: Lsn, _: &Waker) -> Poll<()> {
        Poll::Ready(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(disk)) = (arguments.next(), arguments.next()) else {
        return Err("usage: passthrough NAME DISK".into());
    };
    let signals = Signals::block();
    let tally = Arc::new(Tally::default());
    let device = UblkDevice::start(
        DeviceConfig::new(name, disk),
        Arc::clone(&tally) as Arc<_>,
        0,
    )?;
    println!("{}: {} bytes", device.path().display(), device.size());
    loop {
        signals.wait();
        match device.stop() {
            Ok(()) => break,
            Err(error) => eprintln!("{error}"),
        }
    }
    device.wait()?;
    for (operation, count, bytes) in tally.0.lock().map_err(|_| "poisoned")?.values() {
        println!("{operation:?}: {count} requests, {bytes} bytes");
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

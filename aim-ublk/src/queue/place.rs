//! Where the next payload of a request slot lands.

use std::future::poll_fn;
use std::ptr::NonNull;
use std::task::{Poll, Waker};

use aim_core::intercept::{Interceptor, Landing, LandingWait};

use crate::buffer::Buffer;

/// A landing in the interceptor's memory; while that is full, memory of our own.
///
/// A finished request is thus never held back for want of a place for the next one, and reads
/// and flushes go on while the journal catches up. Only a write that landed in our own memory
/// waits for a landing, and is copied into it.
#[derive(Debug)]
pub(super) struct Place {
    landing: Option<Landing>,
    own: Option<Buffer>,
    in_own: bool,
    capacity: usize,
}

impl Place {
    /// A place for payloads of up to `capacity` bytes.
    pub(super) fn new(interceptor: &dyn Interceptor, capacity: usize) -> Self {
        let mut place = Self {
            landing: None,
            own: None,
            in_own: false,
            capacity,
        };
        place.renew(interceptor);
        place
    }

    /// Gets a place for the next payload. What lies in the present one is given up, so not
    /// after a read: the kernel fetches its data only with the commit.
    pub(super) fn renew(&mut self, interceptor: &dyn Interceptor) {
        // nobody waits here: the next write does, if it has to
        match interceptor.landing(self.landing.take(), self.capacity, Waker::noop()) {
            Ok(landing) => self.land_in(landing),
            Err(LandingWait(previous)) => {
                self.landing = previous;
                self.own
                    .get_or_insert_with(|| Buffer::zeroed(self.capacity));
                self.in_own = true;
            }
        }
    }

    /// Waits for a landing if the payload of `len` bytes is not in one, and moves it there.
    pub(super) async fn settle(&mut self, interceptor: &dyn Interceptor, len: usize) {
        if !self.in_own {
            return;
        }
        let mut landing = poll_fn(|cx| {
            match interceptor.landing(self.landing.take(), self.capacity, cx.waker()) {
                Ok(landing) => Poll::Ready(landing),
                Err(LandingWait(previous)) => {
                    self.landing = previous;
                    Poll::Pending
                }
            }
        })
        .await;
        if let Some(own) = &self.own {
            landing.as_mut_slice()[..len].copy_from_slice(&own.as_slice()[..len]);
        }
        self.land_in(landing);
    }

    /// Where the payload lies, or shall lie.
    pub(super) fn address(&self) -> NonNull<u8> {
        match (&self.landing, &self.own) {
            (Some(landing), _) if !self.in_own => landing.address(),
            (_, Some(own)) => own.address(),
            // `renew` leaves one of them
            (_, None) => unreachable!("a request slot without memory"),
        }
    }

    /// The landing that holds the payload, for the interceptor to take it over.
    pub(super) fn landing(&mut self) -> Option<&mut Landing> {
        self.landing.as_mut().filter(|_| !self.in_own)
    }

    fn land_in(&mut self, landing: Landing) {
        // the kernel writes there as much as a request may have
        assert!(
            landing.capacity() >= self.capacity,
            "a landing of {} bytes for requests of {}",
            landing.capacity(),
            self.capacity
        );
        self.landing = Some(landing);
        self.in_own = false;
    }
}

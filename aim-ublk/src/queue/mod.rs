//! One queue of a device: a thread, its ring, and a task for each request slot.
//!
//! ```text
//! kernel ── fetched request ──▶ tag ── admit, poll_durable ──▶ Interceptor
//!    ▲                           │ ▲                               │ wakes, from any thread
//!    └────── commit ─────────────┘ └──────── executor ◀────────────┘
//!                                │
//!                              disk  (the queue's own ring)
//! ```

mod command;
mod crew;
mod disk;
mod executor;
mod fixed;
mod place;
mod ring;
mod tag;
mod thread;

pub(crate) use crew::{Crew, QueueFailure};
pub(crate) use disk::SLOT as DISK_SLOT;
pub(crate) use thread::{Failure, Queue, Stage};

/// Entries of a queue's ring: each slot has one at a time, and there is the event file.
pub(crate) fn ring_entries(depth: u16) -> u16 {
    (depth + 1).next_power_of_two()
}

//! One queue of a device: a thread, its ring, and a task for each request slot.
//!
//! ```text
//! kernel ── fetched request ──▶ tag ── admit, poll_durable ──▶ Interceptor
//!    ▲                           │ ▲                               │ wakes, from any thread
//!    └────── commit ─────────────┘ └──────── executor ◀────────────┘
//!                                │
//!                              disk  (the queue's own ring)
//! ```

mod disk;
mod executor;
mod place;
mod tag;
mod thread;

pub(crate) use disk::SLOT as DISK_SLOT;
pub(crate) use thread::{Failure, Queue, spawn};

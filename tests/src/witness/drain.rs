//! The thread of a witness that writes records to the mirror and wakes whoever waits.

use std::io;
use std::thread;

use aim_core::device::BlockDevice;
use aim_core::intercept::Outcome;
use aim_core::request::Operation;

use super::Shared;
use super::state::{Payload, Record};

pub(super) fn run(shared: &Shared, mirror: &dyn BlockDevice) -> io::Result<()> {
    let mut state = shared.state();
    loop {
        if let Some((_, record, payload)) = state.next_complete() {
            drop(state);
            thread::sleep(shared.temper.drain_pause);
            if record.outcome == Some(Outcome::Done) {
                apply(mirror, &record, payload)?;
            }
            state = shared.state();
            state.drained();
        } else if !state.has_waiting() {
            if state.ending {
                return Ok(());
            }
            state = shared
                .work
                .wait(state)
                .expect("a thread of the test panicked");
        }
        let waiting = state.take_waiting();
        drop(state);
        for waker in waiting {
            waker.wake();
        }
        state = shared.state();
    }
}

fn apply(mirror: &dyn BlockDevice, record: &Record, payload: Option<Payload>) -> io::Result<()> {
    let (offset, len) = (record.request.offset, record.request.len);
    match (record.request.operation, payload) {
        (Operation::Write, Some((_, start))) => {
            // SAFETY: the payload is frozen: it stays valid and unchanged until it is drained.
            let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), len.get() as usize) };
            mirror.write(offset, bytes)
        }
        // sparse: a mirror lies in memory
        (Operation::WriteZeroes { .. } | Operation::Discard, _) => mirror.discard(offset, len),
        _ => Ok(()),
    }
}

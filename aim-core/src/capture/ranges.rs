//! Which ranges are locked, because a request on them is in flight.

use crate::request::Request;

/// Binary logarithm of the bytes of a block that the counts know.
const BLOCK_SHIFT: u32 = 16;
/// Counts; a power of two. Several blocks share one.
const COUNTS: usize = 1024;
/// A range of more blocks is long: it is not counted, but found by looking at all.
const BLOCKS_MAX: u64 = 8;

/// The locked ranges. Locks are numbered from 0, as many as there are requests in flight at most.
///
/// Whether a range is free is nearly always decided by a few counts; only where one of them is not zero
/// are all ranges looked at.
#[derive(Debug)]
pub(super) struct RangeLocks {
    held: Vec<Option<Request>>,
    free: Vec<u32>,
    /// Per count: how many locked ranges lie in one of its blocks.
    counts: Box<[u32; COUNTS]>,
    /// How many long ranges are locked.
    long: usize,
}

impl RangeLocks {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            free: Vec::new(),
            counts: Box::new([0; COUNTS]),
            long: 0,
        }
    }

    /// Whether a locked range has a byte in common with that of `request`.
    pub(super) fn overlap(&self, request: &Request) -> bool {
        let is_surely_free = self.long == 0
            && counted(request)
                .is_some_and(|mut counted| counted.all(|index| self.counts[index] == 0));
        if is_surely_free {
            return false;
        }
        let mut held = self.held.iter().flatten();
        held.any(|other| other.overlaps(request))
    }

    /// Locks the range of `request`, which overlaps no other.
    pub(super) fn lock(&mut self, request: &Request) -> u32 {
        self.count(request, 1);
        match self.free.pop() {
            Some(lock) => {
                self.held[lock as usize] = Some(*request);
                lock
            }
            None => {
                self.held.push(Some(*request));
                // as many as the front end has requests in flight
                self.held.len() as u32 - 1
            }
        }
    }

    /// Unlocks a range; `None` if it was not locked.
    pub(super) fn unlock(&mut self, lock: u32) -> Option<Request> {
        let request = self.held.get_mut(lock as usize).and_then(Option::take)?;
        self.count(&request, u32::MAX);
        self.free.push(lock);
        Some(request)
    }

    /// Adds to the counts of a range, wrapping around: `u32::MAX` takes one away.
    fn count(&mut self, request: &Request, more: u32) {
        match counted(request) {
            Some(counted) => {
                counted.for_each(|index| self.counts[index] = self.counts[index].wrapping_add(more))
            }
            None => self.long = self.long.wrapping_add_signed(more.cast_signed() as isize),
        }
    }
}

/// The counts of a range, one for each of its blocks; `None` if it is long.
fn counted(request: &Request) -> Option<impl Iterator<Item = usize> + use<>> {
    let start = request.offset.get();
    let last = start.saturating_add(request.len.get().max(1) - 1);
    let (first, last) = (start >> BLOCK_SHIFT, last >> BLOCK_SHIFT);
    // so that the devices of a volume do not share their first blocks
    let device = u64::from(request.device) * 61;
    (last - first < BLOCKS_MAX)
        .then(|| (first..=last).map(move |block| (block + device) as usize % COUNTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{ByteLen, ByteOffset};

    fn at(device: u16, offset: u64, len: u64) -> Request {
        Request {
            device,
            ..Request::write(ByteOffset(offset), ByteLen(len))
        }
    }

    #[test]
    fn what_overlaps_is_found_whatever_its_size() {
        const BLOCK: u64 = 1 << BLOCK_SHIFT;
        let around = COUNTS as u64 * BLOCK;
        let held = [
            at(0, BLOCK - 512, 1024),
            at(0, 3 * BLOCK, 8 * BLOCK),
            at(1, 40 * BLOCK, 100 * BLOCK),
        ];
        let mut locks = RangeLocks::new();
        let numbers = held.map(|request| locks.lock(&request));
        for offset in (0..150 * BLOCK).step_by(BLOCK as usize / 4) {
            for (device, len) in [(0, 512), (1, 512), (0, BLOCK), (1, 20 * BLOCK)] {
                for offset in [offset, offset + around] {
                    let request = at(device, offset, len);
                    let expected = held.iter().any(|other| other.overlaps(&request));
                    assert_eq!(locks.overlap(&request), expected, "{request:?}");
                }
            }
        }
        for (lock, request) in numbers.into_iter().zip(held) {
            assert_eq!(locks.unlock(lock), Some(request));
            assert_eq!(locks.unlock(lock), None);
            assert!(!locks.overlap(&request));
        }
        assert_eq!(locks.long, 0);
        assert!(locks.counts.iter().all(|count| *count == 0));
    }
}

//! Many writes at a time: which may be under way together, and what becomes of those that fail.

use std::io::{self, IoSlice};
use std::mem;
use std::ops::Range;

use super::failure::Failure;
use super::request::{Next, Request};

/// Takes writes and tells which have ended, in any order.
pub(crate) trait WriteQueue {
    /// How many it takes at most.
    fn depth(&self) -> usize;

    /// Takes `slices`, to be written one after the other at `offset`, at the next
    /// [`submit`](Self::submit) or [`wait`](Self::wait). `index` comes back with the end. After an error it
    /// was not taken.
    ///
    /// # Safety
    ///
    /// `slices`, and the bytes that they show, stay where they are, and as they are, until
    /// `wait` has given `index`.
    unsafe fn push(&mut self, index: usize, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()>;

    /// Begins what was taken.
    fn submit(&mut self);

    /// Waits for the end of one that was taken: bytes written, or an error. Nothing is to be done
    /// before `count` of them have ended; so many are under way.
    fn wait(&mut self, count: usize) -> (usize, io::Result<usize>);
}

/// Writes that are under way, of the batch that came last and while that is begun of the one before. None
/// is any more when this is gone.
pub(crate) struct UnderWay<'a, Q: WriteQueue> {
    queue: Q,
    /// By index in the queue; as many as were needed at a time.
    slots: Vec<Option<Begun<'a>>>,
    count: usize,
    /// Number of the last batch.
    batch: u64,
    failed: Vec<(Begun<'a>, io::Error)>,
    /// What was not begun, because another has failed.
    left: Vec<Begun<'a>>,
}

/// A request, and the number of its batch.
struct Begun<'a> {
    request: Request<'a>,
    batch: u64,
    /// What it wrote to, or will, when it was begun.
    range: Range<u64>,
}

/// Writes all requests, none of which overlaps another, as many at a time as the queue takes. None is
/// under way any more when this returns or unwinds.
pub(crate) fn write_all<'a>(
    queue: impl WriteQueue,
    requests: impl IntoIterator<Item = Request<'a>>,
) -> Result<(), Failure<'a>> {
    let mut under_way = UnderWay::over(queue);
    under_way.start(requests)?;
    under_way.settle()
}

impl<Q: WriteQueue> UnderWay<'static, Q> {
    /// Nothing is under way. What comes owns its bytes.
    pub(crate) fn new(queue: Q) -> Self {
        Self::over(queue)
    }

    /// Begins the requests of a batch, none of which overlaps another, as many at a time as the queue
    /// takes. Those that overlap one of the last batch begin when that has ended. When this returns
    /// all of the last batch has; after an error nothing is under way.
    pub(crate) fn begin(
        &mut self,
        requests: Vec<Request<'static>>,
    ) -> Result<(), Failure<'static>> {
        self.start(requests)?;
        self.queue.submit();
        Ok(())
    }
}

impl<'a, Q: WriteQueue> UnderWay<'a, Q> {
    /// Must not be leaked where bytes are lent.
    fn over(queue: Q) -> Self {
        Self {
            queue,
            slots: Vec::new(),
            count: 0,
            batch: 0,
            failed: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Gives the requests of a batch to the queue.
    fn start(
        &mut self,
        requests: impl IntoIterator<Item = Request<'a>>,
    ) -> Result<(), Failure<'a>> {
        self.batch += 1;
        let batch = self.batch;
        let mut held = Vec::new();
        for request in requests {
            let begun = Begun {
                range: request.range(),
                request,
                batch,
            };
            match self.overlaps(&begun.range) {
                true => held.push(begun),
                false => self.push_or_leave(begun),
            }
        }
        while self.slots.iter().flatten().any(|begun| begun.batch < batch) {
            self.wait(1);
        }
        held.into_iter().for_each(|begun| self.push_or_leave(begun));
        match self.failed.is_empty() {
            true => Ok(()),
            false => self.settle(),
        }
    }

    /// Waits until nothing is under way.
    pub(crate) fn settle(&mut self) -> Result<(), Failure<'a>> {
        while self.count > 0 {
            self.wait(self.count);
        }
        let failed = mem::take(&mut self.failed);
        let (mut left, errors): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
        let places = left.iter().map(|begun: &Begun<'a>| begun.request.offset());
        let lowest = places.zip(errors).min_by_key(|(offset, _)| *offset);
        let Some((offset, error)) = lowest else {
            return Ok(());
        };
        left.append(&mut self.left);
        left.sort_by_key(|begun| begun.batch);
        Err(Failure {
            offset,
            error,
            left: left.into_iter().map(|begun| begun.request).collect(),
        })
    }

    fn overlaps(&self, range: &Range<u64>) -> bool {
        let mut under_way = self.slots.iter().flatten().map(|begun| &begun.range);
        under_way.any(|other| other.start < range.end && range.start < other.end)
    }

    /// Begins a request as soon as the queue takes one more; not, where another has failed.
    fn push_or_leave(&mut self, begun: Begun<'a>) {
        while self.failed.is_empty() {
            match self.free_slot() {
                Some(free) => return self.push(free, begun),
                None => self.wait(1),
            }
        }
        self.left.push(begun);
    }

    fn free_slot(&mut self) -> Option<usize> {
        let free = self.slots.iter().position(Option::is_none);
        if free.is_none() && self.slots.len() < self.queue.depth() {
            self.slots.push(None);
            return Some(self.slots.len() - 1);
        }
        free
    }

    fn push(&mut self, index: usize, begun: Begun<'a>) {
        let begun = self.slots[index].insert(begun);
        // SAFETY: the slices belong to the request, which stays in its slot, untouched, until `wait` takes
        // it out with its end. So do their bytes. Or they are lent, for longer than this struct lasts: it
        // waits for all before it is gone, and `write_all` alone has one for what is lent.
        let pushed = unsafe {
            let request = &begun.request;
            self.queue.push(index, request.offset(), request.rest())
        };
        match pushed {
            Ok(()) => self.count += 1,
            Err(error) => self.fail(index, error),
        }
    }

    fn fail(&mut self, index: usize, error: io::Error) {
        let begun = self.slots[index].take();
        self.failed.extend(begun.map(|begun| (begun, error)));
    }

    /// Waits for the end of one, of `count` that are waited for; so many are under way.
    fn wait(&mut self, count: usize) {
        let (index, written) = self.queue.wait(count);
        self.count -= 1;
        let Some(mut begun) = self.slots[index].take() else {
            return;
        };
        match begun.request.after(written) {
            Next::Nothing => {}
            Next::Again => self.push(index, begun),
            Next::Fail(error) => self.failed.push((begun, error)),
        }
    }
}

impl<Q: WriteQueue> Drop for UnderWay<'_, Q> {
    /// Nobody else writes to, or frees, what the kernel still reads.
    fn drop(&mut self) {
        while self.count > 0 {
            self.wait(self.count);
        }
    }
}

impl<Q: WriteQueue + std::fmt::Debug> std::fmt::Debug for UnderWay<'_, Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderWay")
            .field("queue", &self.queue)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::SharedBytes;
    use super::*;

    /// Writes to memory, at most `most` bytes at once, when it is waited for: the one that was begun
    /// last first.
    struct Odd {
        disk: Vec<u8>,
        most: usize,
        /// Fails where a write begins at one of these.
        broken: Vec<u64>,
        begun: Vec<(usize, u64, Vec<u8>)>,
        most_at_once: usize,
        interruptions: usize,
    }

    impl Odd {
        fn new(most: usize, broken: &[u64]) -> Self {
            Self {
                disk: vec![0; 8192],
                most,
                broken: broken.to_vec(),
                begun: Vec::new(),
                most_at_once: 0,
                interruptions: 3,
            }
        }
    }

    impl WriteQueue for Odd {
        fn depth(&self) -> usize {
            4
        }

        unsafe fn push(
            &mut self,
            index: usize,
            offset: u64,
            slices: &[IoSlice<'_>],
        ) -> io::Result<()> {
            let bytes = slices.iter().flat_map(|slice| slice.to_vec());
            self.begun.push((index, offset, bytes.collect()));
            self.most_at_once = self.most_at_once.max(self.begun.len());
            Ok(())
        }

        fn submit(&mut self) {}

        fn wait(&mut self, _: usize) -> (usize, io::Result<usize>) {
            let (index, offset, bytes) = self.begun.pop().unwrap();
            let written = &bytes[..bytes.len().min(self.most)];
            let result = if self.broken.contains(&offset) {
                Err(io::ErrorKind::StorageFull.into())
            } else if self.interruptions > 0 {
                self.interruptions -= 1;
                Err(io::ErrorKind::Interrupted.into())
            } else {
                self.disk[offset as usize..][..written.len()].copy_from_slice(written);
                Ok(written.len())
            };
            (index, result)
        }
    }

    /// Writes of 1024 bytes at these places, all of one byte.
    fn filled(byte: u8, places: &[u64]) -> Vec<Request<'static>> {
        let memory: SharedBytes = Arc::new(vec![byte; 1024]);
        let requests = places.iter();
        requests
            .map(|&offset| Request::of(&memory, offset, vec![0..300, 300..1024]))
            .collect()
    }

    fn requests(bytes: &[u8]) -> Vec<Request<'static>> {
        let memory: SharedBytes = Arc::new(bytes.to_vec());
        let starts = (0..bytes.len()).step_by(1024);
        let places = starts.map(|at| vec![at..at + 300, at + 300..at + 1024]);
        places
            .zip(0..)
            .map(|(places, index)| Request::of(&memory, index * 1024, places))
            .collect()
    }

    fn write_out(queue: Odd, bytes: &[u8]) -> (Odd, Result<(), Failure<'static>>) {
        let mut under_way = UnderWay::new(queue);
        let written = under_way.begin(requests(bytes));
        let written = written.and_then(|()| under_way.settle());
        assert!(under_way.queue.begun.is_empty());
        let queue = std::mem::replace(&mut under_way.queue, Odd::new(0, &[]));
        (queue, written)
    }

    #[test]
    fn what_ends_short_goes_on_where_it_ended() {
        let bytes: Vec<u8> = (0..8192_u32).map(|at| (at % 251) as u8).collect();
        for most in [1, 299, 300, 301, 1023, 1024] {
            let (queue, written) = write_out(Odd::new(most, &[]), &bytes);
            assert!(written.is_ok());
            assert!(queue.disk == bytes, "{most} bytes at once");
            assert_eq!(queue.most_at_once, 4);
        }
    }

    #[test]
    fn the_lowest_of_several_that_fail_is_named_and_none_is_left_under_way() {
        let bytes = vec![7; 8192];
        let fails = |queue| write_out(queue, &bytes).1.unwrap_err();
        let failure = fails(Odd::new(1024, &[3072, 1024]));
        assert_eq!(failure.error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(failure.offset, 1024);
        // a part of a write that had ended short
        assert_eq!(fails(Odd::new(512, &[2560])).offset, 2560);
        // a disk that takes nothing
        let failure = fails(Odd::new(0, &[]));
        assert_eq!(failure.error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_batch_goes_on_while_the_next_one_begins_and_its_end_is_waited_for() {
        let mut under_way = UnderWay::new(Odd::new(1024, &[]));
        under_way.begin(filled(1, &[0, 1024])).ok().unwrap();
        assert_eq!(under_way.queue.begun.len(), 2);
        under_way.begin(filled(2, &[2048, 3072])).ok().unwrap();
        assert_eq!(under_way.queue.most_at_once, 4);
        assert_eq!(under_way.queue.disk[..2048], [1; 2048]);
        under_way.begin(Vec::new()).ok().unwrap();
        assert_eq!(under_way.queue.disk[2048..4096], [2; 2048]);
        assert_eq!(under_way.count, 0);
    }

    #[test]
    fn what_overlaps_an_earlier_write_begins_when_that_has_ended() {
        let mut under_way = UnderWay::new(Odd::new(400, &[]));
        let batches = [[0, 2048], [512, 4096], [1024, 5120], [1536, 0]];
        let mut model = vec![0; 8192];
        for (byte, places) in (1..).zip(batches) {
            under_way.begin(filled(byte, &places)).ok().unwrap();
            for place in places {
                model[place as usize..][..1024].fill(byte);
            }
        }
        under_way.settle().ok().unwrap();
        assert!(under_way.queue.disk == model);
        assert!(under_way.queue.most_at_once > 2, "none went side by side");
    }

    #[test]
    fn what_is_left_comes_in_the_order_of_batches() {
        let mut under_way = UnderWay::new(Odd::new(1024, &[2048, 5120]));
        under_way.begin(filled(1, &[2048, 3072])).ok().unwrap();
        let next = under_way.begin(filled(2, &[1024, 2048, 5120]));
        let failure = next.unwrap_err();
        assert_eq!(failure.offset, 2048);
        let left = failure.left.iter();
        let left: Vec<_> = left
            .map(|request| (request.rest()[0][0], request.offset()))
            .collect();
        assert_eq!(left, [(1, 2048), (2, 5120), (2, 2048)]);
        assert!(under_way.queue.begun.is_empty());
        // told once
        under_way.settle().ok().unwrap();
    }

    #[test]
    fn bytes_are_kept_as_long_as_they_are_under_way() {
        let memory: SharedBytes = Arc::new(vec![1; 1024]);
        let request = || vec![Request::of(&memory, 0, vec![0..300, 300..1024])];
        let mut under_way = UnderWay::new(Odd::new(1024, &[]));
        under_way.begin(request()).ok().unwrap();
        assert_eq!(Arc::strong_count(&memory), 2);
        under_way.begin(filled(2, &[4096])).ok().unwrap();
        assert_eq!(Arc::strong_count(&memory), 1);
        under_way.begin(request()).ok().unwrap();
        drop(under_way);
        assert_eq!(Arc::strong_count(&memory), 1);
    }
}

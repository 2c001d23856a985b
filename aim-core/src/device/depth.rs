//! Many writes at a time: what is done with those that end short, or fail.

use std::io::{self, IoSlice};

/// Takes writes and tells which have ended, in any order.
pub(super) trait WriteQueue {
    /// How many it takes at most.
    fn depth(&self) -> usize;

    /// Begins to write `slices` one after the other at `offset`. `index` comes back with the end.
    /// After an error it was not begun.
    ///
    /// # Safety
    ///
    /// `slices`, and the bytes that they show, stay where they are, and as they are, until
    /// [`wait`](Self::wait) has given `index`.
    unsafe fn push(&mut self, index: usize, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()>;

    /// Waits for the end of one that was begun: bytes written, or an error. There is one.
    fn wait(&mut self) -> (usize, io::Result<usize>);
}

/// Bytes for one place of a disk.
#[derive(Debug)]
pub(super) struct Request<'a> {
    offset: u64,
    slices: Vec<IoSlice<'a>>,
    /// Slices before it are written.
    first: usize,
}

/// What is to be done with a request that has come back.
enum Next {
    Nothing,
    Again,
    Fail(io::Error),
}

impl<'a> Request<'a> {
    pub(super) fn new(offset: u64, slices: Vec<IoSlice<'a>>) -> Self {
        Self {
            offset,
            slices,
            first: 0,
        }
    }

    /// What is left to be written.
    fn rest(&self) -> &[IoSlice<'a>] {
        &self.slices[self.first..]
    }

    fn after(&mut self, written: io::Result<usize>) -> Next {
        let written = match written {
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Next::Fail(error),
            Ok(0) => return Next::Fail(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
        };
        self.offset += written as u64;
        let mut rest = &mut self.slices[self.first..];
        let before = rest.len();
        IoSlice::advance_slices(&mut rest, written);
        self.first += before - rest.len();
        match self.rest() {
            [] => Next::Nothing,
            _ => Next::Again,
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

/// Writes all requests, as many at a time as the queue takes. None is under way any more when this
/// returns or unwinds.
///
/// # Errors
///
/// Of those that failed the one with the lowest offset, which is named. Then others were not begun.
pub(super) fn write_all(
    queue: &mut impl WriteQueue,
    requests: &mut [Request<'_>],
) -> io::Result<()> {
    let mut under_way = UnderWay { queue, count: 0 };
    let mut failed: Option<(u64, io::Error)> = None;
    let fail = |failed: &mut Option<(u64, io::Error)>, offset, error| {
        if failed.as_ref().is_none_or(|(lowest, _)| offset < *lowest) {
            *failed = Some((offset, error));
        }
    };
    let mut next = 0;
    loop {
        while failed.is_none() && next < requests.len() && under_way.has_room() {
            if let Err(error) = under_way.begin(next, &requests[next]) {
                fail(&mut failed, requests[next].offset, error);
            }
            next += 1;
        }
        let Some((index, written)) = under_way.wait() else {
            break;
        };
        let again = match requests[index].after(written) {
            Next::Nothing => Ok(()),
            Next::Again => under_way.begin(index, &requests[index]),
            Next::Fail(error) => Err(error),
        };
        if let Err(error) = again {
            fail(&mut failed, requests[index].offset, error);
        }
    }
    match failed {
        None => Ok(()),
        Some((offset, error)) => Err(named(offset, error)),
    }
}

/// The same error, with the place where it happened.
pub(super) fn named(offset: u64, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Failure { offset, error })
}

/// The error of the system in one that [`named`] has made.
pub(super) fn unnamed(error: &io::Error) -> &io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or(error, |Failure { error, .. }| error)
}

#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {error}")]
struct Failure {
    offset: u64,
    error: io::Error,
}

/// Requests that were begun, and have not ended.
struct UnderWay<'q, Q: WriteQueue> {
    queue: &'q mut Q,
    count: usize,
}

impl<Q: WriteQueue> UnderWay<'_, Q> {
    fn has_room(&self) -> bool {
        self.count < self.queue.depth()
    }

    fn begin(&mut self, index: usize, request: &Request<'_>) -> io::Result<()> {
        // SAFETY: `write_all` has the requests, whose bytes are borrowed for longer than it lasts,
        // and changes none before it has come back. It ends after that: see `drop`.
        unsafe { self.queue.push(index, request.offset, request.rest()) }?;
        self.count += 1;
        Ok(())
    }

    /// `None` if none is under way.
    fn wait(&mut self) -> Option<(usize, io::Result<usize>)> {
        self.count = self.count.checked_sub(1)?;
        Some(self.queue.wait())
    }
}

impl<Q: WriteQueue> Drop for UnderWay<'_, Q> {
    /// Nobody else writes to, or frees, what the kernel still reads.
    fn drop(&mut self) {
        while self.wait().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to memory, at most `most` bytes at once, the one that was begun last first.
    struct Odd {
        disk: Vec<u8>,
        most: usize,
        /// Fails where a write begins at one of these.
        broken: Vec<u64>,
        ended: Vec<(usize, io::Result<usize>)>,
        most_at_once: usize,
        interruptions: usize,
    }

    impl Odd {
        fn new(most: usize, broken: &[u64]) -> Self {
            Self {
                disk: vec![0; 8192],
                most,
                broken: broken.to_vec(),
                ended: Vec::new(),
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
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
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
            self.ended.push((index, result));
            self.most_at_once = self.most_at_once.max(self.ended.len());
            Ok(())
        }

        fn wait(&mut self) -> (usize, io::Result<usize>) {
            self.ended.pop().unwrap()
        }
    }

    fn requests(bytes: &[u8]) -> Vec<Request<'_>> {
        let chunks = bytes.chunks(1024).zip(0..);
        chunks
            .map(|(chunk, index)| {
                let (head, tail) = chunk.split_at(300);
                let slices = vec![IoSlice::new(head), IoSlice::new(tail)];
                Request::new(index * 1024, slices)
            })
            .collect()
    }

    #[test]
    fn what_ends_short_goes_on_where_it_ended() {
        let bytes: Vec<u8> = (0..8192_u32).map(|at| (at % 251) as u8).collect();
        for most in [1, 299, 300, 301, 1023, 1024] {
            let mut queue = Odd::new(most, &[]);
            write_all(&mut queue, &mut requests(&bytes)).unwrap();
            assert!(queue.disk == bytes, "{most} bytes at once");
            assert_eq!(queue.most_at_once, 4);
        }
    }

    #[test]
    fn the_lowest_of_several_that_fail_is_named_and_none_is_left_under_way() {
        let bytes = vec![7; 8192];
        let mut queue = Odd::new(1024, &[3072, 1024]);
        let error = write_all(&mut queue, &mut requests(&bytes)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("at byte 1024: "), "{error}");
        assert!(queue.ended.is_empty());
        // a part of a write that had ended short
        let mut queue = Odd::new(512, &[2560]);
        let error = write_all(&mut queue, &mut requests(&bytes)).unwrap_err();
        assert!(error.to_string().starts_with("at byte 2560: "), "{error}");
        // a disk that takes nothing
        let mut queue = Odd::new(0, &[]);
        let error = write_all(&mut queue, &mut requests(&bytes)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}

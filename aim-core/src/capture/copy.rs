//! Copying an extent into the series, piece by piece, each read under the range lock.

use super::caretaker::Caretaker;
use super::extents::Extent;
use super::gate::{Inserted, State};
use crate::format::Kind;
use crate::request::Request;
use crate::signature::is_zero;
use crate::units::{ByteLen, ByteOffset};

/// An extent on its way into the series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    extent: Extent,
    /// Bytes of it that have their place.
    done: u64,
}

impl Caretaker {
    /// Copies the next piece. Says whether it came further.
    ///
    /// The piece is read while no request is in flight on it, and has its place in the order
    /// before the next one gets through: so it is what the disk holds at that place. It need not
    /// be durable on the disk: the extent is hot from then on, and is copied again after a power cut.
    pub(super) fn copy_step(&mut self) -> bool {
        if self.shared.now() < self.not_before {
            return false;
        }
        if self.copy.is_none()
            && let Some(came_further) = self.compare_step()
        {
            return came_further;
        }
        let Some(copy) = self.copy.or_else(|| self.start_copy()) else {
            return false;
        };
        self.copy = Some(copy);
        let len = (copy.extent.len.get() - copy.done).min(self.piece_bytes());
        let piece = Request {
            device: copy.extent.device,
            ..Request::write(
                ByteOffset(copy.extent.offset.get() + copy.done),
                ByteLen(len),
            )
        };
        if !self.has_landing() || !self.shared.gate.claim(&piece, &self.waker) {
            return false;
        }
        let read = self.read_piece(&piece);
        let is_zero = match read {
            Ok(is_zero) => is_zero,
            Err(error) => {
                tracing::error!(
                    offset = piece.offset.get(),
                    len,
                    %error,
                    "the disk can't be read: the mirror keeps what it has there"
                );
                self.abandon_copy(true);
                self.shared.gate.release();
                return true;
            }
        };
        let inserted = self.insert_piece(&piece, is_zero, |_| true);
        match inserted {
            // the range stays claimed: nothing changes it until there is room
            Inserted::Full => return false,
            Inserted::Refused => {
                self.abandon_copy(false);
                self.shared.gate.release();
            }
            Inserted::At(_) => {
                self.end_piece(copy, len);
                self.shared.gate.release();
            }
        }
        true
    }

    /// The extent that was being copied stays needed.
    pub(super) fn abandon_copy(&mut self, is_unreadable: bool) {
        if let Some(copy) = self.copy.take() {
            let mut state = self.shared.gate.lock();
            state.extents.abort_copy(copy.extent.index, is_unreadable);
        }
    }

    fn start_copy(&mut self) -> Option<Copy> {
        let extent = self.shared.gate.lock().extents.start_copy(self.copy_from)?;
        Some(Copy { extent, done: 0 })
    }

    fn end_piece(&mut self, copy: Copy, len: u64) {
        let done = copy.done + len;
        self.copy = Some(Copy { done, ..copy });
        if done == copy.extent.len.get() {
            let mut state = self.shared.gate.lock();
            state.extents.end_copy(copy.extent.index);
            drop(state);
            self.copy = None;
            self.copy_from = copy.extent.index + 1;
            self.shared.keeper_bell.ring();
        }
        self.count_copied(len);
    }

    pub(super) fn count_copied(&mut self, len: u64) {
        let mut progress = self.shared.progress();
        progress.copied = ByteLen(progress.copied.get() + len);
        drop(progress);
        self.not_before = self.next_read(len, self.rates.resync);
    }

    pub(super) fn piece_bytes(&self) -> u64 {
        self.shared.staging.config().request_bytes_max as u64
    }

    /// Gets a fresh place in the ring, unless there is one.
    pub(super) fn has_landing(&mut self) -> bool {
        let capacity = self.shared.staging.config().request_bytes_max;
        let previous = self.landing.take();
        match self.shared.staging.landing(previous, capacity, &self.waker) {
            Ok(landing) => self.landing = Some(landing),
            Err(wait) => {
                self.landing = wait.0;
                self.shared.signal.ready(true);
                return false;
            }
        }
        true
    }

    /// Reads a piece to the start of the landing. Says whether it is all zero.
    pub(super) fn read_piece(&mut self, piece: &Request) -> std::io::Result<bool> {
        let disk = &self.shared.disks[usize::from(piece.device)];
        let Some(landing) = &mut self.landing else {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        };
        let buffer = &mut landing.as_mut_slice()[..piece.len.get() as usize];
        disk.read_at(piece.offset, buffer)?;
        Ok(is_zero(buffer))
    }

    pub(super) fn insert_piece(
        &mut self,
        piece: &Request,
        is_zero: bool,
        may: impl FnOnce(&mut State) -> bool,
    ) -> Inserted {
        let mut landing = self.landing.take();
        let inserted = match is_zero {
            true => {
                let kind = Kind::WriteZeroes { unmap: true };
                self.insert(kind, piece, None, may)
            }
            false => self.insert(Kind::Write, piece, landing.as_mut(), may),
        };
        self.landing = landing;
        inserted
    }
}

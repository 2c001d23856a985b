//! Verification: digests of what the disk holds, taken under the range lock, in the series.
//!
//! The mirror compares at exactly that place of the order, so a difference is one. Nothing is
//! digested while a group is open, since the series does not tell then what the disk holds.

use std::time::Duration;

use super::caretaker::Caretaker;
use super::gate::{Group, Inserted};
use crate::format::Kind;
use crate::format::checksum::payload_checksum;
use crate::request::Request;
use crate::units::{ByteLen, ByteOffset, Timestamp};

/// Bytes that one digest covers.
const PIECE_BYTES: u64 = 1 << 20;

/// Where verification is.
#[derive(Debug)]
pub(super) struct Verify {
    every: Option<Duration>,
    /// When the next pass is due that nobody asked for.
    next_pass: Timestamp,
    device: usize,
    offset: u64,
    has_claim: bool,
    /// Whether nobody asked for this pass: then it takes all the time that it has.
    is_scrub: bool,
    buffer: Vec<u8>,
}

impl Verify {
    pub(super) fn new(every: Option<Duration>, now: Timestamp) -> Self {
        Self {
            every,
            next_pass: now,
            device: 0,
            offset: 0,
            has_claim: false,
            is_scrub: false,
            buffer: Vec::new(),
        }
    }

    pub(super) fn has_claim(&self) -> bool {
        self.has_claim
    }

    pub(super) fn forget_claim(&mut self) {
        self.has_claim = false;
    }

    fn start_over(&mut self) {
        self.is_scrub = false;
        self.device = 0;
        self.offset = 0;
    }
}

impl Caretaker {
    /// Digests the next piece, if a pass is under way or due. Says whether it came further.
    pub(super) fn verify_step(&mut self) -> bool {
        let now = self.shared.now();
        if now < self.not_before {
            return false;
        }
        if !self.shared.progress().verify.is_running {
            if self.verify.every.is_none() || now < self.verify.next_pass {
                return false;
            }
            self.start_pass(now);
        }
        let Some(piece) = self.next_piece() else {
            self.end_pass();
            return true;
        };
        self.verify.has_claim = true;
        if !self.shared.gate.claim(&piece, &self.waker) {
            return false;
        }
        let digest = self.digest(&piece);
        let inserted = digest.map(|digest| {
            self.insert(Kind::Verify { digest }, &piece, None, |state| {
                let range = state.extents.of(&piece);
                state.group() == Group::None && !state.extents.any_needed(range)
            })
        });
        match inserted {
            Ok(Inserted::Full) => return false,
            Ok(Inserted::At(lsn)) => self.shared.progress().verify.last = lsn,
            // a group has begun, or this is being copied: it comes again in the next pass
            Ok(Inserted::Refused) => {}
            Err(error) => {
                tracing::error!(offset = piece.offset.get(), %error, "the disk can't be verified");
            }
        }
        self.verify.has_claim = false;
        self.shared.gate.release();
        self.go_on(piece.len.get());
        true
    }

    fn start_pass(&mut self, now: Timestamp) {
        let total = self
            .shared
            .disks
            .iter()
            .map(|disk| disk.bytes().get())
            .sum();
        self.verify.is_scrub = true;
        if let Some(every) = self.verify.every {
            let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
            self.verify.next_pass = Timestamp(now.get().saturating_add(nanos));
        }
        let mut progress = self.shared.progress();
        progress.verify.covered = ByteLen(0);
        progress.verify.total = ByteLen(total);
        progress.verify.is_running = true;
    }

    fn end_pass(&mut self) {
        self.verify.start_over();
        let mut progress = self.shared.progress();
        progress.verify.is_running = false;
        progress.verify.passes += 1;
        tracing::info!(
            bytes = progress.verify.total.get(),
            last_lsn = progress.verify.last.get(),
            "a pass of verification is in the series"
        );
    }

    fn next_piece(&mut self) -> Option<Request> {
        let disk = self.shared.disks.get(self.verify.device)?;
        let left = disk.bytes().get() - self.verify.offset;
        let len = left.min(PIECE_BYTES);
        Some(Request {
            // a volume has at most 16 devices
            device: self.verify.device as u16,
            ..Request::write(ByteOffset(self.verify.offset), ByteLen(len))
        })
    }

    fn go_on(&mut self, len: u64) {
        self.verify.offset += len;
        if self.verify.offset == self.shared.disks[self.verify.device].bytes().get() {
            self.verify.device += 1;
            self.verify.offset = 0;
        }
        let mut progress = self.shared.progress();
        progress.verify.covered = ByteLen(progress.verify.covered.get() + len);
        let total = progress.verify.total;
        drop(progress);
        let every = self.verify.every.filter(|_| self.verify.is_scrub);
        let spread = every.map(|every| {
            let seconds = every.as_secs_f64().max(1.0);
            ByteLen((total.get() as f64 / seconds).ceil() as u64)
        });
        self.pace(len, self.rates.verify.or(spread));
    }

    fn digest(&mut self, piece: &Request) -> std::io::Result<u64> {
        self.verify.buffer.resize(piece.len.get() as usize, 0);
        let disk = &self.shared.disks[usize::from(piece.device)];
        disk.read_at(piece.offset, &mut self.verify.buffer)?;
        Ok(payload_checksum(&self.verify.buffer))
    }
}

//! Verification: digests of what the disk holds, taken under the range lock, in the series.
//!
//! The mirror compares at exactly that place of the order, so a difference is one. Nothing is
//! digested while a group is open, since the series does not tell then what the disk holds.

use std::time::Duration;

use super::VerifyStatus;
use super::caretaker::{Caretaker, Claimant};
use super::gate::{Group, Inserted};
use crate::format::Kind;
use crate::format::checksum::payload_checksum;
use crate::request::Request;
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp};

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
    /// Not before this time: the disk is to be read no faster.
    pub(super) not_before: Timestamp,
    buffer: Vec<u8>,
}

/// How far verification is, and what it was asked for.
#[derive(Debug, Default)]
pub(super) struct Passes {
    status: VerifyStatus,
    /// Up to this pass they were asked for.
    wanted: u64,
    /// Whether nobody asked for this pass: then it takes all the time that it has.
    is_scrub: bool,
}

impl Passes {
    /// Asks for a pass all of which is yet to come, and gives its number.
    pub(super) fn ask(&mut self) -> u64 {
        let has_begun = self.status.is_running && !self.is_scrub;
        self.wanted = self.status.passes + 1 + u64::from(has_begun);
        self.wanted
    }

    pub(super) fn status(&self) -> VerifyStatus {
        VerifyStatus {
            is_running: self.status.is_running || self.is_wanted(),
            ..self.status
        }
    }

    fn is_wanted(&self) -> bool {
        self.wanted > self.status.passes
    }
}

impl Verify {
    pub(super) fn new(every: Option<Duration>, now: Timestamp) -> Self {
        Self {
            every,
            next_pass: now,
            device: 0,
            offset: 0,
            not_before: Timestamp(0),
            buffer: Vec::new(),
        }
    }
}

impl Caretaker {
    /// Digests the next piece, if a pass is under way or due. Says whether it came further.
    pub(super) fn verify_step(&mut self) -> bool {
        let now = self.shared.now();
        if !self.has_pass(now) || now < self.verify.not_before {
            return false;
        }
        let Some(piece) = self.next_piece() else {
            self.end_pass();
            return true;
        };
        if !self.claim(&piece, Claimant::Verify) {
            return false;
        }
        // while a group is open, or nothing is captured, this piece has to wait
        let mut must_wait = true;
        let digest = self.digest(&piece);
        let inserted = digest.map(|digest| {
            self.insert(Kind::Verify { digest }, &piece, None, |state| {
                must_wait = state.group() != Group::None || !state.is_copied();
                let range = state.extents.of(&piece);
                !must_wait && !state.extents.any_needed(range)
            })
        });
        let lsn = match inserted {
            Ok(Inserted::Full) => return false,
            Ok(Inserted::At(lsn)) => Some(lsn),
            Ok(Inserted::Refused) => None,
            Err(error) => {
                tracing::error!(offset = piece.offset.get(), %error, "the disk can't be verified");
                must_wait = false;
                None
            }
        };
        self.give_claim_back();
        if lsn.is_some() || !must_wait {
            self.go_on(piece.len.get(), lsn);
        }
        true
    }

    /// Whether a pass is under way. Starts one that is due or was asked for; the latter does not
    /// wait for one that nobody asked for, as it takes care of the same.
    fn has_pass(&mut self, now: Timestamp) -> bool {
        let (is_running, is_scrub, is_wanted) = {
            let passes = &self.shared.progress().verify;
            (
                passes.status.is_running,
                passes.is_scrub,
                passes.is_wanted(),
            )
        };
        if is_wanted && (!is_running || is_scrub) {
            self.start_pass(now, false);
        } else if !is_running {
            if self.verify.every.is_none() || now < self.verify.next_pass {
                return false;
            }
            self.start_pass(now, true);
        }
        true
    }

    fn start_pass(&mut self, now: Timestamp, is_scrub: bool) {
        let total = self
            .shared
            .disks
            .iter()
            .map(|disk| disk.bytes().get())
            .sum();
        self.give_claim_back();
        self.verify.device = 0;
        self.verify.offset = 0;
        self.verify.not_before = now;
        if let Some(every) = self.verify.every {
            let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
            self.verify.next_pass = Timestamp(now.get().saturating_add(nanos));
        }
        let passes = &mut self.shared.progress().verify;
        passes.is_scrub = is_scrub;
        passes.status = VerifyStatus {
            covered: ByteLen(0),
            skipped: ByteLen(0),
            total: ByteLen(total),
            is_running: true,
            ..passes.status
        };
    }

    fn end_pass(&mut self) {
        let status = &mut self.shared.progress().verify.status;
        status.is_running = false;
        status.passes += 1;
        status.last_skipped = status.skipped;
        tracing::info!(
            bytes = status.covered.get(),
            skipped = status.skipped.get(),
            last_lsn = status.last.get(),
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

    /// The piece is done: it has a digest of this LSN, or none.
    fn go_on(&mut self, len: u64, lsn: Option<Lsn>) {
        self.verify.offset += len;
        if self.verify.offset == self.shared.disks[self.verify.device].bytes().get() {
            self.verify.device += 1;
            self.verify.offset = 0;
        }
        let (total, is_scrub) = {
            let passes = &mut self.shared.progress().verify;
            let status = &mut passes.status;
            match lsn {
                Some(lsn) => {
                    status.covered.0 += len;
                    status.last = lsn;
                }
                None => status.skipped.0 += len,
            }
            (status.total, passes.is_scrub)
        };
        let every = self.verify.every.filter(|_| is_scrub);
        let spread = every.map(|every| {
            let seconds = every.as_secs_f64().max(1.0);
            ByteLen((total.get() as f64 / seconds).ceil() as u64)
        });
        let rate = self.rates.verify.or(spread);
        self.verify.not_before = self.next_read(len, rate);
    }

    fn digest(&mut self, piece: &Request) -> std::io::Result<u64> {
        self.verify.buffer.resize(piece.len.get() as usize, 0);
        let disk = &self.shared.disks[usize::from(piece.device)];
        disk.read_at(piece.offset, &mut self.verify.buffer)?;
        Ok(payload_checksum(&self.verify.buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_is_asked_for_begins_behind_the_question() {
        let mut passes = Passes::default();
        assert!(!passes.status().is_running);
        assert_eq!((passes.ask(), passes.ask()), (1, 1), "it has not begun yet");
        assert!(passes.status().is_running);
        passes.status.is_running = true;
        assert_eq!(passes.ask(), 2, "a part of it is done already");
        passes.status.passes = 1;
        assert!(passes.is_wanted());
        passes.is_scrub = true;
        assert_eq!(passes.ask(), 2, "it takes the place of a scrub");
        passes.status.passes = 2;
        passes.status.is_running = false;
        assert!(!passes.status().is_running);
    }
}

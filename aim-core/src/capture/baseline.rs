//! Putting a baseline into the series: all of the volume, piece by piece, each read under the range
//! lock.
//!
//! Unlike what a group copies, these bytes are what the series tells already: whoever lacks nothing
//! of it applies them one by one and changes nothing. So extents stay as they are, hot or not, and
//! nothing waits for the end. Whoever lacks something holds the same as the source when all pieces
//! and everything between them are applied, whatever it held before.
//!
//! It goes on only while the series determines what the disk holds. What can't be read is left to
//! a group, and said there. After a restart, and where something was not captured, it begins anew.

use super::baselines::Stage;
use super::caretaker::{Caretaker, Claimant};
use super::gate::{Group, Inserted, State};
use crate::format::Kind;
use crate::request::Request;
use crate::units::{ByteLen, ByteOffset, Lsn};

/// The place of the next piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Baseline {
    /// Of which baseline.
    begin: Lsn,
    device: usize,
    offset: u64,
}

impl Caretaker {
    /// Puts the next piece into the series. Says whether it came further; `None` where there is
    /// nothing to do for it at present.
    pub(super) fn baseline_step(&mut self) -> Option<bool> {
        let came_further = self.go_on_with_baseline();
        if came_further.is_none() && self.claimed == Some(Claimant::Baseline) {
            // it would hold up writers until it goes on
            self.give_claim_back();
        }
        came_further
    }

    fn go_on_with_baseline(&mut self) -> Option<bool> {
        let sealed = self.shared.progress().sealed.lsn;
        if self.shared.baselines.sealed(sealed) {
            tracing::info!("a baseline is in the series");
            return Some(true);
        }
        match self.shared.baselines.order()? {
            Stage::Ending { .. } => None,
            Stage::Idle => Some(self.begin_baseline()),
            Stage::Running { .. } if self.shared.now() < self.not_before => None,
            Stage::Running { begin } => {
                if self.baseline.begin != begin {
                    self.baseline = Baseline {
                        begin,
                        ..Baseline::default()
                    };
                }
                Some(match self.next_of_baseline() {
                    Some(piece) => self.put_piece(&piece),
                    None => self.end_baseline(begin),
                })
            }
        }
    }

    fn begin_baseline(&mut self) -> bool {
        let baselines = &self.shared.baselines;
        self.insert_bare(Kind::BaselineBegin, |state| {
            let may = is_determined(state);
            if may {
                // before the drain can come upon it
                baselines.begun(state.last().next());
            }
            may
        })
    }

    fn end_baseline(&mut self, begin: Lsn) -> bool {
        let baselines = &self.shared.baselines;
        self.insert_bare(Kind::BaselineEnd { begin }, |state| {
            let may = is_determined(state);
            if may {
                baselines.ending(state.last().next());
            }
            may
        })
    }

    fn next_of_baseline(&self) -> Option<Request> {
        let Baseline { device, offset, .. } = self.baseline;
        let disk = self.shared.disks.get(device)?;
        let left = disk.bytes().get() - offset;
        Some(Request {
            // a volume has at most 16 devices
            device: device as u16,
            ..Request::write(ByteOffset(offset), ByteLen(left.min(self.piece_bytes())))
        })
    }

    fn put_piece(&mut self, piece: &Request) -> bool {
        if !self.has_landing() || !self.claim(piece, Claimant::Baseline) {
            return false;
        }
        let inserted = self.read_piece(piece).map(|is_zero| {
            let may = |state: &mut State| is_determined(state);
            self.insert_piece(piece, is_zero, may)
        });
        match inserted {
            // the range stays claimed: nothing changes it until there is room
            Ok(Inserted::Full) => return false,
            Ok(Inserted::Refused) => {
                self.give_claim_back();
                return false;
            }
            Ok(Inserted::At(_)) => {}
            Err(error) => {
                tracing::error!(offset = piece.offset.get(), %error, "the disk can't be read");
                let mut state = self.shared.gate.lock();
                let range = state.extents.of(piece);
                state.extents.need(range);
            }
        }
        self.give_claim_back();
        let len = piece.len.get();
        self.baseline.offset += len;
        if self.baseline.offset == self.shared.disks[self.baseline.device].bytes().get() {
            self.baseline.device += 1;
            self.baseline.offset = 0;
        }
        self.shared.baselines.count(len);
        self.not_before = self.next_read(len, self.rates.resync);
        true
    }
}

/// Whether the series determines what the disk holds here, but for what can't be read.
fn is_determined(state: &mut State) -> bool {
    state.group() == Group::None && state.is_copied()
}

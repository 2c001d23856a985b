//! Copying only what differs: extents are compared with what the mirror holds in two steps, coarse
//! blocks first, then fine ones in those that differ.
//!
//! Why an equal block need not be copied is in the docs of [`signature`](crate::signature). It does
//! not hold where a transaction was lost or failed inside of the group, so such extents are copied
//! in full: [`State::may_compare`](super::gate::State::may_compare).

use std::time::Duration;

use super::caretaker::Caretaker;
use super::extents::Extent;
use super::gate::Inserted;
use crate::format::Kind;
use crate::request::Request;
use crate::signature::{BlockDigest, BlockRange, Question, block_digest};
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp};

/// Extents that are compared together.
const BATCH_EXTENTS: usize = 1024;
/// Bytes of the blocks that are compared first, and in those that differ.
const COARSE_BYTES: u64 = 64 << 10;
const FINE_BYTES: u64 = 4 << 10;
/// How long an answer is waited for. A mover without a way back never brings one.
const PATIENCE: Duration = Duration::from_secs(300);

/// Extents on their way through the comparison.
#[derive(Debug)]
pub(super) struct Batch {
    extents: Vec<Extent>,
    /// What was asked.
    question: Question,
    asked: Timestamp,
    /// What all mirrors hold, once they have told; nothing where they differ from each other.
    digests: Option<Vec<Option<BlockDigest>>>,
    /// Blocks that are done, and their digests.
    done: usize,
    digests_done: usize,
    blocks: Vec<BlockRange>,
    /// Coarse blocks that differ.
    differing: Vec<BlockRange>,
    is_fine: bool,
}

impl Caretaker {
    /// Goes on comparing. `None` where there is nothing to compare: the rest is copied in full.
    pub(super) fn compare_step(&mut self) -> Option<bool> {
        let mut batch = self.batch.take().or_else(|| self.start_batch())?;
        if batch.digests.is_none() {
            match self.shared.comparison.take_digests() {
                Some(digests) => batch.digests = Some(digests),
                None if self.shared.now() < patience_ends(batch.asked)
                    && !self.shared.comparison.is_pointless() =>
                {
                    self.batch = Some(batch);
                    return Some(false);
                }
                None => {
                    match self.shared.comparison.is_pointless() {
                        true => tracing::info!("nobody says what a mirror holds: all is copied"),
                        false => {
                            tracing::warn!("the mirror does not tell what it holds: all is copied");
                        }
                    }
                    self.gave_up_comparing = batch.question.group;
                    self.abandon_batch(batch);
                    return Some(true);
                }
            }
        }
        let came_further = match batch.done < batch.blocks.len() {
            true => self.compare_block(&mut batch),
            false => self.next_stage(&mut batch),
        };
        match came_further {
            Progress::Ended => {
                let mut state = self.shared.gate.lock();
                for extent in &batch.extents {
                    state.extents.end_copy(extent.index);
                }
                drop(state);
                self.shared.keeper_bell.ring();
                Some(true)
            }
            Progress::Lost => {
                self.abandon_batch(batch);
                Some(true)
            }
            Progress::Further => {
                self.batch = Some(batch);
                Some(true)
            }
            Progress::Waits => {
                self.batch = Some(batch);
                Some(false)
            }
        }
    }

    /// The extents stay needed.
    pub(super) fn abandon_batch(&mut self, batch: Batch) {
        self.shared.comparison.forget();
        let mut state = self.shared.gate.lock();
        for extent in &batch.extents {
            state.extents.abort_copy(extent.index, false);
        }
    }

    fn start_batch(&mut self) -> Option<Batch> {
        if !self.compares || self.shared.comparison.is_suspended() {
            return None;
        }
        let (group, extents) = {
            let mut state = self.shared.gate.lock();
            let group = state.may_compare()?;
            if group == self.gave_up_comparing {
                return None;
            }
            let most = self.batch_extents();
            (group, state.extents.start_batch(most))
        };
        if extents.is_empty() {
            return None;
        }
        let ranges = extents.iter().map(|extent| BlockRange {
            device: extent.device,
            offset: extent.offset,
            len: extent.len,
        });
        let ranges = ranges.collect();
        Some(self.ask(group, extents, ranges, self.coarse_bytes(), false))
    }

    fn ask(
        &mut self,
        group: Lsn,
        extents: Vec<Extent>,
        ranges: Vec<BlockRange>,
        block_bytes: u64,
        is_fine: bool,
    ) -> Batch {
        self.questions += 1;
        let question = Question {
            volume: self.shared.volume,
            group,
            // two captures of one group ask different questions
            number: self.shared.now().get().wrapping_add(self.questions),
            // at most 64 KiB
            block_bytes: block_bytes as u32,
            ranges,
        };
        self.shared.comparison.ask(question.clone());
        let coarse = self.coarse_bytes() as u32;
        let split = question.ranges.iter();
        Batch {
            // fine blocks are compared one coarse block at a time
            blocks: split.flat_map(|range| range.split(coarse)).collect(),
            extents,
            question,
            asked: self.shared.now(),
            digests: None,
            done: 0,
            digests_done: 0,
            differing: Vec::new(),
            is_fine,
        }
    }

    /// All blocks are compared: asks for finer digests, or has ended.
    fn next_stage(&mut self, batch: &mut Batch) -> Progress {
        if batch.is_fine || batch.differing.is_empty() {
            return Progress::Ended;
        }
        let group = batch.question.group;
        let extents = std::mem::take(&mut batch.extents);
        let ranges = std::mem::take(&mut batch.differing);
        *batch = self.ask(group, extents, ranges, self.fine_bytes(), true);
        Progress::Further
    }

    fn compare_block(&mut self, batch: &mut Batch) -> Progress {
        if self.shared.now() < self.not_before {
            return Progress::Waits;
        }
        let block = batch.blocks[batch.done];
        let piece = Request {
            device: block.device,
            ..Request::write(block.offset, block.len)
        };
        if !self.has_landing() || !self.shared.gate.claim(&piece, &self.waker) {
            return Progress::Waits;
        }
        let compared = match batch.is_fine {
            true => self.copy_differing(&piece, batch.digests_of(block)),
            false => self
                .is_equal(&piece, batch.digests_of(block))
                .map(|is_equal| {
                    if !is_equal {
                        batch.differing.push(block);
                    }
                    Progress::Further
                }),
        };
        let progress = compared.unwrap_or_else(|error| {
            // a full copy finds out which extent it is
            tracing::error!(offset = piece.offset.get(), %error, "the disk can't be compared");
            self.gave_up_comparing = batch.question.group;
            Progress::Lost
        });
        if progress == Progress::Waits {
            return progress;
        }
        self.shared.gate.release();
        batch.digests_done += batch.digests_of(block).len();
        batch.done += 1;
        self.count_copied(piece.len.get());
        progress
    }

    fn is_equal(
        &mut self,
        piece: &Request,
        digests: &[Option<BlockDigest>],
    ) -> std::io::Result<bool> {
        self.read_piece(piece)?;
        let landing = self
            .landing
            .as_mut()
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        let bytes = &landing.as_mut_slice()[..piece.len.get() as usize];
        Ok(digests == [Some(block_digest(bytes))])
    }

    /// Puts those parts of a piece into the series whose digests differ.
    fn copy_differing(
        &mut self,
        piece: &Request,
        digests: &[Option<BlockDigest>],
    ) -> std::io::Result<Progress> {
        self.read_piece(piece)?;
        let fine = self.fine_bytes() as usize;
        let len = piece.len.get() as usize;
        let mut landing = self.landing.take().ok_or(std::io::ErrorKind::OutOfMemory)?;
        // the landing starts behind what was frozen of it
        let mut frozen = 0;
        let mut progress = Progress::Further;
        for run in differing_runs(&landing.as_mut_slice()[..len], digests, fine) {
            let part = Request {
                device: piece.device,
                ..Request::write(
                    ByteOffset(piece.offset.get() + run.start as u64),
                    ByteLen(run.len() as u64),
                )
            };
            landing
                .as_mut_slice()
                .copy_within(run.start - frozen..run.end - frozen, 0);
            match self.insert(Kind::Write, &part, Some(&mut landing), |_| true) {
                Inserted::At(_) => frozen += run.len(),
                Inserted::Full => {
                    progress = Progress::Waits;
                    break;
                }
                Inserted::Refused => {
                    progress = Progress::Lost;
                    break;
                }
            }
        }
        self.landing = Some(landing);
        Ok(progress)
    }

    fn batch_extents(&self) -> usize {
        let blocks = self.shared.extent_bytes.div_ceil(self.coarse_bytes());
        let answered = (Question::DIGESTS_MAX / 16 / blocks).max(1);
        BATCH_EXTENTS.min(answered as usize)
    }

    fn coarse_bytes(&self) -> u64 {
        let most = self.piece_bytes();
        COARSE_BYTES.min(1 << most.ilog2())
    }

    fn fine_bytes(&self) -> u64 {
        FINE_BYTES.min(self.coarse_bytes())
    }
}

impl Batch {
    /// The digests of the present block, which come in the order of the question.
    fn digests_of(&self, block: BlockRange) -> &[Option<BlockDigest>] {
        let count = block.blocks(self.question.block_bytes) as usize;
        let digests = self.digests.as_deref().unwrap_or_default();
        &digests[self.digests_done..][..count]
    }
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Further,
    Waits,
    /// Nothing is captured any more, or the disk can't be read.
    Lost,
    Ended,
}

fn patience_ends(asked: Timestamp) -> Timestamp {
    Timestamp(asked.get().saturating_add(PATIENCE.as_nanos() as u64))
}

/// Maximal runs of fine blocks whose digests differ from these.
fn differing_runs(
    bytes: &[u8],
    digests: &[Option<BlockDigest>],
    fine: usize,
) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, (block, digest)) in bytes.chunks(fine).zip(digests).enumerate() {
        if *digest == Some(block_digest(block)) {
            continue;
        }
        let start = index * fine;
        let end = start + block.len();
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

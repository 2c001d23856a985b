//! How far an open journal file is made ahead of its data: in length, and in blocks that are written.

use std::io::{self, IoSlice};

use super::pages::zero_page;
use crate::format::limits::{MAX_FILE_BYTES, PAGE_BYTES};
use crate::fs::DirFile;

/// How far ahead of the data the file is written with zeroes, in steps of this, where it is synced
/// often.
const AHEAD_BYTES: u64 = 256 << 10;

/// In these steps the file gets its length, ahead of the data.
const LEN_STEP: u64 = 4 << 20;

/// Data between two syncs up to which they count as often.
const OFTEN_BYTES: u64 = 64 << 10;

/// What is known of the file behind its data. Places are in bytes from the start of the file.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Where the data ended at the last sync.
    synced_place: u64,
    /// Blocks of the file up to here were written once, if only with zeroes.
    written_place: u64,
    /// How long the file is.
    len: u64,
}

impl Ahead {
    /// Of a new file, which is to get the [length](Self::len) that this says.
    pub(super) fn of_new(data_offset: u64, target_size: u64) -> Self {
        let len = (data_offset + LEN_STEP).min(target_size).max(data_offset);
        Self {
            len,
            ..Self::of_found(data_offset)
        }
    }

    /// Of a file whose data end at `place`: it is as long as it is, nobody knows how far that is.
    pub(super) fn of_found(place: u64) -> Self {
        Self {
            synced_place: place,
            written_place: place,
            len: MAX_FILE_BYTES,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Makes the file longer, if data up to `end` would go beyond its length.
    pub(super) fn lengthen(
        &mut self,
        file: &dyn DirFile,
        end: u64,
        target_size: u64,
    ) -> io::Result<()> {
        if end > self.len {
            let len = (end + LEN_STEP).min(target_size).max(end);
            file.set_len(len)?;
            self.len = len;
        }
        Ok(())
    }

    /// Called behind a sync of data up to `end`: writes zeroes there, if syncs come often.
    pub(super) fn write_zeroes(
        &mut self,
        file: &dyn DirFile,
        end: u64,
        target_size: u64,
    ) -> io::Result<()> {
        let since_sync = end - std::mem::replace(&mut self.synced_place, end);
        let is_often = since_sync > 0 && since_sync <= OFTEN_BYTES;
        if !is_often || self.written_place >= end + OFTEN_BYTES {
            return Ok(());
        }
        let page = PAGE_BYTES as u64;
        let from = self.written_place.max(end).next_multiple_of(page);
        let to = (from + AHEAD_BYTES).min(target_size).min(self.len) / page * page;
        if from < to {
            let zeroes = vec![IoSlice::new(zero_page()); ((to - from) / page) as usize];
            file.write_all_at(&zeroes, from)?;
            self.written_place = to;
        }
        Ok(())
    }
}

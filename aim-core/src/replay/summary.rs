//! What a run of files does, counted.

use crate::cursor::Position;
use crate::format::{Iocb, Kind};
use crate::units::Timestamp;

/// What a run of files did to the devices, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How far the series has come with it.
    pub reached: Position,
    /// Files that were applied before, and skipped.
    pub files_skipped: u64,
    /// Files that were applied.
    pub files: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Writes among the transactions.
    pub writes: u64,
    /// Bytes that they wrote.
    pub bytes_written: u64,
    /// Zeroings and discards among the transactions.
    pub zeroings: u64,
    /// Bytes that those cover.
    pub bytes_zeroed: u64,
    /// Flushes among the transactions.
    pub flushes: u64,
    /// Transactions that failed on the source and change nothing.
    pub voids: u64,
    /// Groups among the transactions, each with a begin and an end.
    pub groups: u64,
    /// Verify records among the transactions.
    pub verifies: u64,
    /// Bytes that those cover.
    pub bytes_verified: u64,
    /// Verify records that did not match what a device holds.
    pub mismatches: u64,
    /// Bytes that those cover.
    pub bytes_mismatched: u64,
    /// Verify records that were not compared, since the devices may have been ahead of them.
    pub verifies_skipped: u64,
    /// Bytes that those cover.
    pub bytes_skipped: u64,
    /// Time of the newest transaction; 0 without any.
    pub newest: Timestamp,
}

impl Summary {
    /// Counts a verify record that was counted already as one that does not match.
    pub(super) fn count_mismatch(&mut self, iocb: &Iocb) {
        self.mismatches += 1;
        self.bytes_mismatched = self.bytes_mismatched.saturating_add(iocb.len.get());
    }

    /// Counts a verify record that was counted already as one that was not compared.
    pub(super) fn count_skipped(&mut self, iocb: &Iocb) {
        self.verifies_skipped += 1;
        self.bytes_skipped = self.bytes_skipped.saturating_add(iocb.len.get());
    }

    /// Counts one transaction.
    pub(super) fn count(&mut self, iocb: &Iocb) {
        self.transactions += 1;
        self.newest = self.newest.max(iocb.time);
        let len = iocb.len.get();
        match iocb.kind {
            Kind::Write => {
                self.writes += 1;
                self.bytes_written = self.bytes_written.saturating_add(len);
            }
            Kind::WriteZeroes { .. } | Kind::Discard => {
                self.zeroings += 1;
                self.bytes_zeroed = self.bytes_zeroed.saturating_add(len);
            }
            Kind::Flush => self.flushes += 1,
            Kind::Void => self.voids += 1,
            Kind::Verify { .. } => {
                self.verifies += 1;
                self.bytes_verified = self.bytes_verified.saturating_add(len);
            }
            // counted where it ends: a run has no half groups
            Kind::GroupBegin { .. } | Kind::BaselineBegin | Kind::BaselineEnd { .. } => {}
            Kind::GroupEnd => self.groups += 1,
        }
    }
}

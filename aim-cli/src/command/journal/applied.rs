//! What `aim journal apply` has done.

use aim_core::replay::Summary;
use serde::Serialize;

use crate::config::Size;
use crate::failure::Outcome;
use crate::output;

/// What was done, or would be.
#[derive(Debug, Default, Serialize)]
pub(super) struct Done {
    pub(super) dry_run: bool,
    pub(super) files: u64,
    pub(super) transactions: u64,
    pub(super) writes: u64,
    pub(super) bytes_written: u64,
    pub(super) zeroings: u64,
    pub(super) bytes_zeroed: u64,
    pub(super) flushes: u64,
    pub(super) groups: u64,
    pub(super) verifies: u64,
    pub(super) bytes_verified: u64,
    /// Verify records that did not match what the device holds.
    pub(super) mismatches: u64,
    pub(super) bytes_mismatched: u64,
    pub(super) last_file: u64,
    pub(super) last_lsn: u64,
    /// Files of a group, or of a baseline that is needed, that has no end yet.
    pub(super) files_left_out: u64,
    /// Where that group or baseline begins.
    pub(super) open_group_lsn: Option<u64>,
    /// Where files are missing before: a file with whose baseline it went on.
    pub(super) baseline_files: Vec<u64>,
    /// Files that are of no use, since others before them are missing.
    pub(super) files_passed_over: u64,
}

impl Done {
    pub(super) fn count(&mut self, summary: &Summary) {
        self.files += summary.files;
        self.transactions += summary.transactions;
        self.writes += summary.writes;
        self.bytes_written += summary.bytes_written;
        self.zeroings += summary.zeroings;
        self.bytes_zeroed += summary.bytes_zeroed;
        self.flushes += summary.flushes;
        self.groups += summary.groups;
        self.verifies += summary.verifies;
        self.bytes_verified += summary.bytes_verified;
        self.mismatches += summary.mismatches;
        self.bytes_mismatched += summary.bytes_mismatched;
        self.last_file = summary.reached.file.get();
        self.last_lsn = summary.reached.lsn.get();
    }

    /// For people.
    pub(super) fn print(&self) -> Outcome<()> {
        let what = match self.dry_run {
            true => "would be applied",
            false => "applied",
        };
        output::line(format!(
            "{what}: {} files up to file {} (LSN {}): {} writes of {}, {} zeroings of {}, {} flushes",
            self.files,
            self.last_file,
            self.last_lsn,
            self.writes,
            Size(self.bytes_written),
            self.zeroings,
            Size(self.bytes_zeroed),
            self.flushes
        ))?;
        if self.verifies > 0 && !self.dry_run {
            output::line(format!(
                "verified: {}, of which {} differ from the source",
                Size(self.bytes_verified),
                Size(self.bytes_mismatched)
            ))?;
        }
        for base in &self.baseline_files {
            output::line(format!(
                "files before file {base} are missing: it begins with a baseline, which makes up for them"
            ))?;
        }
        if self.files_passed_over > 0 {
            output::line(format!(
                "passed over: {} files before a baseline, which others are missing before",
                self.files_passed_over
            ))?;
        }
        if let Some(lsn) = self.open_group_lsn {
            let what = match self.baseline_files.is_empty() {
                true => "group",
                false => "group or baseline",
            };
            output::line(format!(
                "left out: {} files of the {what} of LSN {lsn}, which has no end yet",
                self.files_left_out
            ))?;
        }
        Ok(())
    }
}

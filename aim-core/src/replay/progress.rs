//! What a run has brought so far.

use super::compare::digest_of;
use super::{DeviceRange, Differences, Run, Summary};
use crate::cursor::MirrorCursor;
use crate::device::BlockDevice;
use crate::format::Iocb;
use crate::identity::VolumeIdentity;
use crate::units::{ByteOffset, Lsn};

/// What a run has brought so far. It counts only once the run is applied.
#[derive(Debug)]
pub(super) struct Progress {
    /// Verify records up to here prove nothing. An interrupted run may have brought the devices up to
    /// here before; or, all the way, the run goes over missing files, and they hold what the source
    /// does only at its end. 0: all count.
    ahead_to: Lsn,
    /// An interrupted run has stored the differences as of here.
    told_to: Lsn,
    pub(super) differences: Differences,
    pub(super) summary: Summary,
}

impl Progress {
    /// The start of a run, before its intent is stored.
    pub(super) fn start(
        cursor: &MirrorCursor,
        run: &Run,
        differences: Differences,
        summary: Summary,
    ) -> Self {
        Self {
            ahead_to: match (run.is_over_missing_files(), cursor.is_settled()) {
                (true, _) => Lsn(u64::MAX),
                (false, true) => Lsn(0),
                (false, false) => cursor.intent.lsn,
            },
            told_to: differences.as_of(),
            differences,
            summary,
        }
    }

    /// From the start of the run on only what it brings is known to be the source's. What its
    /// baseline lacks, because the source's disk can't read it, is named as different: nobody asks
    /// this mirror what it holds there, and a group may leave it out for the sake of another one.
    pub(super) fn know_nothing(&mut self, volume: &VolumeIdentity) {
        if self.summary.reached.lsn <= self.told_to {
            return;
        }
        for (device, identity) in volume.devices.iter().enumerate() {
            self.differences.note_unknown(DeviceRange {
                // a volume has at most 16 devices
                device: device as u16,
                offset: ByteOffset(0),
                len: identity.size,
            });
        }
    }

    /// A transaction gives a range the bytes that it has on the source.
    pub(super) fn note_written(&mut self, iocb: &Iocb) {
        // a mismatch that was stored may have been found behind this write
        if iocb.lsn > self.told_to {
            self.differences.note_equal(range_of(iocb));
        }
    }

    /// Compares a range with its verify record, where everything before it and nothing behind it
    /// has been done to the range. What can't be read is different too.
    ///
    /// Where the devices may be ahead of the record it proves nothing: then it is only counted.
    pub(super) fn compare(&mut self, device: &dyn BlockDevice, iocb: &Iocb, digest: u64) {
        let range = range_of(iocb);
        if iocb.lsn <= self.ahead_to {
            self.summary.count_skipped(iocb);
            if iocb.lsn > self.told_to {
                self.differences.note_skipped(range);
            }
            return;
        }
        let found = digest_of(device, iocb.offset, iocb.len);
        if matches!(found, Ok(found) if found == digest) {
            self.differences.note_equal(range);
            return;
        }
        tracing::error!(
            lsn = iocb.lsn.get(),
            device = iocb.device,
            offset = iocb.offset.get(),
            bytes = iocb.len.get(),
            read_error = found.err().map(tracing::field::display),
            "the mirror differs from the source"
        );
        self.summary.count_mismatch(iocb);
        self.differences.note_mismatch(range);
    }
}

fn range_of(iocb: &Iocb) -> DeviceRange {
    DeviceRange {
        device: iocb.device,
        offset: iocb.offset,
        len: iocb.len,
    }
}

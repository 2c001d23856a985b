//! How a journal file ends.

use super::create::write_header;
use super::{OpenFile, lost, slot};
use crate::failpoint::{Failpoint, reach};
use crate::format::{Header, Seal};
use crate::journal::sealed::SealedFile;
use crate::journal::write_error::WriteError;
use crate::units::{ByteLen, Timestamp};

impl OpenFile {
    /// Completes the file: cuts it to its size, writes the final header and syncs. It keeps the
    /// name of an open file until [`SealedFile::publish`].
    ///
    /// # Errors
    ///
    /// [`WriteError`]; the file stays as it is for [`recover`](crate::journal::recover).
    pub fn seal(mut self, now: Timestamp) -> Result<SealedFile, WriteError> {
        self.check_usable()?;
        let name = self.name();
        if self.count == 0 {
            return Err(WriteError::Empty { name });
        }
        let (header, seal) = self.sealed_header(now);
        let finished = self
            .clear_stale()
            .and_then(|()| self.file.set_len(self.bytes().get()))
            .and_then(|()| reach(Failpoint::SealCut))
            .and_then(|()| write_header(&*self.file, &header))
            .and_then(|()| reach(Failpoint::SealWritten))
            .and_then(|()| self.file.sync_data().map_err(lost))
            .and_then(|()| reach(Failpoint::SealSynced));
        match finished {
            Ok(()) => Ok(SealedFile::new(&header, &seal, self.sequence.last_time())),
            Err(source) => Err(self.io_error("sealing", source)),
        }
    }

    fn sealed_header(&self, now: Timestamp) -> (Header, Seal) {
        let total_size = self.bytes();
        let mut header = self.header.clone();
        let mut seal = Seal {
            last_lsn: self.last_lsn(),
            digest: [0; 32],
            iocb_count: self.count,
            data_len: ByteLen(total_size.get() - header.layout.data_offset),
            total_size,
            sealed: now.max(header.created),
            open_group: self.open_group(),
            baseline_begun: self.sequence.baseline_begun(),
            baseline_ended: self.sequence.baseline_ended(),
        };
        header.incompatible = self.sequence.incompatible();
        header.seal = Some(seal);
        let used = &self.iocbs[..slot(self.count)];
        seal.digest = Header::digest(&header.encode(), used);
        header.seal = Some(seal);
        (header, seal)
    }
}

//! How a journal file begins.

use std::io::{self, IoSlice};

use super::OpenFile;
use crate::failpoint::{Failpoint, reach};
use crate::format::limits::MAX_FILE_BYTES;
use crate::format::{Header, Sequence};
use crate::fs::{DirFile, Directory};
use crate::journal::ahead::Ahead;
use crate::journal::pages::Pages;
use crate::journal::record::OpenSpec;
use crate::journal::sealed::file_name;
use crate::journal::write_error::WriteError;

impl OpenFile {
    /// Creates the file in `directory` (`open/`) and reserves its space. Header and name are
    /// durable when this returns.
    ///
    /// Its length is ahead of the data and its IOCB portion is written with zeroes, so that the file
    /// system's own books need not change with each append.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`]; the file is removed again as far as possible.
    pub fn create(directory: &dyn Directory, spec: &OpenSpec) -> Result<Self, WriteError> {
        let header = spec.header();
        let name = file_name(&header);
        Header::parse(&header.encode()).map_err(|source| WriteError::Spec { name, source })?;
        let io = |step| move |source| WriteError::Io { step, name, source };
        let file = directory
            .create_direct(&name.open())
            .map_err(io("creation"))?;
        let target_size = spec.target_size.get().min(MAX_FILE_BYTES);
        let data_offset = header.layout.data_offset;
        let ahead = Ahead::of_new(data_offset, target_size);
        let iocbs = Pages::zeroed(header.layout.iocb_bytes() as usize);
        let written = file
            .allocate(target_size.max(data_offset))
            .and_then(|()| file.set_len(ahead.len()))
            .and_then(|()| write_header(&*file, &header))
            .and_then(|()| file.write_all_at(&[IoSlice::new(&iocbs)], header.layout.iocb_offset))
            .and_then(|()| reach(Failpoint::OpenCreated))
            .and_then(|()| file.sync_data())
            .and_then(|()| reach(Failpoint::OpenSynced))
            .and_then(|()| directory.sync());
        if let Err(source) = written {
            // what is left of it is recognized as empty by recovery
            let _ = directory.remove(&name.open());
            return Err(io("creation")(source));
        }
        let sequence = Sequence::start(&header);
        let mut open = Self::from_parts(file, header, iocbs, 0, sequence);
        open.target_size = target_size;
        open.floor = spec.floor;
        open.durable_lsn = spec.after.lsn;
        open.ahead = ahead;
        Ok(open)
    }
}

pub(super) fn write_header(file: &dyn DirFile, header: &Header) -> io::Result<()> {
    let page = Pages::copy_of(&header.encode());
    file.write_all_at(&[IoSlice::new(&page)], 0)
}

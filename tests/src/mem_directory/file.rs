//! An open file of the file system in memory.

use std::io::{self, IoSlice};
use std::sync::MutexGuard;

use aim_core::failpoint::{Failpoint, reach};
use aim_core::fs::{DirFile, Part};

use super::directory::MemFileSystem;
use super::state::{FileId, State};
use crate::Step;

#[derive(Debug)]
pub(super) struct MemFile {
    pub(super) file_system: MemFileSystem,
    pub(super) file: FileId,
    pub(super) writable: bool,
    pub(super) boots: u64,
}

impl MemFile {
    /// The state, if the machine has not been restarted since the file was opened.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.file_system.lock();
        match state.boots == self.boots {
            true => Ok(state),
            false => Err(io::Error::other("a file opened before a crash")),
        }
    }

    fn require_writable(&self) -> io::Result<()> {
        match self.writable {
            true => Ok(()),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl DirFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.file_system.power().require_on()?;
        Ok(self.state()?.bytes(self.file)?.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file_system.power().require_on()?;
        let mut state = self.state()?;
        let bytes = state.bytes(self.file)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        match bytes.get(start..end) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None if buffer.is_empty() => {}
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.require_writable()?;
        let mut data: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let mut state = self.state()?;
        state.alter_data(self.file, &mut data);
        match self.file_system.power().step("file write") {
            Step::Go if state.skips_in_file("file write", self.file) => Ok(()),
            Step::Go => state.write(self.file, offset as usize, &data),
            Step::Fail(error) => {
                let half = &data[..data.len() / 2];
                state.write(self.file, offset as usize, half)?;
                Err(error)
            }
            Step::Cut(error) => {
                state.write(self.file, offset as usize, &data)?;
                Err(error)
            }
            Step::Off(error) => Err(error),
        }
    }

    /// From the first to the last or the other way round, as the number of steps so far says: whoever
    /// relies on an order does not get it.
    fn write_parts(&self, parts: &[Part<'_>]) -> io::Result<()> {
        let mut order: Vec<&Part<'_>> = parts.iter().collect();
        if self.file_system.power().steps() / 2 % 2 == 1 {
            order.reverse();
        }
        for (index, part) in order.into_iter().enumerate() {
            if index > 0 {
                reach(Failpoint::PartWritten)?;
            }
            self.write_all_at(part.slices, part.offset)?;
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.require_writable()?;
        let mut state = self.state()?;
        match self.file_system.power().step("file allocate") {
            Step::Go => state.allocate(self.file, len),
            Step::Fail(error) | Step::Cut(error) | Step::Off(error) => Err(error),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.require_writable()?;
        let mut state = self.state()?;
        match self.file_system.power().step("file length") {
            Step::Go => state.set_len(self.file, len as usize),
            Step::Cut(error) => {
                state.set_len(self.file, len as usize)?;
                Err(error)
            }
            Step::Fail(error) | Step::Off(error) => Err(error),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        match self.file_system.power().step("file sync") {
            Step::Go if state.skips_in_file("file sync", self.file) => Ok(()),
            Step::Go => state.sync_content(self.file),
            Step::Fail(error) => {
                state.lose_content(self.file)?;
                Err(error)
            }
            Step::Cut(error) | Step::Off(error) => Err(error),
        }
    }
}

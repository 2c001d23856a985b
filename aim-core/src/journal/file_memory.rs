//! Memory that holds a whole journal file.

use rustix::mm::Advice;

use super::read_error::ReadError;
use crate::fs::DirFile;

/// Memory for a whole journal file, to be used for one after the other.
///
/// The first byte of a file lies at an address that direct I/O takes, so payloads do, too. Where the system
/// has huge pages, it is made of them: a direct write looks up each page that it takes its bytes from.
#[derive(Debug, Default)]
pub struct FileMemory {
    room: Vec<u8>,
    start: usize,
    len: usize,
}

/// Size of a huge page; more than what direct I/O wants of addresses.
const ALIGN_BYTES: usize = 2 << 20;

impl FileMemory {
    /// Longest file that is taken into memory, in bytes: twice what a file has by default.
    pub const BYTES_MAX: u64 = 32 << 20;

    /// Takes in all of a file.
    pub(super) fn fill(&mut self, file: &dyn DirFile, len: usize) -> Result<(), ReadError> {
        if self.room.len() < self.start + len {
            self.make_room(len);
        }
        self.len = len;
        let bytes = &mut self.room[self.start..self.start + len];
        file.read_exact_at(bytes, 0).map_err(ReadError::at(0))
    }

    fn make_room(&mut self, len: usize) {
        // a file is a little longer than the data that it was sealed for
        let len = len.next_multiple_of(ALIGN_BYTES);
        // the old one goes first, so that both are never there
        self.room = Vec::new();
        self.room = vec![0; len + ALIGN_BYTES];
        // an address of which that can't be told is left as it is
        let start = self.room.as_ptr().align_offset(ALIGN_BYTES);
        self.start = if start < ALIGN_BYTES { start } else { 0 };
        let pages = self.room[self.start..][..len].as_mut_ptr();
        // SAFETY: all of these bytes are the room's, and what they hold does not change. A system that
        // has no huge pages takes small ones.
        let _ = unsafe { rustix::mm::madvise(pages.cast(), len, Advice::LinuxHugepage) };
    }
}

impl AsRef<[u8]> for FileMemory {
    /// All bytes of the file that it holds.
    fn as_ref(&self) -> &[u8] {
        &self.room[self.start..self.start + self.len]
    }
}

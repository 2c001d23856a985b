//! The backing disk as a capture reads it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use aim_core::capture::SourceDisk;
use aim_core::units::{ByteLen, ByteOffset};

use super::Backing;
use crate::buffer::Buffer;
use crate::error::{Error, Result};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads a backing disk beside the device in front of it, past the page cache as the device
/// writes it. It keeps the claim on the disk as long as it lives.
#[derive(Debug)]
pub struct BackingReader {
    file: File,
    bytes: ByteLen,
    /// Direct reads want memory that is aligned, which the reader's caller need not have.
    buffer: Mutex<Buffer>,
}

impl Backing {
    /// A reader of this disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no further file descriptor can be had.
    pub fn reader(&self) -> Result<BackingReader> {
        let file = self.file().try_clone();
        Ok(BackingReader {
            file: file.map_err(|error| Error::io("open again", self.path(), error))?,
            bytes: self.size(),
            buffer: Mutex::new(Buffer::zeroed(BUFFER_BYTES)),
        })
    }
}

impl SourceDisk for BackingReader {
    fn bytes(&self) -> ByteLen {
        self.bytes
    }

    fn read_at(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        let mut aligned = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = offset.get();
        for piece in buffer.chunks_mut(BUFFER_BYTES) {
            let read = &mut aligned.as_mut_slice()[..piece.len()];
            self.file.read_exact_at(read, place)?;
            piece.copy_from_slice(read);
            place += piece.len() as u64;
        }
        Ok(())
    }

    fn make_durable(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_disk_and_keeps_it_claimed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        let content: Vec<u8> = (0..1 << 20).map(|n: u32| (n / 512) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let backing = Backing::open(&path).unwrap();
        let reader = backing.reader().unwrap();
        drop(backing);
        let mut read = vec![0; 600 << 10];
        reader.read_at(ByteOffset(4096), &mut read).unwrap();
        assert!(read == content[4096..][..600 << 10]);
        reader.make_durable().unwrap();
        assert!(matches!(
            Backing::open(&path),
            Err(Error::BackingBusy { .. })
        ));
        drop(reader);
        Backing::open(&path).unwrap();
    }
}

//! A disk in memory.

use std::fmt;
use std::io;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{BlockDevice, check_range};
use crate::units::{ByteLen, ByteOffset};

/// A disk in memory: for embedders, dry runs and tests. Nothing is ever lost by it, so `sync`
/// does nothing.
pub struct MemDevice {
    block_size: u32,
    bytes: RwLock<Vec<u8>>,
}

impl MemDevice {
    /// A disk of `size` zero bytes.
    ///
    /// # Panics
    ///
    /// If `block_size` is no power of two from 512 to 4096, or `size` no multiple of it.
    pub fn new(size: ByteLen, block_size: u32) -> Self {
        let size = usize::try_from(size.get()).expect("a size that fits into memory");
        Self::with_content(vec![0; size], block_size)
    }

    /// A disk that holds `bytes`.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn with_content(bytes: Vec<u8>, block_size: u32) -> Self {
        assert!(
            block_size.is_power_of_two() && (512..=4096).contains(&block_size),
            "a block size of {block_size}"
        );
        assert!(
            bytes.len().is_multiple_of(block_size as usize),
            "{} bytes are not made of blocks of {block_size}",
            bytes.len()
        );
        Self {
            block_size,
            bytes: RwLock::new(bytes),
        }
    }

    /// A copy of all that the disk holds.
    pub fn content(&self) -> Vec<u8> {
        self.shared().clone()
    }

    fn shared(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.bytes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Vec<u8>> {
        self.bytes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemDevice")
            .field("size", &self.size().get())
            .field("block_size", &self.block_size)
            .finish_non_exhaustive()
    }
}

impl BlockDevice for MemDevice {
    fn size(&self) -> ByteLen {
        ByteLen(self.shared().len() as u64)
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        check_range(self, offset, ByteLen(buffer.len() as u64))?;
        let start = offset.get() as usize;
        buffer.copy_from_slice(&self.shared()[start..start + buffer.len()]);
        Ok(())
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        check_range(self, offset, ByteLen(data.len() as u64))?;
        let start = offset.get() as usize;
        self.exclusive()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, _unmap: bool) -> io::Result<()> {
        check_range(self, offset, len)?;
        let start = offset.get() as usize;
        self.exclusive()[start..start + len.get() as usize].fill(0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

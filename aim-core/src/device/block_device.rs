//! The seam to a disk: what replay writes to, and what a mirrored device wraps.

use std::fmt::Debug;
use std::io;

use super::WriteBatch;
use crate::units::{ByteLen, ByteOffset};

/// A disk. All methods may be called from several threads.
///
/// Every method does all it was asked or returns an error; after an error of a changing method
/// the range holds old, new or a mixture of both. Offsets and lengths are in bytes, multiples of
/// [`block_size`](Self::block_size), and inside [`size`](Self::size). What was changed is durable
/// only after [`sync`](Self::sync).
pub trait BlockDevice: Debug + Send + Sync + 'static {
    /// Size of the device.
    fn size(&self) -> ByteLen;

    /// Logical block size in bytes, a power of two from 512 to 4096.
    fn block_size(&self) -> u32;

    /// Fills `buffer` from `offset`.
    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()>;

    /// Stores `data` at `offset`.
    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()>;

    /// Begins the writes of a batch, which may be under way when this returns. What is begun later stays:
    /// a write begins when those of earlier batches that it overlaps have ended. When this returns,
    /// with or without an error, all of earlier batches have.
    ///
    /// Until [`settle`](Self::settle) has returned, whoever writes behind uses no other method: it would
    /// find what was begun done, or not, or in part. An error may be that of an earlier batch; then, too,
    /// some may be under way until then.
    fn write_behind(&self, batch: WriteBatch) -> io::Result<()> {
        batch
            .runs()
            .try_for_each(|(offset, data)| self.write(offset, data))
    }

    /// Waits until no write of a batch is under way any more. An error is that of one which no call
    /// has told yet.
    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes the range read as zeroes; with `unmap` the space may be given back.
    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()>;

    /// Gives the space back and makes the range read as zeroes, so that source and mirror agree
    /// on what a discarded block holds.
    fn discard(&self, offset: ByteOffset, len: ByteLen) -> io::Result<()> {
        self.write_zeroes(offset, len, true)
    }

    /// Makes everything that completed before durable.
    fn sync(&self) -> io::Result<()>;
}

/// Refuses a range that is not made of whole blocks inside the device: what every
/// implementation does before it touches anything.
///
/// # Errors
///
/// `InvalidInput`, with the range in the message.
pub fn check_range(device: &dyn BlockDevice, offset: ByteOffset, len: ByteLen) -> io::Result<()> {
    let (size, block_size) = (device.size(), u64::from(device.block_size()));
    let inside = offset.end(len).is_some_and(|end| end.get() <= size.get());
    let whole = offset.get().is_multiple_of(block_size) && len.get().is_multiple_of(block_size);
    if inside && whole {
        return Ok(());
    }
    let what = match inside {
        false => "reaches past the end of the device",
        true => "is not made of whole blocks",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{len} bytes at {offset}: {what} ({size} bytes in blocks of {block_size})"),
    ))
}

impl<D: BlockDevice + ?Sized> BlockDevice for std::sync::Arc<D> {
    fn size(&self) -> ByteLen {
        (**self).size()
    }

    fn block_size(&self) -> u32 {
        (**self).block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read(offset, buffer)
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        (**self).write(offset, data)
    }

    fn write_behind(&self, batch: WriteBatch) -> io::Result<()> {
        (**self).write_behind(batch)
    }

    fn settle(&self) -> io::Result<()> {
        (**self).settle()
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        (**self).write_zeroes(offset, len, unmap)
    }

    fn discard(&self, offset: ByteOffset, len: ByteLen) -> io::Result<()> {
        (**self).discard(offset, len)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
}

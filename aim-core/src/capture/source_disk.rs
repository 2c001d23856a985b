//! The seam to the disk behind a front end, as far as capture needs it.

use std::fmt::Debug;
use std::io;

use crate::device::BlockDevice;
use crate::units::{ByteLen, ByteOffset};

/// A disk that is captured: read where the mirror lacks something, and synced. Capture never
/// writes to it. Every [`BlockDevice`] is one.
///
/// It sees what the front end has written, whether or not that is durable.
pub trait SourceDisk: Debug + Send + Sync + 'static {
    /// Size of the disk.
    fn bytes(&self) -> ByteLen;

    /// Fills `buffer` from `offset`; both are of whole blocks.
    fn read_at(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()>;

    /// Makes everything durable that the front end's requests wrote and that completed before.
    fn make_durable(&self) -> io::Result<()>;
}

impl<D: BlockDevice> SourceDisk for D {
    fn bytes(&self) -> ByteLen {
        BlockDevice::size(self)
    }

    fn read_at(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        BlockDevice::read(self, offset, buffer)
    }

    fn make_durable(&self) -> io::Result<()> {
        BlockDevice::sync(self)
    }
}

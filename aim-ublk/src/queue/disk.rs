//! I/O on the backing disk, through the ring of the queue that asks.

use std::cell::{Cell, OnceCell};
use std::ptr::NonNull;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use libublk::UblkUringData;
use libublk::uring_async::ublk_submit_sqe_async;
use rustix::io::Errno;

use crate::buffer::Buffer;

/// Place of the backing disk in the ring's table of files; 0 is the device's own control file.
pub(crate) const SLOT: usize = 1;

const DISK: types::Fixed = types::Fixed(SLOT as u32);

/// How much is zeroed by one write where the disk can't zero a range by itself.
const ZEROES: u32 = 256 << 10;

/// The backing disk as one queue sees it.
///
/// Offsets and lengths are in bytes and multiples of the logical block. All or error: a short
/// transfer is continued.
#[derive(Debug, Default)]
pub(super) struct Disk {
    cannot_punch: Cell<bool>,
    cannot_zero: Cell<bool>,
    zeroes: OnceCell<Buffer>,
}

impl Disk {
    /// Reads `len` bytes into `buffer`, which must stay valid until this ends.
    pub(super) async fn read(
        &self,
        offset: u64,
        buffer: NonNull<u8>,
        len: u32,
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < len {
            // stays inside the buffer: `done` is less than `len`
            let place = buffer.as_ptr().wrapping_add(done as usize);
            let entry = opcode::Read::new(DISK, place, len - done)
                .offset(offset + u64::from(done))
                .build();
            done += transferred(submit(entry).await)?;
        }
        Ok(())
    }

    /// Writes `len` bytes from `buffer`, which must stay valid and unchanged until this ends;
    /// durable at its end if `durable`.
    pub(super) async fn write(
        &self,
        offset: u64,
        buffer: NonNull<u8>,
        len: u32,
        durable: bool,
    ) -> Result<(), Errno> {
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        let mut done = 0;
        while done < len {
            // stays inside the buffer: `done` is less than `len`
            let place = buffer.as_ptr().wrapping_add(done as usize);
            let entry = opcode::Write::new(DISK, place, len - done)
                .offset(offset + u64::from(done))
                .rw_flags(flags)
                .build();
            done += transferred(submit(entry).await)?;
        }
        Ok(())
    }

    /// Makes durable whatever was written before.
    pub(super) async fn sync(&self) -> Result<(), Errno> {
        let entry = opcode::Fsync::new(DISK)
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        submit(entry).await.map(drop)
    }

    /// Makes a range read as zeroes; with `unmap` the disk may give its space back.
    ///
    /// What the disk can't do is tried once and then done in a dearer way, down to writes of
    /// zeroes.
    pub(super) async fn zero(&self, offset: u64, len: u64, unmap: bool) -> Result<(), Errno> {
        if unmap && !self.cannot_punch.get() {
            match fallocate(offset, len, libc::FALLOC_FL_PUNCH_HOLE).await {
                Err(Errno::OPNOTSUPP) => self.cannot_punch.set(true),
                outcome => return outcome,
            }
        }
        if !self.cannot_zero.get() {
            match fallocate(offset, len, libc::FALLOC_FL_ZERO_RANGE).await {
                Err(Errno::OPNOTSUPP) => self.cannot_zero.set(true),
                outcome => return outcome,
            }
        }
        self.write_zeroes(offset, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let zeroes = self
            .zeroes
            .get_or_init(|| Buffer::zeroed(ZEROES as usize))
            .address();
        let mut done = 0;
        while done < len {
            let chunk = (len - done).min(u64::from(ZEROES)) as u32;
            self.write(offset + done, zeroes, chunk, false).await?;
            done += u64::from(chunk);
        }
        Ok(())
    }
}

async fn fallocate(offset: u64, len: u64, mode: i32) -> Result<(), Errno> {
    let entry = opcode::Fallocate::new(DISK, len)
        .offset(offset)
        .mode(mode | libc::FALLOC_FL_KEEP_SIZE)
        .build();
    submit(entry).await.map(drop)
}

/// Queues an entry on the ring of this thread and waits for its result.
pub(super) async fn submit(entry: Entry) -> Result<u32, Errno> {
    match ublk_submit_sqe_async(entry, UblkUringData::Target as u64).await {
        Ok(code) => u32::try_from(code).map_err(|_| Errno::from_raw_os_error(-code)),
        // only a ring that takes no more entries
        Err(_) => Err(Errno::IO),
    }
}

/// Bytes that a transfer moved. None at all is the end of a disk that has become shorter.
fn transferred(outcome: Result<u32, Errno>) -> Result<u32, Errno> {
    match outcome {
        Ok(0) => Err(Errno::IO),
        Err(Errno::INTR) => Ok(0),
        outcome => outcome,
    }
}

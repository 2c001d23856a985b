//! I/O on the backing disk, through the ring of the queue that asks.

use std::cell::{Cell, OnceCell};
use std::ptr::NonNull;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use rustix::io::Errno;

use super::fixed::Fixed;
use super::ring::Ring;
use crate::buffer::Buffer;

/// Place of the backing disk in the ring's table of files; 0 is the device's own control file.
pub(crate) const SLOT: usize = 1;

const DISK: types::Fixed = types::Fixed(SLOT as u32);

/// How much is zeroed by one write where the disk can't zero a range by itself.
const ZEROES: u32 = 256 << 10;

/// The backing disk as one queue sees it.
///
/// Offsets and lengths are in bytes and multiples of the logical block. All or error: a short
/// transfer is continued. `task` is who asks; it waits for one thing at a time.
#[derive(Debug)]
pub(super) struct Disk<'r> {
    ring: &'r Ring,
    fixed: Fixed,
    cannot_punch: Cell<bool>,
    cannot_zero: Cell<bool>,
    zeroes: OnceCell<Buffer>,
}

impl<'r> Disk<'r> {
    /// The disk behind `ring`, which knows the memory in `fixed`.
    pub(super) fn new(ring: &'r Ring, fixed: Fixed) -> Self {
        Self {
            ring,
            fixed,
            cannot_punch: Cell::new(false),
            cannot_zero: Cell::new(false),
            zeroes: OnceCell::new(),
        }
    }

    /// Reads `len` bytes into `buffer`.
    ///
    /// # Safety
    ///
    /// The buffer must have `len` bytes that nobody else uses until this has ended, even where it
    /// is dropped before.
    pub(super) async unsafe fn read(
        &self,
        task: usize,
        offset: u64,
        buffer: NonNull<u8>,
        len: u32,
    ) -> Result<(), Errno> {
        let fixed = self.fixed.index_of(buffer, len);
        let mut done = 0;
        while done < len {
            // stays inside the buffer: `done` is less than `len`
            let place = buffer.as_ptr().wrapping_add(done as usize);
            let (rest, from) = (len - done, offset + u64::from(done));
            let entry = match fixed {
                Some(index) => opcode::ReadFixed::new(DISK, place, rest, index)
                    .offset(from)
                    .build(),
                None => opcode::Read::new(DISK, place, rest).offset(from).build(),
            };
            // SAFETY: it points into the caller's buffer.
            done += transferred(unsafe { self.submit(task, entry) }.await)?;
        }
        Ok(())
    }

    /// Reads `len` bytes into the pages of a request, which are at `index` of the ring's table.
    pub(super) async fn read_into_request(
        &self,
        task: usize,
        offset: u64,
        index: u16,
        len: u32,
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < len {
            // an address in a request counts from its start
            let place = std::ptr::without_provenance_mut(done as usize);
            let entry = opcode::ReadFixed::new(DISK, place, len - done, index)
                .offset(offset + u64::from(done))
                .build();
            // SAFETY: the kernel itself holds the pages.
            done += transferred(unsafe { self.submit(task, entry) }.await)?;
        }
        Ok(())
    }

    /// Writes `len` bytes from `buffer`; durable at its end if `durable`.
    ///
    /// # Safety
    ///
    /// The buffer must have `len` bytes that nobody changes until this has ended, even where it
    /// is dropped before.
    pub(super) async unsafe fn write(
        &self,
        task: usize,
        offset: u64,
        buffer: NonNull<u8>,
        len: u32,
        durable: bool,
    ) -> Result<(), Errno> {
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        let fixed = self.fixed.index_of(buffer, len);
        let mut done = 0;
        while done < len {
            // stays inside the buffer: `done` is less than `len`
            let place = buffer.as_ptr().wrapping_add(done as usize);
            let (rest, to) = (len - done, offset + u64::from(done));
            let entry = match fixed {
                Some(index) => opcode::WriteFixed::new(DISK, place, rest, index)
                    .offset(to)
                    .rw_flags(flags)
                    .build(),
                None => opcode::Write::new(DISK, place, rest)
                    .offset(to)
                    .rw_flags(flags)
                    .build(),
            };
            // SAFETY: it points into the caller's buffer.
            done += transferred(unsafe { self.submit(task, entry) }.await)?;
        }
        Ok(())
    }

    /// Makes durable whatever was written before.
    pub(super) async fn sync(&self, task: usize) -> Result<(), Errno> {
        let entry = opcode::Fsync::new(DISK)
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        // SAFETY: it points to nothing.
        unsafe { self.submit(task, entry) }.await.map(drop)
    }

    /// Makes a range read as zeroes; with `unmap` the disk may give its space back.
    ///
    /// What the disk can't do is tried once and then done in a dearer way, down to writes of
    /// zeroes.
    pub(super) async fn zero(
        &self,
        task: usize,
        offset: u64,
        len: u64,
        unmap: bool,
    ) -> Result<(), Errno> {
        if unmap && !self.cannot_punch.get() {
            match self
                .fallocate(task, offset, len, libc::FALLOC_FL_PUNCH_HOLE)
                .await
            {
                Err(Errno::OPNOTSUPP) => self.cannot_punch.set(true),
                outcome => return outcome,
            }
        }
        if !self.cannot_zero.get() {
            match self
                .fallocate(task, offset, len, libc::FALLOC_FL_ZERO_RANGE)
                .await
            {
                Err(Errno::OPNOTSUPP) => self.cannot_zero.set(true),
                outcome => return outcome,
            }
        }
        self.write_zeroes(task, offset, len).await
    }

    async fn write_zeroes(&self, task: usize, offset: u64, len: u64) -> Result<(), Errno> {
        let zeroes = self
            .zeroes
            .get_or_init(|| Buffer::zeroed(ZEROES as usize))
            .address();
        let mut done = 0;
        while done < len {
            let chunk = (len - done).min(u64::from(ZEROES)) as u32;
            // SAFETY: `chunk` is at most its size, nobody changes it, and who drops this while
            // operations go on keeps all that they use (`thread::run`).
            unsafe { self.write(task, offset + done, zeroes, chunk, false) }.await?;
            done += u64::from(chunk);
        }
        Ok(())
    }

    async fn fallocate(&self, task: usize, offset: u64, len: u64, mode: i32) -> Result<(), Errno> {
        let entry = opcode::Fallocate::new(DISK, len)
            .offset(offset)
            .mode(mode | libc::FALLOC_FL_KEEP_SIZE)
            .build();
        // SAFETY: it points to nothing.
        unsafe { self.submit(task, entry) }.await.map(drop)
    }

    /// Queues an entry and waits for its result.
    ///
    /// # Safety
    ///
    /// As for [`Ring::submit`].
    async unsafe fn submit(&self, task: usize, entry: Entry) -> Result<u32, Errno> {
        // SAFETY: as promised by the caller.
        let code = unsafe { self.ring.submit(task, entry) }.await;
        u32::try_from(code).map_err(|_| Errno::from_raw_os_error(-code))
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

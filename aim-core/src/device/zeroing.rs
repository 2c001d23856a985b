//! Making a range of a file or block device read as zeroes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Zero bytes written at once where the file system has no better way.
const ZERO_BYTES: usize = 1 << 20;
static ZEROES: [u8; ZERO_BYTES] = [0; ZERO_BYTES];

/// Makes `len` bytes at `offset` read as zeroes, by the cheapest way that really does so; with
/// `unmap` the space may be given back.
///
/// A plain discard is not among the ways: what a discarded block holds is the disk's choice.
/// Punching a hole into a block device is a zeroing that may unmap, and is refused by the kernel
/// where the disk can't promise zeroes.
pub(super) fn write_zeroes(file: &File, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    if unmap && supported(file, FallocateFlags::PUNCH_HOLE, offset, len)? {
        return Ok(());
    }
    if supported(file, FallocateFlags::ZERO_RANGE, offset, len)? {
        return Ok(());
    }
    let mut done = 0;
    while done < len {
        let part = (len - done).min(ZERO_BYTES as u64);
        file.write_all_at(&ZEROES[..part as usize], offset + done)?;
        done += part;
    }
    Ok(())
}

/// Tries one way; false where kernel, file system or disk don't know it.
fn supported(file: &File, way: FallocateFlags, offset: u64, len: u64) -> io::Result<bool> {
    loop {
        match rustix::fs::fallocate(file, way | FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            // EINVAL: a file system that knows the call but not the flag
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

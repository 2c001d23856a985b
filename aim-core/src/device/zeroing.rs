//! Making a range of a file or block device read as zeroes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Bytes zeroed by one call: a disk that has to write its zeroes is not held for hours by one.
const CALL_BYTES: u64 = 1 << 30;

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
    let ways = match unmap {
        true => &[FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE][..],
        false => &[FallocateFlags::ZERO_RANGE][..],
    };
    pieces(offset, len, CALL_BYTES, |offset, len| {
        for &way in ways {
            if supported(file, way, offset, len)? {
                return Ok(());
            }
        }
        pieces(offset, len, ZERO_BYTES as u64, |offset, len| {
            file.write_all_at(&ZEROES[..len as usize], offset)
        })
    })
}

/// Does something with one piece of a range after the other.
fn pieces(
    offset: u64,
    len: u64,
    most: u64,
    mut each: impl FnMut(u64, u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let piece = (len - done).min(most);
        each(offset + done, piece)?;
        done += piece;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_range_once() {
        let mut seen = Vec::new();
        pieces(10, 25, 10, |offset, len| {
            seen.push((offset, len));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(10, 10), (20, 10), (30, 5)]);
        pieces(10, 0, 10, |_, _| panic!("nothing to do")).unwrap();
    }
}

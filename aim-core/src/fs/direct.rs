//! Writing past the page cache.
//!
//! What is written once and read once or never would only push other pages out of the cache, and
//! be copied twice. A direct write takes memory, offsets and lengths that are aligned as the file
//! system says (`statx(2)`, `STATX_DIOALIGN`, since Linux 6.1); the rest has to go through the
//! cache. Linux keeps both ways coherent as long as they take turns.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, OFlags, StatxFlags};

/// What is asked of the memory of a direct write where the kernel does not say.
const CAUTIOUS_ALIGNMENT: u64 = 4096;

/// A file that is open for direct writes.
#[derive(Debug)]
pub(super) struct DirectFile {
    file: File,
    /// Addresses must be multiples of this; a power of two.
    memory: u64,
    /// Offsets and lengths must be multiples of this; a power of two.
    place: u64,
}

impl DirectFile {
    /// Opens an existing file once more; `None` where its file system takes no direct writes.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let direct = OFlags::DIRECT.bits().cast_signed();
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(direct)
            .open(path)
            .ok()?;
        let (memory, place) = alignment(&file)?;
        Some(Self {
            file,
            memory,
            place,
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether these slices can be written from `offset` on in this way.
    pub(super) fn takes(&self, slices: &[IoSlice<'_>], offset: u64) -> bool {
        // a bit below either alignment shows in the bits of all numbers together
        let (addresses, lengths) =
            slices
                .iter()
                .fold((0, offset), |(addresses, lengths), slice| {
                    (
                        addresses | slice.as_ptr() as u64,
                        lengths | slice.len() as u64,
                    )
                });
        addresses & (self.memory - 1) == 0 && lengths & (self.place - 1) == 0
    }
}

/// Of memory, and of offsets and lengths; `None` where direct writes are not supported.
fn alignment(file: &File) -> Option<(u64, u64)> {
    let told = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    if told.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Some((CAUTIOUS_ALIGNMENT, CAUTIOUS_ALIGNMENT));
    }
    let (memory, place) = (told.stx_dio_mem_align, told.stx_dio_offset_align);
    let is_supported = memory.is_power_of_two() && place.is_power_of_two();
    is_supported.then_some((memory.into(), place.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_aligned_is_not_taken() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        let direct = DirectFile {
            file: temp.reopen().unwrap(),
            memory: 64,
            place: 512,
        };
        let memory = vec![0_u8; 2048];
        let start = memory.as_ptr().align_offset(64);
        let taken = |from: usize, len: usize, offset| {
            let slices = [
                IoSlice::new(&memory[start..start + 512]),
                IoSlice::new(&memory[start + from..start + from + len]),
            ];
            direct.takes(&slices, offset)
        };
        assert!(taken(64, 1024, 1536));
        assert!(!taken(32, 1024, 1536));
        assert!(!taken(64, 1000, 1536));
        assert!(!taken(64, 1024, 1100));
    }
}

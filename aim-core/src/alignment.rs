//! What a file system asks of a direct write, which goes past the page cache.

use std::fs::File;

use rustix::fs::{AtFlags, StatxFlags};

/// What is asked where the kernel does not say: as much as any file system asks.
const CAUTIOUS: u32 = 4096;

/// Alignment of direct writes to a file, in bytes; each a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Addresses are multiples of this.
    memory: u64,
    /// Offsets and lengths are multiples of this.
    place: u64,
}

impl Alignment {
    /// As the kernel says (`statx(2)`, `STATX_DIOALIGN`, since Linux 6.1); `None` where the file takes no
    /// direct writes. Files on some file systems say nothing, and are asked for all.
    pub(crate) fn of(file: &File) -> Option<Self> {
        let told = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
        let is_told = StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::DIOALIGN);
        let (memory, place) = match is_told {
            true => (told.stx_dio_mem_align, told.stx_dio_offset_align),
            false => (CAUTIOUS, CAUTIOUS),
        };
        let is_supported = memory.is_power_of_two() && place.is_power_of_two();
        is_supported.then_some(Self {
            memory: memory.into(),
            place: place.into(),
        })
    }

    /// The same, with offsets and lengths of whole blocks of so many bytes, a power of two.
    pub(crate) fn in_blocks(self, block_size: u32) -> Self {
        let place = self.place.max(block_size.into());
        Self { place, ..self }
    }

    /// Whether these slices can be written directly, one after the other from `offset` on.
    pub(crate) fn takes<'a>(self, slices: impl IntoIterator<Item = &'a [u8]>, offset: u64) -> bool {
        // a bit below either alignment shows in the bits of all numbers together
        let (mut addresses, mut places) = (0, offset);
        for slice in slices {
            addresses |= slice.as_ptr().addr() as u64;
            places |= slice.len() as u64;
        }
        addresses & (self.memory - 1) == 0 && places & (self.place - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_aligned_is_not_taken() {
        let alignment = Alignment {
            memory: 64,
            place: 512,
        };
        let memory = vec![0_u8; 2048];
        let start = memory.as_ptr().align_offset(64);
        let taken = |from: usize, len: usize, offset| {
            let slices = [
                &memory[start..start + 512],
                &memory[start + from..start + from + len],
            ];
            alignment.takes(slices, offset)
        };
        assert!(taken(64, 1024, 1536));
        assert!(!taken(32, 1024, 1536));
        assert!(!taken(64, 1000, 1536));
        assert!(!taken(64, 1024, 1100));
        let slices = [&memory[start..start + 512]];
        assert!(!alignment.in_blocks(1024).takes(slices, 1024));
    }
}

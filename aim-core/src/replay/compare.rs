//! What a range of a device holds, as a digest.

use std::io;

use crate::device::BlockDevice;
use crate::format::checksum::PayloadHasher;
use crate::units::{ByteLen, ByteOffset};

/// Bytes that are read at once: a multiple of every block size.
const PIECE_BYTES: u64 = 1 << 20;

/// The digest of a range, as a verify record has it. The range is on the device.
pub(super) fn digest_of(
    device: &dyn BlockDevice,
    offset: ByteOffset,
    len: ByteLen,
) -> io::Result<u64> {
    let mut hasher = PayloadHasher::default();
    let mut piece = vec![0; len.get().min(PIECE_BYTES) as usize];
    let mut done = 0;
    while done < len.get() {
        let now = &mut piece[..(len.get() - done).min(PIECE_BYTES) as usize];
        device.read(ByteOffset(offset.get() + done), now)?;
        hasher.update(now);
        done += now.len() as u64;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemDevice;
    use crate::format::checksum::payload_checksum;

    #[test]
    fn a_long_range_is_digested_like_its_bytes_in_one() {
        let content: Vec<u8> = (0..3_u32 << 20).map(|i| (i % 251) as u8).collect();
        let device = MemDevice::with_content(content.clone(), 512);
        for (offset, len) in [(512, 512), (0, 3 << 20), (1024, (2 << 20) + 512)] {
            let found = digest_of(&device, ByteOffset(offset), ByteLen(len)).unwrap();
            let range = offset as usize..(offset + len) as usize;
            assert_eq!(found, payload_checksum(&content[range]));
        }
    }
}

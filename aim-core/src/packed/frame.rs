//! Frames of zstd.

use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::{PIECE_BYTES, UnpackError};

/// The first bytes of a frame.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Descriptor of a frame that is one segment, whose length follows in four bytes.
const ONE_SEGMENT: u8 = 0xa0;

/// Most bytes of a block.
const BLOCK_BYTES: usize = 128 << 10;

/// Bytes that a frame of plain blocks has besides its content.
const fn plain_overhead(len: usize) -> usize {
    MAGIC.len() + 5 + 3 * len.div_ceil(BLOCK_BYTES)
}

/// Most bytes that a writer stores for a piece of `len` bytes.
pub(super) const fn stored_max(len: usize) -> usize {
    len + plain_overhead(len)
}

/// Appends `raw` to `out` as one frame: compressed, or as it is where that saves less than a
/// twentieth, so that reading it costs nothing.
pub(super) fn put(
    compressor: &mut Compressor<'_>,
    raw: &[u8],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let start = out.len();
    let mut frame = vec![0; zstd_safe::compress_bound(raw.len())];
    let len = compressor.compress_to_buffer(raw, &mut frame[..])?;
    match len * 20 <= raw.len() * 19 {
        true => out.extend_from_slice(&frame[..len]),
        false => put_plain(raw, out),
    }
    debug_assert!(out.len() - start <= stored_max(raw.len()));
    Ok(())
}

fn put_plain(raw: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.push(ONE_SEGMENT);
    // a piece is far below 4 GiB, a block below 2 MiB
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    let mut blocks = raw.chunks(BLOCK_BYTES).peekable();
    while let Some(block) = blocks.next() {
        let is_last = u32::from(blocks.peek().is_none());
        let head = is_last | (block.len() as u32) << 3;
        out.extend_from_slice(&head.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
}

/// Decompresses piece `index`, which is one frame, into all of `raw` and no more.
pub(super) fn take(
    decompressor: &mut Decompressor<'_>,
    index: u64,
    stored: &[u8],
    raw: &mut [u8],
) -> Result<(), UnpackError> {
    debug_assert!(raw.len() <= PIECE_BYTES);
    let wrong = |reason: String| UnpackError::Frame {
        piece: index,
        reason,
    };
    let len = zstd_safe::find_frame_compressed_size(stored)
        .map_err(|code| wrong(zstd_safe::get_error_name(code).to_owned()))?;
    if len != stored.len() {
        return Err(wrong(format!(
            "{len} of {} bytes are a frame",
            stored.len()
        )));
    }
    let found = decompressor
        .decompress_to_buffer(stored, raw)
        .map_err(|error| wrong(error.to_string()))?;
    match found == raw.len() {
        true => Ok(()),
        false => Err(wrong(format!("it holds {found} bytes of {}", raw.len()))),
    }
}

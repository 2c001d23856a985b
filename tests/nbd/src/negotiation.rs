//! The first phase of a connection: the client asks for the export and learns its size.

use std::io::{self, Read, Write};

use crate::wire::{
    EXPORT_FLAGS, FIXED_NEWSTYLE, INFO_BLOCK_SIZE, INFO_EXPORT, MAGIC, MAX_OPTION, MAX_PAYLOAD,
    Message, NO_ZEROES, OPTION_ABORT, OPTION_EXPORT_NAME, OPTION_GO, OPTION_INFO, OPTION_MAGIC,
    OPTION_REPLY_MAGIC, REPLY_ACK, REPLY_INFO, REPLY_INVALID, REPLY_UNSUPPORTED, ReadNumbers,
    broken,
};

/// Smallest and preferred size of a request, bytes.
const BLOCK: [u32; 2] = [512, 4096];

/// Goes through the negotiation for an export of `size` bytes, whatever name the client asks for.
///
/// True if it ends with the export in use, false if the client wants no more.
pub(crate) fn negotiate(line: &mut (impl Read + Write), size: u64) -> io::Result<bool> {
    Message::default()
        .u64(MAGIC)
        .u64(OPTION_MAGIC)
        .u16(FIXED_NEWSTYLE | NO_ZEROES)
        .send(&mut *line)?;
    let flags = line.u32()?;
    let no_zeroes = flags & u32::from(NO_ZEROES) != 0;
    loop {
        let magic = line.u64()?;
        if magic != OPTION_MAGIC {
            return Err(broken(format!("{magic:#x} is no option")));
        }
        let option = line.u32()?;
        let len = line.u32()?;
        let data = line.payload(len, MAX_OPTION)?;
        let answer = |kind, data: &[u8]| answer(option, kind, data);
        match option {
            OPTION_EXPORT_NAME => {
                let tail: &[u8] = if no_zeroes { &[] } else { &[0; 124] };
                let export = Message::default().u64(size).u16(EXPORT_FLAGS).bytes(tail);
                return export.send(line).map(|()| true);
            }
            OPTION_ABORT => return answer(REPLY_ACK, &[]).send(line).map(|()| false),
            OPTION_INFO | OPTION_GO if is_whole(&data) => {
                answer(REPLY_INFO, &export_info(size)).send(&mut *line)?;
                answer(REPLY_INFO, &block_info()).send(&mut *line)?;
                answer(REPLY_ACK, &[]).send(&mut *line)?;
                if option == OPTION_GO {
                    return Ok(true);
                }
            }
            OPTION_INFO | OPTION_GO => answer(REPLY_INVALID, &[]).send(&mut *line)?,
            _ => answer(REPLY_UNSUPPORTED, &[]).send(&mut *line)?,
        }
    }
}

fn answer(option: u32, kind: u32, data: &[u8]) -> Message {
    Message::default()
        .u64(OPTION_REPLY_MAGIC)
        .u32(option)
        .u32(kind)
        .u32(data.len() as u32)
        .bytes(data)
}

fn export_info(size: u64) -> Vec<u8> {
    let info = Message::default().u16(INFO_EXPORT);
    info.u64(size).u16(EXPORT_FLAGS).into_bytes()
}

fn block_info() -> Vec<u8> {
    let info = Message::default().u16(INFO_BLOCK_SIZE);
    info.u32(BLOCK[0])
        .u32(BLOCK[1])
        .u32(MAX_PAYLOAD)
        .into_bytes()
}

/// Whether this is a name with its length, and a list of requests with theirs.
fn is_whole(mut data: &[u8]) -> bool {
    let mut check = || {
        let name = data.u32()?;
        data.payload(name, MAX_OPTION)?;
        let requests = data.u16()?;
        data.payload(u32::from(requests) * 2, MAX_OPTION)?;
        Ok::<_, io::Error>(data.is_empty())
    };
    check().unwrap_or(false)
}

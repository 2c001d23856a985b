//! Numbers of the protocol of network block devices, and how they go over the line.
//!
//! Only what the two phases of a connection need: the fixed newstyle negotiation and simple replies.
#![expect(
    clippy::big_endian_bytes,
    reason = "the protocol's numbers are big-endian"
)]

use std::io::{self, Read, Write};

pub(crate) const MAGIC: u64 = 0x4e42_444d_4147_4943; // "NBDMAGIC"
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054; // "IHAVEOPT"
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(crate) const REPLY_MAGIC: u32 = 0x6744_6698;

/// Bits of the negotiation, of server and client alike.
pub(crate) const FIXED_NEWSTYLE: u16 = 1 << 0;
pub(crate) const NO_ZEROES: u16 = 1 << 1;

pub(crate) const OPTION_EXPORT_NAME: u32 = 1;
pub(crate) const OPTION_ABORT: u32 = 2;
pub(crate) const OPTION_INFO: u32 = 6;
pub(crate) const OPTION_GO: u32 = 7;

pub(crate) const REPLY_ACK: u32 = 1;
pub(crate) const REPLY_INFO: u32 = 3;
pub(crate) const REPLY_UNSUPPORTED: u32 = (1 << 31) + 1;
pub(crate) const REPLY_INVALID: u32 = (1 << 31) + 3;

pub(crate) const INFO_EXPORT: u16 = 0;
pub(crate) const INFO_BLOCK_SIZE: u16 = 3;

/// What an export can do: it has flags, it flushes, forces unit access, trims and writes zeroes.
pub(crate) const EXPORT_FLAGS: u16 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6;

pub(crate) const COMMAND_READ: u16 = 0;
pub(crate) const COMMAND_WRITE: u16 = 1;
pub(crate) const COMMAND_DISCONNECT: u16 = 2;
pub(crate) const COMMAND_FLUSH: u16 = 3;
pub(crate) const COMMAND_TRIM: u16 = 4;
pub(crate) const COMMAND_WRITE_ZEROES: u16 = 6;

/// Flag of a command: durable before the reply.
pub(crate) const FORCE_UNIT_ACCESS: u16 = 1 << 0;

pub(crate) const ERROR_IO: u32 = 5;
pub(crate) const ERROR_INVALID: u32 = 22;

/// The longest read or write, bytes.
pub(crate) const MAX_PAYLOAD: u32 = 32 << 20;
/// The longest data of an option, bytes.
pub(crate) const MAX_OPTION: u32 = 64 << 10;

/// Reads numbers.
pub(crate) trait ReadNumbers: Read {
    fn u16(&mut self) -> io::Result<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes).map(|()| bytes)
    }

    /// So many bytes, of which there may be `most`.
    fn payload(&mut self, len: u32, most: u32) -> io::Result<Vec<u8>> {
        if len > most {
            return Err(broken(format!("{len} bytes where {most} are the most")));
        }
        let mut payload = vec![0; len as usize];
        self.read_exact(&mut payload).map(|()| payload)
    }
}

impl<R: Read + ?Sized> ReadNumbers for R {}

/// A message under construction; it goes out in one piece.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn u16(mut self, number: u16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn send(&self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&self.0)?;
        to.flush()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The other side does not keep to the protocol.
pub(crate) fn broken(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

//! The bytes of a journal file: bytes in, types out, no I/O.
//!
//! `docs/format.md` is the one normative description; the constants and structs here follow it.
//!
//! ```text
//! Header (4096 B) │ IOCB portion: 64-byte IOCBs │ Data portion: payloads, back to back
//! ```

pub mod checksum;
mod field;
mod header;
mod iocb;
pub mod limits;
mod raw_header;
mod sequence;

pub use checksum::{Digest, FileSeed};
pub use field::FieldError;
pub use header::{BASELINES, GROUPS, Header, HeaderError, Layout, Seal};
pub use iocb::{Iocb, IocbError, Kind, Payload};
pub use sequence::Sequence;

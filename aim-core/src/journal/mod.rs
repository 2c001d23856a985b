//! Journal files on a file system: names, writing, reading, recovery, verification.
//!
//! ```text
//!   create ──▶ OpenFile ── append, sync ──▶ seal ──▶ SealedFile ── publish ──▶ outgoing/NAME.aim
//!   an open file after a crash ──▶ recover ──▶ OpenFile, SealedFile, or nothing
//!   a file of unknown bytes ──▶ ParsedFile ──▶ VerifiedFile ──▶ records and payloads
//! ```

mod ahead;
mod chain;
mod content;
mod file_memory;
mod name;
mod pages;
mod read_error;
mod reader;
mod record;
mod salvage;
mod sealed;
mod verify;
mod write_error;
mod writer;

pub use chain::{LinkError, check_link, check_step, check_volume};
pub use file_memory::FileMemory;
pub use name::{FileName, InvalidName};
pub use read_error::ReadError;
pub use reader::{ParsedFile, VerifiedFile};
pub use record::{OpenSpec, Record};
pub use salvage::{RecoverError, Recovered, recover};
pub use sealed::SealedFile;
pub use verify::{
    ChainError, ChainFile, ChainLink, ChainReport, FileError, verify_chain, verify_file,
};
pub use write_error::WriteError;
pub use writer::OpenFile;

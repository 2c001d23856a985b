//! The seam to the mirror host: whole files by name, in a directory on the far side.
//!
//! ```text
//! shipper ── Transport ─┬─ SftpTransport ── sftp ── ssh ── any OpenSSH server
//!                       └─ LocalTransport ── a directory on a mounted file system
//! ```

mod bandwidth;
mod error;
mod interface;
mod link;
mod local;
mod name;
mod sftp;

pub use bandwidth::{Bandwidth, Hours, InvalidTime, TimeOfDay};
pub(crate) use error::pass;
pub use error::{Remedy, TransportError};
pub use interface::{Entry, Progress, Put, Transport};
pub use local::LocalTransport;
pub(crate) use name::PART;
pub use name::{InvalidName, Name};
pub use sftp::{SftpTransport, Survey};

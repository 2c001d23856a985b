//! The seam to the mirror host: whole files by name, in a directory on the far side.
//!
//! ```text
//! shipper ── Transport ─┬─ SftpTransport ── sftp ── ssh ── any OpenSSH server
//!                       ├─ StoreTransport ── HTTP ── any S3-compatible object store
//!                       └─ LocalTransport ── a directory on a mounted file system
//! ```

mod bandwidth;
mod error;
mod interface;
mod link;
mod local;
mod name;
mod sftp;
#[cfg(feature = "s3")]
mod store;

pub use bandwidth::{Bandwidth, Hours, InvalidTime, TimeOfDay};
pub use error::{Remedy, TransportError};
pub(crate) use error::{bytes_free, pass};
pub use interface::{Entry, Progress, Put, ReadAt, Transport};
pub use local::LocalTransport;
pub(crate) use name::PART;
pub use name::{InvalidName, Name};
pub use sftp::{SftpTransport, Survey};
#[cfg(feature = "s3")]
pub use store::StoreTransport;

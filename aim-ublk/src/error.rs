//! What can go wrong around a device: each error names the operation and the path or device.

use std::io;
use std::path::{Path, PathBuf};

use libublk::UblkError;

use crate::queue::QueueFailure;
use crate::users::User;

/// A failure to open a backing disk, or to start, run or stop a device.
///
/// The cause is in `source()`, never repeated in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else has the backing disk: mounted, claimed by another driver, or locked by
    /// another process (which may be one that was killed and whose last I/O is still landing).
    #[error("{} is in use by another process or mounted", path.display())]
    BackingBusy {
        /// The backing disk.
        path: PathBuf,
    },
    /// A control command was refused by the ublk driver.
    #[error("ublk driver: {command} for device `{device}`")]
    Control {
        /// What was asked of the driver.
        command: &'static str,
        /// Name of the device.
        device: String,
        /// Why.
        source: io::Error,
    },
    /// What waits for a successor is not what is configured.
    #[error("its {what} is {device}, here it is {configured}")]
    Differs {
        /// What differs.
        what: &'static str,
        /// As the waiting device has it.
        device: u64,
        /// As the disk or the configuration has it.
        configured: u64,
    },
    /// A system call on a path failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `read`.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device can't be stopped without harm, since it is in use. It goes on as it was.
    #[error("{} is in use: {}", path.display(), list(users))]
    InUse {
        /// The device that was to be stopped.
        path: PathBuf,
        /// Who was found to use it; never empty.
        users: Vec<User>,
    },
    /// A field of the configuration is out of its range.
    #[error("{field} = {value}: {reason}")]
    InvalidConfig {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        value: String,
        /// What is expected of it.
        reason: &'static str,
    },
    /// A live device can't be served any more. It was not stopped: its users wait for a process
    /// that takes it over, once this one has ended.
    #[error("{} is left to a successor", device.display())]
    LeftBehind {
        /// Its node.
        device: PathBuf,
        /// What ended the service.
        source: Box<Self>,
    },
    /// Another live device has this name.
    #[error("the name `{name}` belongs to the live device {}", device.display())]
    NameInUse {
        /// The name asked for.
        name: String,
        /// The device that has it.
        device: PathBuf,
    },
    /// The device of this name that waits for a server could not be taken over. It was not
    /// touched, and its users wait on.
    #[error("the device `{name}` waits at {} and can't be taken over", device.display())]
    NotTakenOver {
        /// The name asked for.
        name: String,
        /// Its node.
        device: PathBuf,
        /// Why not.
        source: Box<Self>,
    },
    /// The driver is not there: not built, or its module not loaded.
    #[error(
        "{} does not exist: the ublk driver is not loaded",
        crate::kernel::CONTROL
    )]
    NoDriver,
    /// The path is neither a block device nor a regular file.
    #[error("{} is neither a block device nor a regular file", path.display())]
    NotADisk {
        /// The path.
        path: PathBuf,
    },
    /// A queue thread could not be set up, or ended while the device was live.
    #[error("queue {queue} of device `{device}`: {operation}")]
    Queue {
        /// Name of the device.
        device: String,
        /// Which queue, from 0.
        queue: u16,
        /// What failed.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The disk is smaller than one block.
    #[error("{} has {size} bytes, less than one block of {block}", path.display())]
    TooSmall {
        /// The backing disk.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Its logical block size in bytes.
        block: u32,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            operation,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn driver(command: &'static str, device: &str, source: io::Error) -> Self {
        Self::Control {
            command,
            device: device.to_owned(),
            source,
        }
    }

    pub(crate) fn queue(device: &str, (queue, (operation, source)): QueueFailure) -> Self {
        Self::Queue {
            device: device.to_owned(),
            queue,
            operation,
            source,
        }
    }

    pub(crate) fn control(command: &'static str, device: &str, source: UblkError) -> Self {
        Self::Control {
            command,
            device: device.to_owned(),
            source: into_io(source),
        }
    }
}

/// The system's error behind a library error, where there is one.
pub(crate) fn into_io(error: UblkError) -> io::Error {
    match error {
        UblkError::IOError(source) => source,
        UblkError::UringIOError(code) | UblkError::OtherError(code) if code < 0 => {
            io::Error::from_raw_os_error(-code)
        }
        other => io::Error::other(other),
    }
}

fn list(users: &[User]) -> String {
    let names: Vec<String> = users.iter().map(User::to_string).collect();
    names.join(", ")
}

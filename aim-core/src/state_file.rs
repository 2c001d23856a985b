//! Small checksummed files that say who and how far: identities and cursors.
//!
//! Each is replaced as a whole by `write_atomic` of a [`Directory`], so after a crash it is the
//! old or the new one. Layout: `docs/format.md`, "State files".
//!
//! ```text
//! magic 8 B | version u32 | length u32 | body (fixed size) | xxh3-64 of all bytes before
//! ```

use std::io;

use crate::xxh3::xxh3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::fs::Directory;
use crate::units::VolumeId;

/// The one version of state files that exists.
const VERSION: u32 = 1;

/// A value that is kept in a small file of its own.
pub trait StateFile: Sized {
    /// Name of the file in its folder.
    const NAME: &'static str;

    /// The bytes of the file.
    fn encode(&self) -> Vec<u8>;

    /// Reads the bytes of the file.
    ///
    /// # Errors
    ///
    /// [`StateError`] for whatever is not exactly what [`encode`](Self::encode) gives.
    fn decode(bytes: &[u8]) -> Result<Self, StateError>;

    /// Reads the file from `directory`; `None` if it is not there.
    fn load(directory: &dyn Directory) -> Result<Option<Self>, StateError> {
        match directory.read_small(Self::NAME, FILE_BYTES_MAX) {
            Ok(bytes) => Self::decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io {
                name: Self::NAME,
                source,
            }),
        }
    }

    /// Replaces the file in `directory`; durable when this returns.
    fn store(&self, directory: &dyn Directory) -> Result<(), StateError> {
        let written = directory.write_atomic(Self::NAME, &self.encode());
        written.map_err(|source| StateError::Io {
            name: Self::NAME,
            source,
        })
    }
}

/// No state file is longer.
pub const FILE_BYTES_MAX: usize = 4096;

/// Why a state file can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system failed.
    #[error("{name}: {source}")]
    Io {
        /// The file.
        name: &'static str,
        /// What the file system said.
        source: io::Error,
    },
    /// It has another length than its kind.
    #[error("{name} has {found} bytes instead of {expected}")]
    Length {
        /// The file.
        name: &'static str,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// It begins like no file of this kind.
    #[error("{name} does not begin like such a file")]
    Magic {
        /// The file.
        name: &'static str,
    },
    /// It is of a version that this program does not know.
    #[error("{name} is of version {found}, this program knows version {VERSION}")]
    Version {
        /// The file.
        name: &'static str,
        /// The version that it states.
        found: u32,
    },
    /// Its bytes are not those that were written.
    #[error("{name} is damaged: checksum {found:016x} instead of {expected:016x}")]
    Checksum {
        /// The file.
        name: &'static str,
        /// Checksum of the bytes that are there.
        expected: u64,
        /// Checksum that is stored.
        found: u64,
    },
    /// It belongs to another volume.
    #[error("{name} belongs to volume {found}, not to {expected}")]
    Volume {
        /// The file.
        name: &'static str,
        /// The volume that was expected.
        expected: VolumeId,
        /// The volume that it names.
        found: VolumeId,
    },
    /// It holds a value that no writer writes.
    #[error("{name}: {field} has the impossible value {value}")]
    Value {
        /// The file.
        name: &'static str,
        /// Which value.
        field: &'static str,
        /// What it is.
        value: u64,
    },
}

/// What every state file begins with.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Preamble {
    magic: [u8; 8],
    version: U32,
    len: U32,
}

const PREAMBLE_BYTES: usize = size_of::<Preamble>();
const CHECKSUM_BYTES: usize = size_of::<U64>();

/// Puts a body between preamble and checksum.
pub(crate) fn frame<B: IntoBytes + Immutable>(magic: [u8; 8], body: &B) -> Vec<u8> {
    let len = PREAMBLE_BYTES + size_of::<B>() + CHECKSUM_BYTES;
    debug_assert!(len <= FILE_BYTES_MAX, "a state file of {len} bytes");
    let preamble = Preamble {
        magic,
        version: U32::new(VERSION),
        len: U32::new(len as u32),
    };
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(preamble.as_bytes());
    bytes.extend_from_slice(body.as_bytes());
    let checksum = U64::new(xxh3_64(&bytes));
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// Takes the body out of a file `name`, after everything around it was checked.
pub(crate) fn unframe<B>(name: &'static str, magic: [u8; 8], bytes: &[u8]) -> Result<B, StateError>
where
    B: FromBytes + Immutable + KnownLayout + Unaligned,
{
    let expected = PREAMBLE_BYTES + size_of::<B>() + CHECKSUM_BYTES;
    let length = StateError::Length {
        name,
        expected,
        found: bytes.len(),
    };
    let Ok((preamble, rest)) = Preamble::read_from_prefix(bytes) else {
        return Err(length);
    };
    if preamble.magic != magic {
        return Err(StateError::Magic { name });
    }
    if preamble.version.get() != VERSION {
        let found = preamble.version.get();
        return Err(StateError::Version { name, found });
    }
    let Ok((body, stored)) = B::read_from_prefix(rest) else {
        return Err(length);
    };
    let Ok(stored) = U64::read_from_bytes(stored) else {
        return Err(length);
    };
    let computed = xxh3_64(&bytes[..expected - CHECKSUM_BYTES]);
    if stored.get() != computed {
        return Err(StateError::Checksum {
            name,
            expected: computed,
            found: stored.get(),
        });
    }
    require_value(name, "length", preamble.len.get().into(), |len| {
        len == expected as u64
    })?;
    Ok(body)
}

/// Refuses a value that does not hold what every writer observes.
pub(crate) fn require_value(
    name: &'static str,
    field: &'static str,
    value: u64,
    holds: impl Fn(u64) -> bool,
) -> Result<(), StateError> {
    match holds(value) {
        true => Ok(()),
        false => Err(StateError::Value { name, field, value }),
    }
}

/// Refuses a file that belongs to another volume than `expected`.
pub(crate) fn require_volume(
    name: &'static str,
    found: VolumeId,
    expected: VolumeId,
) -> Result<(), StateError> {
    match found == expected {
        true => Ok(()),
        false => Err(StateError::Volume {
            name,
            expected,
            found,
        }),
    }
}

/// Refuses reserved bytes that are not zero.
pub(crate) fn require_zero(name: &'static str, reserved: &[u8]) -> Result<(), StateError> {
    let first = reserved.iter().find(|&&byte| byte != 0);
    let value = first.map_or(0, |&byte| byte.into());
    require_value(name, "a reserved byte", value, |value| value == 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Debug;

    use super::*;

    /// What every kind of state file must hold: the value comes back, and no altered or cut
    /// file is taken for it.
    pub(crate) fn assert_exact<S: StateFile + Debug + PartialEq>(value: &S) {
        let bytes = value.encode();
        assert!(bytes.len() <= FILE_BYTES_MAX);
        assert_eq!(&S::decode(&bytes).unwrap(), value);
        for at in 0..bytes.len() {
            assert!(S::decode(&bytes[..at]).is_err(), "cut at {at}");
            let mut altered = bytes.clone();
            altered[at] ^= 0x40;
            assert!(S::decode(&altered).is_err(), "flipped at {at}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(S::decode(&longer).is_err(), "longer by a byte");
    }
}

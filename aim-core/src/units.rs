//! Newtypes for the numbers that are easily confused.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The bare number, for arithmetic and for encoding.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Log sequence number: the place of a captured transaction in the one order of its volume.
    ///
    /// The first transaction of a series has LSN 1; 0 means "none yet". LSNs have no gaps.
    Lsn(u64)
}
number! {
    /// Distance in bytes from the start of a device.
    ByteOffset(u64)
}
number! {
    /// A number of bytes.
    ByteLen(u64)
}
number! {
    /// Raised at each promotion of a mirror; files of an older epoch are never applied.
    Epoch(u32)
}
number! {
    /// Place of a journal file in its series. The first file is 1; 0 means "none yet".
    FileNumber(u64)
}
number! {
    /// Nanoseconds since 1970-01-01 UTC, clamped so that it never goes back within a series.
    Timestamp(u64)
}

impl Lsn {
    /// The LSN that follows this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl FileNumber {
    /// The number of the file that follows this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl ByteOffset {
    /// The offset of the first byte after a range of `len` bytes, or `None` past 2^64 - 1.
    pub const fn end(self, len: ByteLen) -> Option<Self> {
        match self.0.checked_add(len.0) {
            Some(end) => Some(Self(end)),
            None => None,
        }
    }
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A fresh random (version 4) identity.
            pub fn generate() -> Self {
                Self(*uuid::Uuid::new_v4().as_bytes())
            }
        }

        impl fmt::Display for $name {
            /// 32 lower-case hexadecimal digits, as in file names.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_bytes(self.0).simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidUuid;

            /// Accepts the plain and the hyphenated form.
            fn from_str(text: &str) -> Result<Self, InvalidUuid> {
                match uuid::Uuid::try_parse(text) {
                    Ok(id) => Ok(Self(*id.as_bytes())),
                    Err(_) => Err(InvalidUuid(text.to_owned())),
                }
            }
        }
    };
}

uuid! {
    /// Identity of a volume: one mirrored disk, or a group of disks under one order.
    VolumeId
}
uuid! {
    /// Identity of one device of a volume; the mirror's device carries the same one.
    DeviceId
}
uuid! {
    /// Identity of one mirror of a volume.
    MirrorId
}

/// A text that should have been a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a UUID")]
pub struct InvalidUuid(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_round_trips() {
        let id = VolumeId::generate();
        assert_eq!(id.to_string().parse::<VolumeId>(), Ok(id));
        assert_eq!(id.to_string().len(), 32);
        assert!("not a uuid".parse::<DeviceId>().is_err());
    }

    #[test]
    fn range_end_does_not_wrap() {
        assert_eq!(ByteOffset(4).end(ByteLen(6)), Some(ByteOffset(10)));
        assert_eq!(ByteOffset(u64::MAX).end(ByteLen(1)), None);
    }
}

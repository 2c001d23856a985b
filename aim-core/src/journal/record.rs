//! What the writer is given: the start of a file, and transactions.

use crate::cursor::Position;
use crate::format::checksum::payload_checksum;
use crate::format::limits::MAX_PAYLOAD;
use crate::format::{FieldError, GROUPS, Header, Iocb, IocbError, Kind, Layout, Payload};
use crate::identity::VolumeIdentity;
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp};

/// What a new file starts with.
#[derive(Clone, Debug)]
pub struct OpenSpec {
    /// The volume, its devices, and the epoch that is written in.
    pub volume: VolumeIdentity,
    /// Just behind which file it stands: it gets the next number and the next LSN, and starts in
    /// the group that is open there.
    pub after: Position,
    /// How many records it has room for; rounded up to whole pages of 64.
    pub iocb_capacity: u32,
    /// Size at which it is full. One payload always fits, however small this is.
    pub target_size: ByteLen,
    /// The time now.
    pub created: Timestamp,
    /// Time of the last record before this file, 0 if unknown: times never go back behind it.
    pub floor: Timestamp,
}

/// One transaction to append, with its payload where the caller has it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Must follow the record before.
    pub lsn: Lsn,
    /// Which device of the volume; 0 for the ends of a group.
    pub device: u16,
    /// What it does.
    pub kind: Kind,
    /// Force unit access; only kept for kinds that change bytes.
    pub fua: bool,
    /// First byte on the device; 0 for a flush and for the ends of a group.
    pub offset: ByteOffset,
    /// Bytes from there; 0 for a flush and for the ends of a group.
    pub len: ByteLen,
    /// For a write exactly `len` bytes, otherwise empty.
    pub payload: &'a [u8],
    /// When it was captured. Where it is earlier than the record before, it is raised to that.
    pub time: Timestamp,
}

impl OpenSpec {
    pub(super) fn header(&self) -> Header {
        Header {
            compatible: 0,
            incompatible: match self.after.is_in_group() {
                true => GROUPS,
                false => 0,
            },
            volume: self.volume.clone(),
            number: self.after.file.next(),
            first_lsn: self.after.lsn.next(),
            previous: self.after.digest,
            open_group: self.after.open_group,
            layout: Layout::with_capacity(self.iocb_capacity),
            created: self.created.max(self.floor),
            seal: None,
        }
    }
}

impl Record<'_> {
    pub(super) fn iocb(&self, place: u64, floor: Timestamp) -> Iocb {
        let payload = (self.kind == Kind::Write).then(|| Payload {
            place,
            stored_size: self.payload.len() as u32,
            checksum: payload_checksum(self.payload),
        });
        Iocb {
            lsn: self.lsn,
            device: self.device,
            kind: self.kind,
            fua: self.fua && self.kind.changes_bytes(),
            offset: self.offset,
            len: self.len,
            payload,
            time: self.time.max(floor),
        }
    }

    /// The rest is for [`Sequence`](crate::format::Sequence) to check.
    pub(super) fn check_payload(&self) -> Result<(), IocbError> {
        let expected = match self.kind {
            Kind::Write => self.len.get(),
            _ => 0,
        };
        let found = self.payload.len() as u64;
        let field = "payload";
        if found != expected {
            return Err(IocbError::Field(FieldError::Exact {
                field,
                found,
                expected,
            }));
        }
        let most = MAX_PAYLOAD.into();
        match found <= most {
            true => Ok(()),
            false => Err(IocbError::Field(FieldError::High { field, found, most })),
        }
    }
}

//! From what is captured in the ring to what the journal takes.

use super::record::{Captured, Stage};
use super::staging::Staging;
use crate::format::Kind;
use crate::journal::Record;
use crate::units::{ByteLen, ByteOffset};

/// What is captured as the journal takes it, the payloads where they lie in the ring.
pub(super) fn staged_records<'a>(staging: &'a Staging, captured: &[Captured]) -> Vec<Record<'a>> {
    captured
        .iter()
        .map(|captured| {
            let kind = match captured.stage {
                Stage::Done => captured.kind,
                Stage::InFlight | Stage::Failed => Kind::Void,
            };
            staged_record(staging, captured, kind)
        })
        .collect()
}

/// A captured transaction as a record of this kind: its own, or one that stands in for it.
pub(super) fn staged_record<'a>(
    staging: &'a Staging,
    captured: &Captured,
    kind: Kind,
) -> Record<'a> {
    let is_own = kind == captured.kind;
    let payload = match kind {
        // SAFETY: the payload was frozen when it was admitted, and is thawed only after the
        // journal has taken the records that are made here.
        Kind::Write => unsafe { staging.payload(captured.payload, captured.len.get() as usize) },
        _ => &[],
    };
    let has_range = is_own || kind == Kind::Void;
    Record {
        lsn: captured.lsn,
        device: captured.device,
        kind,
        fua: captured.fua && is_own,
        offset: if has_range {
            captured.offset
        } else {
            ByteOffset(0)
        },
        len: if has_range { captured.len } else { ByteLen(0) },
        payload,
        time: captured.time,
    }
}

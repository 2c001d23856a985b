//! From what is captured in the ring to what the journal takes.

use super::record::{Captured, Stage};
use super::staging::Staging;
use crate::format::Kind;
use crate::journal::Record;

/// What is captured as the journal takes it, the payloads where they lie in the ring.
pub(super) fn staged_records<'a>(staging: &'a Staging, captured: &[Captured]) -> Vec<Record<'a>> {
    captured
        .iter()
        .map(|captured| staged_record(staging, captured))
        .collect()
}

fn staged_record<'a>(staging: &'a Staging, captured: &Captured) -> Record<'a> {
    let request = &captured.request;
    let kind = match captured.stage {
        Stage::Done => Kind::of(request.operation),
        Stage::InFlight | Stage::Failed => None,
    };
    let mut record = Record {
        lsn: captured.lsn,
        device: request.device,
        kind: Kind::Void,
        fua: false,
        offset: request.offset,
        len: request.len,
        payload: &[],
        time: captured.time,
    };
    if let Some(kind) = kind {
        record.kind = kind;
        record.fua = request.fua;
        if kind == Kind::Write {
            // SAFETY: the payload was frozen when it was admitted, and is thawed only after the
            // journal has taken the records that are made here.
            record.payload =
                unsafe { staging.payload(captured.payload, request.len.get() as usize) };
        }
    }
    record
}

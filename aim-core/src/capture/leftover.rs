//! What a killed process left in the staging ring.
//!
//! The ring outlives its process, so whatever was acknowledged and not yet drained is still
//! there: it is drained now, before anything new is captured. A request whose I/O was in flight
//! was never acknowledged; the disk may or may not have it. So it is not applied on the mirror,
//! and its range has to be copied.

use super::SeriesError;
use super::record::{Captured, RecordTable, Stage};
use super::series::Series;
use super::staged::staged_records;
use super::staging::Staging;
use crate::format::Kind;
use crate::request::Request;
use crate::units::Lsn;

/// Drains the ring of a predecessor into `series`, and makes that durable. Gives the ranges of
/// which nobody knows what the disk holds.
pub(super) fn drain(
    series: &mut Series,
    staging: &Staging,
    table: &RecordTable,
) -> Result<Vec<Request>, SeriesError> {
    let left = collect(series.last(), table);
    let mut rest = left.as_slice();
    while !rest.is_empty() {
        let count = series.append(&staged_records(staging, rest))?;
        rest = &rest[count..];
    }
    if let Some(last) = left.last() {
        series.sync()?;
        tracing::info!(
            transactions = left.len(),
            last = last.lsn.get(),
            "drained what a killed process left in the staging ring"
        );
    }
    let unknown = left.iter().filter(|captured| captured.stage != Stage::Done);
    Ok(unknown
        .map(|captured| Request {
            device: captured.device,
            ..Request::write(captured.offset, captured.len)
        })
        .collect())
}

/// Everything in the table behind `last`.
///
/// Records are entered in LSN order under the gate's lock, so the first LSN without a record is
/// the first that was never given. Whether a group may begin or end is for whoever knows what has
/// to be copied: this is left to the start that follows. A baseline ends with the process.
fn collect(last: Lsn, table: &RecordTable) -> Vec<Captured> {
    let first = last.next().get();
    (first..first + table.capacity())
        .map_while(|lsn| table.get(Lsn(lsn)))
        .map(|captured| match captured.kind {
            kind if kind.is_mark() => Captured {
                kind: Kind::Void,
                ..captured
            },
            _ => captured,
        })
        .collect()
}

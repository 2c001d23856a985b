//! What a killed process left in the staging ring.
//!
//! The ring outlives its process, so whatever was acknowledged and not yet drained is still
//! there: it is drained now, before anything new is captured. A request whose I/O was in flight
//! was never acknowledged; the disk may or may not have it, so it is not applied on the mirror
//! and the volume says that it is uncertain.

use super::SeriesError;
use super::record::{Captured, RecordTable, Stage};
use super::series::Series;
use super::staged::staged_records;
use super::staging::Staging;
use crate::units::Lsn;

/// Drains the ring of a predecessor into `series`, and makes that durable.
pub(super) fn drain(
    series: &mut Series,
    staging: &Staging,
    table: &RecordTable,
) -> Result<(), SeriesError> {
    let left = collect(series.last(), table);
    let interrupted = left
        .iter()
        .filter(|captured| captured.stage == Stage::Failed)
        .count();
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
    if interrupted > 0 {
        series.note_uncertain(&format!(
            "the process was killed with {interrupted} requests in flight on the disk"
        ));
    }
    Ok(())
}

/// Everything in the table behind `last`. What was in flight counts as failed.
///
/// Records are entered in LSN order under the sequencer's lock, so the first LSN without a record
/// is the first that was never given.
fn collect(last: Lsn, table: &RecordTable) -> Vec<Captured> {
    let first = last.next().get();
    (first..first + table.capacity())
        .map_while(|lsn| table.get(Lsn(lsn)))
        .map(|captured| match captured.stage {
            Stage::InFlight => Captured {
                stage: Stage::Failed,
                ..captured
            },
            Stage::Done | Stage::Failed => captured,
        })
        .collect()
}

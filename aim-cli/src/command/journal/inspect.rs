//! `aim journal inspect`: header and records of one file.

use serde::Serialize;

use super::files;
use super::record::{HeaderView, RecordView};
use crate::args::{JournalInspectArgs, Output};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

/// Runs the command. Payloads are not read: `verify` does that.
pub(super) fn inspect(args: &JournalInspectArgs, out: &Output) -> Outcome {
    let file = files::parse(&args.file)?;
    let header = HeaderView::new(&file);
    let records = match args.header {
        true => None,
        false => {
            let iocbs = file
                .iocbs()
                .map_err(|error| files::refused(&args.file, &error))?;
            Some(iocbs.iter().map(RecordView::new).collect::<Vec<_>>())
        }
    };
    if out.json {
        #[derive(Serialize)]
        struct Whole {
            header: HeaderView,
            #[serde(skip_serializing_if = "Option::is_none")]
            records: Option<Vec<RecordView>>,
        }
        output::json(&Whole { header, records })?;
    } else {
        print_header(&header)?;
        print_records(records.as_deref().unwrap_or_default())?;
    }
    Ok(Exit::Success)
}

fn print_header(header: &HeaderView) -> Outcome<()> {
    let unknown = || "not yet".to_owned();
    let number = |value: Option<u64>| value.map_or_else(unknown, |value| value.to_string());
    let rows = [
        ("name", header.name.clone()),
        ("state", header.state.to_owned()),
        ("volume id", header.volume_id.clone()),
        ("epoch", header.epoch.to_string()),
        ("file number", header.file_number.to_string()),
        ("first LSN", header.first_lsn.to_string()),
        ("last LSN", number(header.last_lsn)),
        ("records", number(header.records.map(u64::from))),
        ("in a group", group(header)),
        ("total size", header.total_size.to_string()),
        (
            "IOCB portion",
            format!(
                "at {}, room for {}",
                header.iocb_offset, header.iocb_capacity
            ),
        ),
        (
            "data portion",
            format!(
                "at {}, bytes: {}",
                header.data_offset,
                number(header.data_len)
            ),
        ),
        ("created", header.created.clone()),
        ("sealed", header.sealed.clone().unwrap_or_else(unknown)),
        ("digest before", header.previous_digest.clone()),
        ("digest", header.digest.clone().unwrap_or_else(unknown)),
    ];
    for (name, value) in rows {
        output::line(format!("{name:<14} {value}"))?;
    }
    for (index, device) in header.devices.iter().enumerate() {
        output::line(format!(
            "device {index:<7} {}, {} bytes, blocks of {}",
            device.id, device.size, device.block_size
        ))?;
    }
    Ok(())
}

/// Of which group a part is in the file.
fn group(header: &HeaderView) -> String {
    let of = |lsn| format!("of LSN {lsn}");
    let start = header.open_group_lsn.map(of);
    let end = header.open_group_at_end_lsn.map(of);
    match (start, end) {
        (None, None) => "neither at its start nor at its end".to_owned(),
        (Some(start), None) => format!("at its start, {start}"),
        (None, Some(end)) => format!("at its end, {end}"),
        (Some(start), Some(end)) if start == end => format!("all of it, {start}"),
        (Some(start), Some(end)) => format!("at its start, {start}, and at its end, {end}"),
    }
}

fn print_records(records: &[RecordView]) -> Outcome<()> {
    if records.is_empty() {
        return Ok(());
    }
    output::line(format!(
        "\n{:>10} {:<21} {:>3} {:>16} {:>12} {:>12}  TIME",
        "LSN", "OPERATION", "DEV", "OFFSET", "LENGTH", "DATA AT"
    ))?;
    for record in records {
        let place = record
            .data_place
            .map_or_else(|| "-".to_owned(), |at| at.to_string());
        let fua = if record.fua { " (FUA)" } else { "" };
        let digest = record.digest.as_ref();
        let digest = digest.map(|digest| format!("  digest {digest}"));
        output::line(format!(
            "{:>10} {:<21} {:>3} {:>16} {:>12} {place:>12}  {}{}",
            record.lsn,
            format!("{}{fua}", record.operation),
            record.device,
            record.offset,
            record.length,
            record.time,
            digest.unwrap_or_default()
        ))?;
    }
    Ok(())
}

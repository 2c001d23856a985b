//! `aim journal ls`: the files of a directory in series order.

use std::path::Path;

use serde::Serialize;

use super::files::{self, Stage};
use super::record::HeaderView;
use crate::args::{JournalLsArgs, Output};
use crate::config::Size;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

/// One line of the list.
#[derive(Debug, Serialize)]
struct Row {
    path: String,
    /// `sealed`, `open`, `arriving` or `damaged`.
    state: &'static str,
    /// Whether it is packed.
    packed: bool,
    /// What it takes where it lies.
    bytes: u64,
    epoch: Option<u32>,
    file_number: Option<u64>,
    first_lsn: Option<u64>,
    last_lsn: Option<u64>,
    records: Option<u32>,
    /// LSN of the group begin of the group in which the file starts.
    open_group_lsn: Option<u64>,
    /// LSN of the group begin of the group in which a sealed file ends.
    open_group_at_end_lsn: Option<u64>,
    /// LSN of the baseline begin with which a sealed file begins.
    baseline_begun_lsn: Option<u64>,
    created: Option<String>,
    error: Option<String>,
}

/// Runs the command. Only headers are read.
pub(super) fn ls(args: &JournalLsArgs, out: &Output) -> Outcome {
    let paths = files::find(std::slice::from_ref(&args.directory))?;
    let rows: Vec<Row> = paths.iter().map(|path| row(path)).collect();
    if out.json {
        output::json(&rows)?;
    } else {
        print(&rows, &args.directory)?;
    }
    match rows.iter().any(|row| row.state == "damaged") {
        true => Ok(Exit::Mismatch),
        false => Ok(Exit::Success),
    }
}

fn row(path: &Path) -> Row {
    let mut row = Row {
        path: path.display().to_string(),
        state: "damaged",
        packed: files::is_packed(path),
        bytes: path.metadata().map_or(0, |facts| facts.len()),
        epoch: None,
        file_number: None,
        first_lsn: None,
        last_lsn: None,
        records: None,
        open_group_lsn: None,
        open_group_at_end_lsn: None,
        baseline_begun_lsn: None,
        created: None,
        error: None,
    };
    if files::stage(path) == Some(Stage::Arriving) {
        row.state = "arriving";
        return row;
    }
    match files::parse(path) {
        Ok(file) => {
            let header = HeaderView::new(&file);
            row.state = header.state;
            row.epoch = Some(header.epoch);
            row.file_number = Some(header.file_number);
            row.first_lsn = Some(header.first_lsn);
            row.last_lsn = header.last_lsn;
            row.records = header.records;
            row.open_group_lsn = header.open_group_lsn;
            row.open_group_at_end_lsn = header.open_group_at_end_lsn;
            row.baseline_begun_lsn = header.baseline_begun_lsn;
            row.created = Some(header.created);
        }
        Err(failure) => {
            let causes = failure
                .problems
                .into_iter()
                .flat_map(|problem| problem.causes);
            row.error = Some(causes.collect::<Vec<_>>().join(": "));
        }
    }
    row
}

fn print(rows: &[Row], directory: &Path) -> Outcome<()> {
    output::line(format!(
        "{:>8} {:<8} {:>10} {:>10} {:>8} {:>10}  {:<27} FILE",
        "NUMBER", "STATE", "FIRST LSN", "LAST LSN", "RECORDS", "SIZE", "CREATED"
    ))?;
    for row in rows {
        let path = Path::new(&row.path);
        let short = path.strip_prefix(directory).unwrap_or(path);
        let error = row.error.as_ref().map(|error| format!(": {error}"));
        let base = row.baseline_begun_lsn;
        let base = base.map(|_| " (begins with a baseline)");
        let group = row.open_group_at_end_lsn;
        let group = group.map(|lsn| format!(" (ends in the group of LSN {lsn})"));
        output::line(format!(
            "{:>8} {:<8} {:>10} {:>10} {:>8} {:>10}  {:<27} {}{}{}{}",
            cell(row.file_number),
            row.state,
            cell(row.first_lsn),
            cell(row.last_lsn),
            cell(row.records),
            Size(row.bytes).to_string(),
            row.created.as_deref().unwrap_or("-"),
            short.display(),
            base.unwrap_or_default(),
            group.unwrap_or_default(),
            error.unwrap_or_default(),
        ))?;
    }
    Ok(())
}

fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

//! `aim journal verify`: every byte of the files, and that they follow each other.

use std::path::Path;

use serde::Serialize;

use super::files::{self, Stage};
use super::record::group;
use super::series::{Link, Series};
use crate::args::{JournalVerifyArgs, Output};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

/// What was found of one file.
#[derive(Debug, Serialize)]
struct Row {
    path: String,
    /// `ok`, `open`, `arriving`, `damaged` or `gap`.
    result: &'static str,
    records: Option<usize>,
    last_lsn: Option<u64>,
    /// LSN of the group begin of the group in which the file ends.
    open_group_at_end_lsn: Option<u64>,
    error: Option<String>,
}

/// Runs the command.
pub(super) fn verify(args: &JournalVerifyArgs, out: &Output) -> Outcome {
    let paths = files::find(&args.paths)?;
    let mut series = Series::default();
    let mut rows = Vec::new();
    for path in &paths {
        let row = check(path, &mut series);
        if !out.json {
            print(&row)?;
        }
        rows.push(row);
    }
    let count = |result| rows.iter().filter(|row| row.result == result).count();
    let (damaged, gaps) = (count("damaged"), count("gap"));
    if out.json {
        #[derive(Serialize)]
        struct All<'a> {
            ok: bool,
            files: &'a [Row],
        }
        output::json(&All {
            ok: damaged + gaps == 0,
            files: &rows,
        })?;
    } else {
        let whole = count("ok");
        if let Some(lsn) = rows.last().and_then(|row| row.open_group_at_end_lsn) {
            output::line(format!(
                "the group of LSN {lsn} has no end yet: no mirror takes a part of it"
            ))?;
        }
        output::line(format!(
            "{whole} ok, {damaged} damaged, {gaps} out of series"
        ))?;
    }
    Ok(match (damaged, gaps) {
        (0, 0) => Exit::Success,
        (0, _) => Exit::Gap,
        _ => Exit::Mismatch,
    })
}

fn check(path: &Path, series: &mut Series) -> Row {
    let mut row = Row {
        path: path.display().to_string(),
        result: "damaged",
        records: None,
        last_lsn: None,
        open_group_at_end_lsn: None,
        error: None,
    };
    match files::stage(path) {
        Some(Stage::Arriving) => row.result = "arriving",
        Some(Stage::Open) => check_open(path, &mut row),
        _ => match files::verify(path) {
            Ok(file) => {
                row.result = "ok";
                row.records = Some(file.records().len());
                row.last_lsn = Some(file.last_lsn().get());
                row.open_group_at_end_lsn = group(file.position().open_group);
                if let Link::Broken(why) = series.add(&file) {
                    row.result = "gap";
                    let base = match file.header().begins_baseline() {
                        true => "; it begins with a baseline, at which a mirror goes on",
                        false => "",
                    };
                    row.error = Some(format!("{why}{base}"));
                }
            }
            Err(failure) => {
                let causes = failure
                    .problems
                    .into_iter()
                    .flat_map(|problem| problem.causes);
                row.error = Some(causes.collect::<Vec<_>>().join(": "));
                // what follows a damaged file can't be judged by it
                series.forget();
            }
        },
    }
    row
}

/// An open file is good up to its last good record; that there are more bytes is normal.
fn check_open(path: &Path, row: &mut Row) {
    match files::parse(path) {
        Ok(file) => {
            let iocbs = file.iocbs().unwrap_or_default();
            row.result = "open";
            row.records = Some(iocbs.len());
            row.last_lsn = iocbs.last().map(|iocb| iocb.lsn.get());
        }
        Err(failure) => row.error = Some(failure.to_string()),
    }
}

fn print(row: &Row) -> Outcome<()> {
    let records = row
        .records
        .map(|records| format!(", records: {records}"))
        .unwrap_or_default();
    let error = row.error.as_ref().map(|error| format!(": {error}"));
    output::line(format!(
        "{:<8} {}{records}{}",
        row.result,
        row.path,
        error.unwrap_or_default()
    ))
}

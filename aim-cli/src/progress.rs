//! Progress of what takes a while, for people: on stderr, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Output;

/// A bar up to `total` transactions; shows nothing with `--json` or without a terminal.
pub(crate) fn transactions(out: &Output, total: u64) -> ProgressBar {
    bar(
        out,
        total,
        "{bar:30} {pos}/{len} transactions, {elapsed}, {msg}",
    )
}

/// A bar up to `total` bytes of journal files; shows nothing with `--json` or without a terminal.
pub(crate) fn bytes(out: &Output, total: u64) -> ProgressBar {
    let line = "{bar:30} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    bar(out, total, line)
}

/// The same, with a word on which file it is.
pub(crate) fn files(out: &Output, total: u64) -> ProgressBar {
    let line =
        "{bar:30} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left, {msg}";
    bar(out, total, line)
}

/// A bar over bytes of a disk, with a word on what is in the way; its length is set later. Shows
/// nothing with `--json` or without a terminal.
pub(crate) fn disk(out: &Output) -> ProgressBar {
    let line = "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes}, {msg}";
    bar(out, 0, line)
}

fn bar(out: &Output, total: u64, line: &str) -> ProgressBar {
    if out.json {
        return ProgressBar::hidden();
    }
    // indicatif draws on stderr, and not at all where that is no terminal
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template(line) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

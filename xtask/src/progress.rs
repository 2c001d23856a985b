//! What a task says while it works: on stderr, so that the output of what it runs stays clean.

use std::io::IsTerminal;
use std::time::Duration;

/// Announces a step that may take a while.
pub(crate) fn step(words: &str) {
    line("1;36", "==>", words);
}

/// Tells of something within a step.
pub(crate) fn detail(words: &str) {
    line("36", "  ->", words);
}

/// Says what went wrong.
pub(crate) fn complain(words: &str) {
    line("1;31", "error:", words);
}

/// `1 min 5 s`.
pub(crate) fn spelled(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn line(colour: &str, mark: &str, words: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[{colour}m{mark}\x1b[0m {words}");
    } else {
        eprintln!("{mark} {words}");
    }
}

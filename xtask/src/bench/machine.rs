//! Where and when it was measured: what stands above a table in a document.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;

use serde::Serialize;

/// The machine and the day.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    processors: usize,
    host_kernel: String,
    guest_kernel: Option<String>,
}

impl Machine {
    /// This one, today, and the release of a guest's kernel.
    pub(crate) fn here(guest_kernel: Option<String>) -> Self {
        let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
        let date = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.map(|rest| rest.trim_start_matches([' ', '\t', ':']));
        Self {
            date: date.unwrap_or_default(),
            processor: model.unwrap_or("unknown processor").to_owned(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            host_kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            guest_kernel,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        Self {
            date: "2026-01-02".to_owned(),
            processor: "abacus".to_owned(),
            processors: 1,
            host_kernel: "6".to_owned(),
            guest_kernel: None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            processor,
            processors,
            host_kernel,
            ..
        } = self;
        write!(f, "{date}; {processors} x {processor}, Linux {host_kernel}")?;
        match &self.guest_kernel {
            Some(kernel) => write!(f, "; guest with Linux {kernel}"),
            None => Ok(()),
        }
    }
}

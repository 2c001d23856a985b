//! The tests that need ublk, in a guest.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aim_vm::{Accel, Disk, Exit, Guest, Kernel};

use crate::outcome::Result;
use crate::progress::complain;
use crate::setup;
use crate::test::tally::Counter;

/// Disks of the tests, in bytes: source, mirror, and one for journals.
///
/// mkfs.xfs makes nothing under 300 MiB.
pub(crate) const DISKS: [u64; 3] = [320 << 20, 320 << 20, 1 << 30];
/// How the tests learn of their disks: paths with spaces between them.
pub(crate) const DISKS_VARIABLE: &str = "AIM_TEST_DISKS";
/// How the tests learn of the program under test.
pub(crate) const PROGRAM_VARIABLE: &str = "AIM_TEST_PROGRAM";
/// Emulated and on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2700);

/// What runs in the guest.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The test program.
    pub(crate) tests: PathBuf,
    /// The program under test.
    pub(crate) aim: PathBuf,
}

impl Programs {
    /// The test program's command line.
    pub(crate) fn command(&self, filter: Option<&str>) -> Vec<String> {
        // one after another: they share the disks
        let words = ["--test-threads=1"]
            .into_iter()
            .chain(filter)
            .map(str::to_owned);
        [self.tests.display().to_string()]
            .into_iter()
            .chain(words)
            .collect()
    }
}

/// Runs the tests on `kernel`; true if they passed. No guest is an error.
pub(crate) fn run(
    programs: &Programs,
    kernel: Kernel,
    accel: Accel,
    filter: Option<&str>,
    counter: Counter,
) -> Result<bool> {
    let image = setup::kernel(kernel)?;
    let mut guest = Guest::new(&image, programs.command(filter))
        .accel(accel)
        .memory_mib(2048)
        .timeout(TIMEOUT)
        .env(DISKS_VARIABLE, "/dev/vda /dev/vdb /dev/vdc")
        .env(PROGRAM_VARIABLE, &programs.aim.display().to_string());
    for bytes in DISKS {
        guest = guest.disk(Disk::Scratch(bytes));
    }
    match guest.spawn(counter, io::stderr())?.wait()? {
        Exit::Status(status) => return Ok(status == 0),
        Exit::TimedOut => complain(&format!("killed after {} s", TIMEOUT.as_secs())),
        Exit::Died(words) => complain(&format!("the guest died; its last words:\n{words}")),
    }
    Ok(false)
}

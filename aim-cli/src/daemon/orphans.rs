//! Processes that the program started which this process executed before (`aim upgrade`).
//!
//! They are children of this process all the same: an `ssh` whose stream ended with the old
//! program ends soon, and would stay as a zombie if nobody asked for it.

use rustix::process::{Pid, WaitOptions, waitpid};

/// The children that this process began with.
#[derive(Debug)]
pub(crate) struct Orphans(Vec<Pid>);

impl Orphans {
    /// To be called before this program starts any itself: those are waited for by whoever
    /// started them.
    pub(crate) fn find() -> Self {
        let own = std::process::id();
        // not every kernel tells; then they stay zombies until this process ends
        let list = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
        let pids = list.unwrap_or_default();
        let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
        Self(pids.filter_map(Pid::from_raw).collect())
    }

    /// Waits for their ends, on a thread of its own.
    pub(crate) fn reap(self) {
        if self.0.is_empty() {
            return;
        }
        let thread = std::thread::Builder::new().name("aim-orphans".to_owned());
        let started = thread.spawn(move || {
            for pid in self.0 {
                if let Err(error) = waitpid(Some(pid), WaitOptions::empty()) {
                    tracing::debug!(%error, "a child was not there any more");
                }
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "children of the program before stay zombies");
        }
    }
}

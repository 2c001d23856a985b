//! Stopping at a failpoint, for tests.

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Failpoint;

/// Names the failpoint at which the process is to end, and which time.
const VARIABLE: &str = "AIM_FAILPOINT";

type Watcher = Box<dyn FnMut(Failpoint) -> io::Result<()>>;

thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Asks `watcher` at each failpoint that this thread reaches, until the returned value is
/// dropped. There is one at a time.
pub fn watch(watcher: impl FnMut(Failpoint) -> io::Result<()> + 'static) -> Watch {
    WATCHER.set(Some(Box::new(watcher)));
    Watch(())
}

/// Ends the watch of [`watch`] when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Watch(());

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHER.set(None);
    }
}

pub(super) fn reach(point: Failpoint) -> io::Result<()> {
    static FATAL: OnceLock<Option<Fatal>> = OnceLock::new();
    if let Some(fatal) = FATAL.get_or_init(Fatal::from_environment) {
        fatal.reach(point);
    }
    // a watcher that comes by a failpoint itself is not asked
    let Some(mut watcher) = WATCHER.take() else {
        return Ok(());
    };
    let answer = watcher(point);
    WATCHER.set(Some(watcher));
    answer
}

/// Where the process ends.
#[derive(Debug)]
struct Fatal {
    point: Failpoint,
    times: AtomicU64,
}

impl Fatal {
    /// # Panics
    ///
    /// If the variable names no failpoint: a test must not pass because of a misspelling.
    fn from_environment() -> Option<Self> {
        let text = std::env::var(VARIABLE).ok()?;
        let parsed = Self::parse(&text);
        assert!(parsed.is_some(), "{VARIABLE}={text} names no failpoint");
        parsed
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let points = Failpoint::ALL.iter().copied();
        let point = points.into_iter().find(|point| point.name() == name)?;
        let times = times.parse().ok().filter(|times| *times > 0)?;
        Some(Self {
            point,
            times: AtomicU64::new(times),
        })
    }

    fn reach(&self, point: Failpoint) {
        if point == self.point && self.times.fetch_sub(1, Ordering::SeqCst) == 1 {
            eprintln!("{VARIABLE}: stopped at {point}");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_asked_on_its_own_thread_while_it_watches() {
        let watching = watch(|point| match point {
            Failpoint::SealCursor => Err(io::Error::other("stopped")),
            _ => Ok(()),
        });
        assert!(reach(Failpoint::SealSynced).is_ok());
        assert!(reach(Failpoint::SealCursor).is_err());
        let elsewhere = std::thread::spawn(|| reach(Failpoint::SealCursor).is_ok());
        assert!(elsewhere.join().unwrap());
        drop(watching);
        assert!(reach(Failpoint::SealCursor).is_ok());
    }

    #[test]
    fn the_environment_names_a_failpoint_and_which_time() {
        let parsed = |text| Fatal::parse(text).map(|fatal| (fatal.point, fatal.times.into_inner()));
        assert_eq!(parsed("seal.cursor"), Some((Failpoint::SealCursor, 1)));
        assert_eq!(parsed("apply.intent:3"), Some((Failpoint::ApplyIntent, 3)));
        for wrong in ["", "seal", "seal.cursor:", "seal.cursor:0", "seal.cursor:x"] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}

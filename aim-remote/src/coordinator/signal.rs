//! Waking and stopping a coordinator.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What a coordinator waits on. Hints may be spurious; a stop is for good.
#[derive(Debug)]
pub(crate) struct Signal {
    hinted: Mutex<bool>,
    condvar: Condvar,
    hint: tokio::sync::Notify,
    stopped: watch::Sender<bool>,
}

impl Default for Signal {
    fn default() -> Self {
        Self {
            hinted: Mutex::default(),
            condvar: Condvar::new(),
            hint: tokio::sync::Notify::new(),
            stopped: watch::Sender::new(false),
        }
    }
}

impl Signal {
    /// There may be something to do.
    pub(crate) fn hint(&self) {
        *self.hinted() = true;
        self.condvar.notify_all();
        self.hint.notify_one();
    }

    /// It shall end.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        self.hint();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Returns when hinted or stopped, or at last after `at_most`. Says whether it was hinted.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let mut hinted = self.hinted();
        if !*hinted {
            let waited = self.condvar.wait_timeout(hinted, at_most);
            hinted = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut *hinted)
    }

    /// Returns when stopped, or after `at_most`: hints don't shorten it.
    pub(crate) fn pause(&self, at_most: Duration) {
        let end = Instant::now() + at_most;
        while !self.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait(left);
        }
    }

    /// Like [`wait`](Self::wait), in a task.
    pub(crate) async fn wait_async(&self, at_most: Duration) {
        tokio::select! {
            () = self.hint.notified() => {}
            () = self.stopped() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    /// Like [`pause`](Self::pause), in a task.
    pub(crate) async fn pause_async(&self, at_most: Duration) {
        tokio::select! {
            () = self.stopped() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    /// Returns when stopped.
    pub(crate) async fn stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // the sender lives as long as `self`
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    fn hinted(&self) -> MutexGuard<'_, bool> {
        self.hinted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

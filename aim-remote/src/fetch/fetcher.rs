//! The coordinator itself: a thread that goes round.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aim_core::clock::{Clock, SystemClock};

use super::round::{FetchRounds, Fetched};
use super::status::Shared;
use super::{FetchError, FetchStatus};
use crate::coordinator::{Backoff, Signal, Trouble};
use crate::file_io;
use crate::transport::ReadAt;

/// How often a fetcher looks, and how patient it is.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// Between two looks into the store.
    pub poll: Duration,
    /// Before the second try of something that failed.
    pub first_retry: Duration,
    /// The longest between two tries.
    pub last_retry: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            first_retry: Duration::from_millis(500),
            last_retry: Duration::from_secs(60),
        }
    }
}

/// The coordinator that brings files from a store, running on a thread of its own. Dropping it
/// stops it.
#[derive(Debug)]
pub struct Fetcher {
    signal: Arc<Signal>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Fetcher {
    /// Starts to go these rounds.
    ///
    /// # Errors
    ///
    /// Only if no thread can be had: everything else is retried, and shows in the status.
    pub fn start<T: ReadAt>(mut rounds: FetchRounds<T>, options: FetchOptions) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let shared = Arc::clone(rounds.shared());
        let thread = std::thread::Builder::new().name("aim-fetch".to_owned());
        let thread = thread.spawn({
            let signal = Arc::clone(&signal);
            move || {
                let ran = file_io::run_blocking(|_| run(&mut rounds, &signal, options));
                if let Err(error) = ran {
                    tracing::error!(%error, "the fetcher has no runtime");
                }
            }
        })?;
        Ok(Self {
            signal,
            shared,
            thread: Some(thread),
        })
    }

    /// How it is going.
    pub fn status(&self) -> FetchStatus {
        self.shared.snapshot()
    }

    /// Asks it to stop, without waiting.
    pub fn request_stop(&self) {
        self.signal.stop();
    }

    fn end(&mut self) {
        self.signal.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the fetcher panicked");
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run<T: ReadAt>(rounds: &mut FetchRounds<T>, signal: &Signal, options: FetchOptions) {
    let shared = Arc::clone(rounds.shared());
    let mut backoff = Backoff::new(options.first_retry, options.last_retry);
    while !signal.is_stopped() {
        let ended = tokio::select! {
            ended = rounds.round() => ended,
            () = signal.stopped() => break,
        };
        match ended {
            Ok(fetched) => {
                backoff.reset();
                note_success(&shared);
                if fetched == Fetched::Nothing {
                    signal.wait_async(options.poll).await;
                }
            }
            Err(error) => {
                let delay = backoff.next();
                note_failure(&shared, error, delay);
                signal.pause_async(delay).await;
            }
        }
    }
}

fn note_success(shared: &Shared) {
    shared.update(|status| {
        if let Some(trouble) = status.trouble.take() {
            let attempts = trouble.attempts;
            tracing::info!(place = status.place, attempts, "fetching goes on");
        }
    });
}

fn note_failure(shared: &Shared, error: FetchError, delay: Duration) {
    let remedy = error.remedy();
    let now = SystemClock.now();
    shared.update(|status| {
        let trouble = Trouble::after(status.trouble.take(), error, remedy, now);
        tracing::warn!(
            place = status.place,
            error = trouble.message(),
            attempts = trouble.attempts,
            retry_in = ?delay,
            "fetching has stopped"
        );
        status.trouble = Some(trouble);
    });
}

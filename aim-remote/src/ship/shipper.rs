//! The coordinator itself: a thread that goes round.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aim_core::clock::{Clock, SystemClock};
use aim_core::spool::SourceSpool;

use super::round::{Next, Rounds};
use super::status::Shared;
use super::{ShipError, ShipStatus};
use crate::coordinator::{Backoff, Signal, Trouble, watch};
use crate::file_io::{self, FileIo};
use crate::transport::Transport;

/// How often a shipper looks, and how patient it is.
#[derive(Clone, Copy, Debug)]
pub struct ShipOptions {
    /// Between two looks at the mirror's cursor while the mirror is behind; also the longest
    /// that files are put before receipts are looked for.
    pub poll: Duration,
    /// Between two looks while source and mirror agree.
    pub idle_poll: Duration,
    /// Before the second try of something that failed.
    pub first_retry: Duration,
    /// The longest between two tries.
    pub last_retry: Duration,
}

impl Default for ShipOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            idle_poll: Duration::from_secs(10),
            first_retry: Duration::from_millis(500),
            last_retry: Duration::from_secs(60),
        }
    }
}

/// The first coordinator of a volume, running on a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Shipper {
    signal: Arc<Signal>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Shipper {
    /// Starts carrying what is sealed in `spool` over `transport`.
    ///
    /// # Errors
    ///
    /// Only if no thread can be had: everything else is retried, and shows in the status.
    pub fn start<T: Transport>(
        spool: SourceSpool,
        transport: T,
        options: ShipOptions,
    ) -> io::Result<Self> {
        Self::go_round(Rounds::new(spool, transport), options)
    }

    /// Starts to go these rounds.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn go_round<T: Transport>(mut rounds: Rounds<T>, options: ShipOptions) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let outgoing = rounds.outgoing();
        rounds.tell(&signal);
        let shared = Arc::clone(rounds.shared());
        let thread = std::thread::Builder::new().name("aim-ship".to_owned());
        let thread = thread.spawn({
            let signal = Arc::clone(&signal);
            move || {
                let _watcher = watch(&outgoing, &signal);
                let ran = file_io::run(|io| run(&mut rounds, io, &signal, options));
                if let Err(error) = ran {
                    tracing::error!(%error, "the shipper has no runtime");
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
    pub fn status(&self) -> ShipStatus {
        self.shared.snapshot()
    }

    /// Says that a file may have been sealed. It is noticed without, only later.
    pub fn hint(&self) {
        self.signal.hint();
    }

    /// Asks it to stop, without waiting. A file that is on its way stays there in part, and is
    /// continued by the next shipper.
    pub fn request_stop(&self) {
        self.signal.stop();
    }

    /// Stops it and waits until it has.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.signal.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the shipper panicked");
        }
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run<T: Transport>(
    rounds: &mut Rounds<T>,
    io: FileIo,
    signal: &Signal,
    options: ShipOptions,
) {
    let shared = Arc::clone(rounds.shared());
    let mut backoff = Backoff::new(options.first_retry, options.last_retry);
    while !signal.is_stopped() {
        let ended = tokio::select! {
            ended = rounds.round(&io, options.poll) => ended,
            () = signal.stopped() => break,
        };
        match ended {
            Ok(Next::Underway) => {}
            Ok(next) => {
                backoff.reset();
                note_success(&shared);
                match next {
                    Next::Now | Next::Underway => {}
                    Next::Soon => signal.wait_async(options.poll).await,
                    Next::Later => signal.wait_async(options.idle_poll).await,
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
            tracing::info!(
                target = status.target,
                attempts = trouble.attempts,
                "shipping goes on"
            );
        }
    });
}

fn note_failure(shared: &Shared, error: ShipError, delay: Duration) {
    let remedy = error.remedy();
    let now = SystemClock.now();
    shared.update(|status| {
        let trouble = Trouble::after(status.trouble.take(), error, remedy, now);
        tracing::warn!(
            target = status.target,
            error = trouble.message(),
            attempts = trouble.attempts,
            retry_in = ?delay,
            "shipping has stopped"
        );
        status.trouble = Some(trouble);
    });
}

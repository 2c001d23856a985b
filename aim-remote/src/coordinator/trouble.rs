//! What is in a coordinator's way.

use std::error::Error;
use std::sync::Arc;

use aim_core::units::Timestamp;

use crate::transport::Remedy;

/// What is in a coordinator's way at the moment. It keeps trying by itself.
#[derive(Debug)]
pub struct Trouble<E> {
    /// The last error.
    pub error: Arc<E>,
    /// What helps.
    pub remedy: Remedy,
    /// When it went wrong for the first time since it last worked.
    pub since: Timestamp,
    /// Tries since then.
    pub attempts: u32,
}

impl<E> Clone for Trouble<E> {
    fn clone(&self) -> Self {
        Self {
            error: Arc::clone(&self.error),
            ..*self
        }
    }
}

impl<E: Error> Trouble<E> {
    /// The error with its causes, on one line.
    pub fn message(&self) -> String {
        chain(&*self.error)
    }

    /// The trouble that `error` makes after `before`.
    pub(crate) fn after(before: Option<Self>, error: E, remedy: Remedy, now: Timestamp) -> Self {
        let (since, attempts) = match before {
            Some(before) => (before.since, before.attempts),
            None => (now, 0),
        };
        Self {
            error: Arc::new(error),
            remedy,
            since,
            attempts: attempts.saturating_add(1),
        }
    }
}

/// An error with its causes, on one line; a cause that the text has already is not repeated.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

//! Where a capture asks what the mirror holds, and whoever can reach the mirror host answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::worker::Bell;
use crate::signature::{Answer, Question};

/// Carries questions to whoever ships the journal, and answers back.
///
/// Nobody need answer: after some time a resync copies all of what may differ.
#[derive(Debug)]
pub struct Comparison {
    state: Mutex<State>,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct State {
    question: Option<Question>,
    answer: Option<Answer>,
}

impl Comparison {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        let state = Mutex::default();
        Self { state, bell }
    }

    /// The question that has no answer yet. The mirror host can answer it once it has received the
    /// begin of its group.
    pub fn question(&self) -> Option<Question> {
        let state = self.lock();
        state.question.clone().filter(|_| state.answer.is_none())
    }

    /// Takes an answer. Says whether it was one to the present question.
    pub fn answer(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        let fits = state
            .question
            .as_ref()
            .is_some_and(|question| answer.is_to(question));
        if fits {
            state.answer = Some(answer);
            drop(state);
            self.bell.ring();
        }
        fits
    }

    pub(super) fn ask(&self, question: Question) {
        *self.lock() = State {
            question: Some(question),
            answer: None,
        };
    }

    /// The answer, once; from then on there is no question.
    pub(super) fn take_answer(&self) -> Option<Answer> {
        let mut state = self.lock();
        let answer = state.answer.take()?;
        state.question = None;
        Some(answer)
    }

    pub(super) fn forget(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

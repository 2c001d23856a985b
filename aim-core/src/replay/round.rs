//! How far the applying of a run is.

use super::progress::Progress;
use super::{Differences, Run, Summary};
use crate::cursor::{MirrorCursor, Position};

/// A run that is being applied. Nothing of it counts before it has come to its end, or to that of a
/// part that can be applied by itself.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) progress: Progress,
    /// The cursor's intent before the run: an interrupted one may have touched the devices up to there.
    before: Position,
    /// How far the run goes.
    end: Position,
    is_intended: bool,
    /// Files up to the last place where it could end, and that place.
    done: u64,
    reached: Option<Position>,
    /// Files of which something was begun.
    touched: u64,
    /// Whether all that was begun has ended.
    is_settled: bool,
}

impl Round {
    /// The start of a run, before its intent is stored.
    pub(super) fn start(
        cursor: &MirrorCursor,
        run: &Run,
        differences: Differences,
        summary: Summary,
    ) -> Self {
        let summary = Summary {
            files: run.files().len() as u64,
            reached: run.reached(),
            ..summary
        };
        Self {
            progress: Progress::start(cursor, run, differences, summary),
            before: cursor.intent,
            end: run.reached(),
            is_intended: false,
            done: 0,
            reached: None,
            touched: 0,
            is_settled: true,
        }
    }

    /// The intent that has to be stored before the first touch of a device; `None` if it is.
    pub(super) fn take_intent(&mut self) -> Option<Position> {
        let is_intended = std::mem::replace(&mut self.is_intended, true);
        (!is_intended).then(|| self.later(self.end))
    }

    /// The next file is about to be applied.
    pub(super) fn touch(&mut self) {
        self.touched += 1;
        self.is_settled = false;
    }

    /// All that was begun has ended.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// All files that were touched are begun to their ends, and once that is [settled](Self::settle) it
    /// could end here.
    pub(super) fn reach(&mut self, place: Position) {
        self.reached = Some(place);
        self.done = self.touched;
    }

    /// Ends it at the last place where it could, if the devices hold just what is before that. Says
    /// whether they do.
    pub(super) fn cut(&mut self) -> bool {
        let is_exact = self.is_settled && self.done == self.touched;
        let Some(reached) = self.reached.filter(|_| is_exact) else {
            return false;
        };
        self.end = reached;
        self.progress.summary.reached = reached;
        self.progress.summary.files = self.done;
        true
    }

    /// Up to where the devices may be touched once it is applied. Where it was cut, it has touched
    /// nothing behind its end, so its intent is taken back to there; that of an earlier one is not.
    pub(super) fn intent(&self) -> Position {
        self.later(self.end)
    }

    fn later(&self, place: Position) -> Position {
        match self.before.file < place.file {
            true => place,
            false => self.before,
        }
    }
}

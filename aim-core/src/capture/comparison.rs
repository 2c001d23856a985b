//! Where a capture asks what mirrors hold, and whoever can reach their hosts answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::worker::Bell;
use crate::signature::{Answer, BlockDigest, Question};

/// Carries questions to those who ship the journal, and answers back.
///
/// All files go to every mirror. So what is left out of them every mirror has to hold that applies
/// them: everybody who is a party is asked, and only what all say counts. Nobody need answer: after
/// some time a resync copies all of what may differ.
#[derive(Debug)]
pub struct Comparison {
    state: Mutex<State>,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct State {
    question: Option<Question>,
    /// Who has to answer, and what each has answered to the question.
    parties: BTreeMap<u32, Option<Answer>>,
    is_suspended: bool,
}

impl Comparison {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        let state = Mutex::default();
        Self { state, bell }
    }

    /// Has `party` answer from now on. Whoever applies the files and is none must not be asked for
    /// less than all of what differs.
    pub fn admit(&self, party: u32) {
        self.lock().parties.entry(party).or_default();
    }

    /// Does not ask `party` any more: it will not apply what comes, or not before a baseline.
    pub fn dismiss(&self, party: u32) {
        self.lock().parties.remove(&party);
        self.bell.ring();
    }

    /// Nothing is compared that is begun from now on, or it is again: while a mirror takes up the
    /// series it can't say what it will hold.
    pub fn suspend(&self, is_suspended: bool) {
        self.lock().is_suspended = is_suspended;
        self.bell.ring();
    }

    /// The question that `party` has not answered yet. The mirror host can answer it once it has
    /// received the begin of its group.
    pub fn question(&self, party: u32) -> Option<Question> {
        let state = self.lock();
        match state.parties.get(&party) {
            Some(None) => state.question.clone(),
            _ => None,
        }
    }

    /// Takes an answer of `party`. Says whether it was one to the present question.
    pub fn answer(&self, party: u32, answer: Answer) -> bool {
        let mut state = self.lock();
        let question = state.question.as_ref();
        let fits = question.is_some_and(|question| answer.is_to(question));
        match state.parties.get_mut(&party) {
            Some(place) if fits => {
                *place = Some(answer);
                drop(state);
                self.bell.ring();
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.lock().is_suspended
    }

    /// Whether no answer will come: nobody is a party, and nobody becomes one for now.
    pub(super) fn is_pointless(&self) -> bool {
        let state = self.lock();
        state.is_suspended && state.parties.is_empty()
    }

    pub(super) fn ask(&self, question: Question) {
        let mut state = self.lock();
        state.forget();
        state.question = Some(question);
    }

    /// The digest of each block where all parties hold the same, once all have answered; from then
    /// on there is no question.
    pub(super) fn take_digests(&self) -> Option<Vec<Option<BlockDigest>>> {
        let mut state = self.lock();
        let answers: Option<Vec<&Answer>> = state.parties.values().map(Option::as_ref).collect();
        let digests = in_common(&answers?)?;
        state.forget();
        Some(digests)
    }

    pub(super) fn forget(&self) {
        self.lock().forget();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self) {
        self.question = None;
        self.parties.values_mut().for_each(|answer| *answer = None);
    }
}

/// The digest of each block of which all answers have the same; `None` without an answer.
fn in_common(answers: &[&Answer]) -> Option<Vec<Option<BlockDigest>>> {
    let (first, others) = answers.split_first()?;
    let digests = first.digests.iter().enumerate();
    Some(
        digests
            .map(|(index, digest)| {
                let is_same = |other: &&Answer| other.digests.get(index) == Some(digest);
                others.iter().all(is_same).then_some(*digest)
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{BlockRange, block_digest};
    use crate::units::{ByteLen, ByteOffset, Lsn, VolumeId};

    fn question(number: u64) -> Question {
        Question {
            volume: VolumeId([1; 16]),
            group: Lsn(5),
            number,
            block_bytes: 512,
            ranges: vec![BlockRange {
                device: 0,
                offset: ByteOffset(0),
                len: ByteLen(1024),
            }],
        }
    }

    fn answer(number: u64, blocks: [u8; 2]) -> Answer {
        let question = question(number);
        Answer {
            volume: question.volume,
            group: question.group,
            number,
            block_bytes: question.block_bytes,
            digests: blocks.map(|byte| block_digest(&[byte; 512])).to_vec(),
        }
    }

    #[test]
    fn only_what_all_parties_hold_counts() {
        let comparison = Comparison::new(Arc::default());
        comparison.ask(question(1));
        assert_eq!(comparison.take_digests(), None, "nobody was asked");
        comparison.admit(1);
        comparison.admit(2);
        assert!(!comparison.answer(3, answer(1, [1, 1])), "no party");
        assert!(!comparison.answer(1, answer(2, [1, 1])), "another question");
        assert!(comparison.answer(1, answer(1, [1, 2])));
        assert_eq!(comparison.question(1), None);
        assert_eq!(comparison.take_digests(), None, "one is missing");
        // who is admitted before all have answered has to answer too
        comparison.admit(3);
        assert!(comparison.answer(2, answer(1, [1, 3])));
        assert_eq!(comparison.take_digests(), None);
        assert!(comparison.answer(3, answer(1, [1, 2])));
        let same = Some(block_digest(&[1; 512]));
        assert_eq!(comparison.take_digests(), Some(vec![same, None]));
        assert_eq!(comparison.question(2), None);
    }

    #[test]
    fn who_is_dismissed_is_not_waited_for_and_old_answers_are_forgotten() {
        let comparison = Comparison::new(Arc::default());
        [1, 2].into_iter().for_each(|party| comparison.admit(party));
        comparison.ask(question(1));
        assert!(comparison.answer(1, answer(1, [1, 2])));
        comparison.ask(question(2));
        comparison.dismiss(2);
        assert_eq!(
            comparison.take_digests(),
            None,
            "it was to another question"
        );
        assert!(comparison.answer(1, answer(2, [1, 2])));
        assert!(comparison.take_digests().is_some());
        comparison.dismiss(1);
        comparison.ask(question(3));
        assert_eq!(comparison.take_digests(), None);
        assert!(!comparison.is_pointless(), "a party may be admitted");
        comparison.suspend(true);
        assert!(comparison.is_pointless());
        comparison.admit(1);
        assert!(!comparison.is_pointless());
    }
}

//! What came of all rounds.

use std::fmt;

use super::pair::Failure;
use crate::outcome::Outcome;

/// How many rounds ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    rounds: u64,
    stuck: u64,
    divergences: u64,
    lost: u64,
}

impl Tally {
    /// Counts a round by what was wrong after it.
    pub(super) fn count(&mut self, failure: Option<&Failure>) {
        self.rounds += 1;
        match failure {
            None => {}
            Some(Failure::Lost(_)) => self.lost += 1,
            Some(Failure::Diverged(_)) => self.divergences += 1,
            Some(Failure::Stuck(_)) => self.stuck += 1,
        }
    }

    /// Whether nothing was wrong, in at least one round.
    pub(super) fn outcome(&self) -> Outcome {
        match self.rounds > 0 && self.stuck + self.divergences + self.lost == 0 {
            true => Outcome::Success,
            false => Outcome::Failure,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            stuck,
            divergences,
            lost,
        } = self;
        write!(
            f,
            "rounds {rounds}\nstuck {stuck}\ndivergences {divergences}\nlost {lost}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_needs_a_round_and_no_failure() {
        let mut tally = Tally::default();
        assert_eq!(tally.outcome(), Outcome::Failure);
        tally.count(None);
        assert_eq!(tally.outcome(), Outcome::Success);
        tally.count(Some(&Failure::Diverged(String::new())));
        assert_eq!(tally.outcome(), Outcome::Failure);
        let shown = tally.to_string();
        assert!(shown.ends_with("\ndivergences 1\nlost 0"), "{shown}");
    }
}

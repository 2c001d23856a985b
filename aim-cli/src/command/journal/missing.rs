//! Which files of a series are not there.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::Serialize;

/// Files of a series that follow each other, and are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Missing {
    /// All that are not there, of the files with these numbers.
    pub(super) fn among(numbers: RangeInclusive<u64>, there: &BTreeSet<u64>) -> Vec<Self> {
        let mut missing = Vec::new();
        let (mut next, end) = numbers.into_inner();
        for number in there.range(next..) {
            if *number > end {
                break;
            }
            if next < *number {
                missing.push(Self {
                    first: next,
                    last: number - 1,
                });
            }
            let Some(after) = number.checked_add(1) else {
                return missing;
            };
            next = after;
        }
        if next <= end {
            missing.push(Self {
                first: next,
                last: end,
            });
        }
        missing
    }

    /// Some of them for people: `1 to 41, 43`.
    pub(super) fn listed(all: &[Self]) -> String {
        let text = |range: &Self| match range.first == range.last {
            true => range.first.to_string(),
            false => format!("{} to {}", range.first, range.last),
        };
        let all: Vec<String> = all.iter().map(text).collect();
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_between_before_and_behind() {
        let of = |numbers, there: &[u64]| {
            Missing::listed(&Missing::among(numbers, &there.iter().copied().collect()))
        };
        assert_eq!(of(1..=5, &[1, 2, 3, 4, 5]), "");
        assert_eq!(of(1..=9, &[3, 4, 7]), "1 to 2, 5 to 6, 8 to 9");
        assert_eq!(of(4..=6, &[1, 5, 9]), "4, 6");
        assert_eq!(of(RangeInclusive::new(4, 3), &[9]), "");
        assert_eq!(of(1..=2, &[]), "1 to 2");
    }
}

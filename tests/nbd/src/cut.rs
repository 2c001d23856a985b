//! What a power cut leaves of a disk's cache.

use std::fmt;

use crate::rng::Rng;

/// How a disk treats, at a power cut, what was written to it and not flushed.
///
/// What was flushed stays in any case, and a sector is never torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All of it is lost: the largest cache there could be.
    LosesAll,
    /// All of it is kept: only the machine's own memory is lost.
    KeepsAll,
    /// Each sector for itself holds its content as of the last flush or any that was written
    /// since. Most writes end up torn.
    Sectors(u64),
    /// Each write survives whole or not at all, in no order. The later of two surviving writes to
    /// a sector wins.
    Writes(u64),
    /// What was written up to some moment survives, in order; nothing after it does.
    Prefix(u64),
}

impl Cut {
    /// One of them.
    pub fn random(rng: &mut Rng) -> Self {
        let seed = rng.next_u64();
        match rng.below(8) {
            0 => Self::LosesAll,
            1 => Self::KeepsAll,
            2 => Self::Prefix(seed),
            3 | 4 => Self::Writes(seed),
            _ => Self::Sectors(seed),
        }
    }

    /// A judge over the `writes` requests that have been counted so far.
    pub(crate) fn judge(self, writes: u64) -> Judge {
        let (seed, last) = match self {
            Self::Sectors(seed) | Self::Writes(seed) => (seed, 0),
            Self::Prefix(seed) => (seed, Rng::new(seed).below(writes + 1)),
            Self::LosesAll | Self::KeepsAll => (0, 0),
        };
        Judge {
            cut: self,
            rng: Rng::new(seed),
            seed,
            last,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LosesAll => f.write_str("loses all"),
            Self::KeepsAll => f.write_str("keeps all"),
            Self::Sectors(seed) => write!(f, "sectors by {seed:#x}"),
            Self::Writes(seed) => write!(f, "writes by {seed:#x}"),
            Self::Prefix(seed) => write!(f, "a prefix by {seed:#x}"),
        }
    }
}

/// Decides sector by sector, in ascending order.
#[derive(Debug)]
pub(crate) struct Judge {
    cut: Cut,
    rng: Rng,
    seed: u64,
    last: u64,
}

impl Judge {
    /// Which version of a sector survives; `None`: that as of the last flush. `writes` are the
    /// numbers of the writes that made the versions, oldest first.
    pub(crate) fn survivor(&mut self, writes: &[u64]) -> Option<usize> {
        let newest =
            |survives: &dyn Fn(u64) -> bool| writes.iter().rposition(|write| survives(*write));
        match self.cut {
            Cut::LosesAll => None,
            Cut::KeepsAll => newest(&|_| true),
            Cut::Sectors(_) => {
                let chosen = self.rng.below(writes.len() as u64 + 1) as usize;
                chosen.checked_sub(1)
            }
            Cut::Writes(_) => newest(&|write| Rng::branch(self.seed, write).chance(2)),
            Cut::Prefix(_) => newest(&|write| write <= self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_takes_each_write_up_to_one_and_none_after_it() {
        for seed in 0..32 {
            let survives = |write| Cut::Prefix(seed).judge(10).survivor(&[write]).is_some();
            let kept: Vec<bool> = (1..=10).map(survives).collect();
            assert!(kept.is_sorted_by(|a, b| a >= b), "{kept:?}");
        }
    }

    #[test]
    fn writes_live_or_die_whole() {
        for seed in 0..32 {
            let judge = || Cut::Writes(seed).judge(2);
            let alone = [1, 2].map(|write| judge().survivor(&[write]).is_some());
            let expected = match alone {
                [_, true] => Some(1),
                [true, false] => Some(0),
                [false, false] => None,
            };
            assert_eq!(judge().survivor(&[1, 2]), expected);
        }
    }
}

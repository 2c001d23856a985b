//! Which extents become hot ahead of need, and which cool.
//!
//! A write to an extent that is not hot waits for the map: a write and a sync. So extents stay hot
//! as long as they are written to now and then, and those that are likely to be written to next
//! are made hot with one that is: where a stream leads to, and, as long as little is hot, around
//! writes that come close together. What is hot in vain costs comparing after a power cut.

use std::ops::Range;

use super::sector::{self, SECTOR_EXTENTS};
use super::table::{Changes, Extents};

/// Hot extents in a row that count as a stream when the one behind them is written to.
const STREAM: usize = 2;
/// Extents that are made hot together with the one that a stream comes to.
const AHEAD: usize = 4;
/// Extents of a neighbourhood, which begins at a multiple of it and lies in one sector of the map.
const NEIGHBOURHOOD: usize = 16;
/// Hot extents of a neighbourhood after which all of it becomes hot with the next one.
const NEIGHBOURS: usize = 2;

const _: () = assert!(SECTOR_EXTENTS.is_multiple_of(NEIGHBOURHOOD));

impl Extents {
    /// Has writes that come close together make all around them hot, while at most `most` extents
    /// are.
    pub(in crate::capture) fn warm_neighbours_up_to(&mut self, most: usize) {
        self.neighbours_up_to = most;
    }

    /// Makes extents hot together with `index`, which is just becoming so.
    pub(super) fn warm_with(&mut self, index: usize) {
        let is_hot = |extents: &Self, range: Range<usize>| {
            range.filter(|&other| extents.is_hot(other)).count()
        };
        if index >= STREAM && is_hot(self, index - STREAM..index) == STREAM {
            self.warm(index + 1..index + 1 + AHEAD);
        }
        let begin = index - index % NEIGHBOURHOOD;
        let around = begin..begin + NEIGHBOURHOOD;
        if is_hot(self, around.clone()) > NEIGHBOURS && self.hot() <= self.neighbours_up_to {
            self.warm(around);
        }
    }

    fn warm(&mut self, range: Range<usize>) {
        for index in range.start..range.end.min(self.count()) {
            let at = index / SECTOR_EXTENTS;
            if sector::set(&mut self.wanted[at].hot, index % SECTOR_EXTENTS, true) {
                self.hot += 1;
                self.touched[index] = self.generation;
                self.changed[at] = true;
                self.changes = self.changes.max(Changes::Lazy);
            }
        }
    }

    /// Ends a generation, and gives its number.
    pub(in crate::capture) fn next_generation(&mut self) -> u32 {
        let ended = self.generation;
        self.generation += 1;
        ended
    }

    /// Whether extents are hot that nothing was done to after `generation`.
    pub(in crate::capture) fn has_idle(&self, generation: u32) -> bool {
        self.hot_extents()
            .any(|index| self.is_idle(index, generation))
    }

    /// Cools what nothing was done to after `generation`. All of that must be durable on disk and
    /// in the journal.
    pub(in crate::capture) fn cool(&mut self, generation: u32) {
        let hot = self.hot_extents();
        let idle: Vec<usize> = hot
            .filter(|&index| self.is_idle(index, generation))
            .collect();
        for index in idle {
            let (at, bit) = (index / SECTOR_EXTENTS, index % SECTOR_EXTENTS);
            self.hot -= usize::from(sector::set(&mut self.wanted[at].hot, bit, false));
            sector::set(&mut self.stored[at].hot, bit, false);
            self.changed[at] = true;
            self.changes = self.changes.max(Changes::Lazy);
        }
    }

    fn is_idle(&self, index: usize, generation: u32) -> bool {
        self.in_flight[index] == 0 && self.touched[index] <= generation
    }

    fn hot_extents(&self) -> impl Iterator<Item = usize> {
        let sectors = self.wanted.iter().enumerate();
        sectors.flat_map(|(at, bits)| {
            sector::ones(&bits.hot).map(move |bit| at * SECTOR_EXTENTS + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Guarantee;
    use super::*;
    use crate::capture::extents::sector::Bits;
    use crate::identity::VolumeIdentity;
    use crate::units::ByteLen;

    fn extents(count: u64) -> Extents {
        let volume = VolumeIdentity::generate(ByteLen(count << 12), 512);
        let sectors = count.div_ceil(SECTOR_EXTENTS as u64) as usize;
        let mut extents = Extents::new(&volume, 12, vec![Bits::default(); sectors]);
        extents.take_changes();
        extents
    }

    /// Has the map say what it shall.
    fn store(extents: &mut Extents) {
        let changes = extents.take_changes();
        extents.set_stored(&changes);
    }

    #[test]
    fn a_stream_waits_once_for_several_extents() {
        let count = SECTOR_EXTENTS as u64 + 3;
        let mut extents = extents(count);
        let mut waits = 0;
        for index in 0..count as usize {
            if !extents.require(index..index + 1, Guarantee::Hot) {
                waits += 1;
                store(&mut extents);
                assert!(extents.require(index..index + 1, Guarantee::Hot));
            }
        }
        // the first ones, and then one of so many
        assert_eq!(
            waits,
            STREAM + (count as usize - STREAM).div_ceil(AHEAD + 1)
        );
        assert_eq!(extents.hot(), count as usize);
    }

    #[test]
    fn writes_close_together_wait_once_for_all_around_them_while_little_is_hot() {
        let mut extents = extents(100);
        extents.warm_neighbours_up_to(20);
        let hot_with = |extents: &mut Extents, index: usize| {
            let before = extents.hot();
            assert!(!extents.require(index..index + 1, Guarantee::Hot));
            store(extents);
            extents.hot() - before
        };
        assert_eq!(hot_with(&mut extents, 17), 1);
        assert_eq!(hot_with(&mut extents, 99), 1);
        assert_eq!(hot_with(&mut extents, 31), 1);
        assert_eq!(hot_with(&mut extents, 22), 14, "all from 16 to 31");
        assert!(extents.require(16..32, Guarantee::Hot), "with one store");
        assert_eq!(hot_with(&mut extents, 97), 1, "only four are left there");
        assert_eq!(hot_with(&mut extents, 96), 2);
        assert_eq!(extents.hot(), 20);
        for index in [0, 5, 10] {
            assert_eq!(hot_with(&mut extents, index), 1, "much is hot");
        }
    }

    #[test]
    fn nothing_is_ahead_of_what_is_no_stream() {
        let mut extents = extents(100);
        for index in [7, 3, 90, 91, 50, 6, 99] {
            extents.require(index..index + 1, Guarantee::Hot);
        }
        assert_eq!(extents.hot(), 7);
    }

    #[test]
    fn only_idle_extents_cool() {
        let mut extents = extents(100);
        for index in [1, 20, 40] {
            extents.require(index..index + 1, Guarantee::Hot);
        }
        extents.begin(20..21);
        store(&mut extents);
        let first = extents.next_generation();
        assert!(!extents.has_idle(first - 1));
        assert!(extents.has_idle(first));
        extents.begin(40..41);
        extents.end(40..41);
        extents.cool(first);
        let hot: Vec<_> = extents.hot_extents().collect();
        assert_eq!(hot, [20, 40], "one is in flight, one was written to since");
        assert!(
            !extents.require(1..2, Guarantee::Hot),
            "not without the map"
        );
        assert!(extents.require(40..41, Guarantee::Hot));
    }
}

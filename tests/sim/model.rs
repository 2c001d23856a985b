//! What the disks of the source held at each LSN, and what a power cut may leave on them.

use std::collections::BTreeSet;
use std::ops::Range;

use aim_core::units::Lsn;

use crate::sector::{Stamp, ZERO, name};

/// The model of the source's disks. Sectors are counted over all disks of the volume.
#[derive(Debug)]
pub(crate) struct Model {
    sectors: Vec<Sector>,
    /// Ends of groups: what was undetermined before is as the source's disk has it.
    healed: BTreeSet<Lsn>,
}

#[derive(Debug)]
struct Sector {
    /// By LSN; what the first says holds from the beginning.
    past: Vec<Entry>,
    /// What a power cut may leave, oldest first.
    versions: Vec<Stamp>,
    /// Number of the first of `versions`, counted from the beginning.
    first: u64,
    /// Number of the newest version whose write was acknowledged.
    acknowledged: u64,
    /// A sync failed: only writing it again makes the newest version durable.
    needs_writing: bool,
}

/// What a sector held from an LSN on.
#[derive(Clone, Debug)]
struct Entry {
    lsn: Lsn,
    stamp: Stamp,
    /// What it may hold instead, until the next end of a group.
    or: Vec<Stamp>,
}

impl Model {
    /// Disks of zeroes, with `sectors` sectors in all.
    pub(crate) fn new(sectors: usize) -> Self {
        let sector = || Sector {
            past: vec![Entry {
                lsn: Lsn(0),
                stamp: ZERO,
                or: Vec::new(),
            }],
            versions: vec![ZERO],
            first: 0,
            acknowledged: 0,
            needs_writing: false,
        };
        Self {
            sectors: (0..sectors).map(|_| sector()).collect(),
            healed: BTreeSet::new(),
        }
    }

    // ---- the order ----

    /// The transaction `lsn` has put `stamps` on the sectors from `first` on.
    pub(crate) fn done(&mut self, lsn: Lsn, first: usize, stamps: &[Stamp]) {
        for (sector, &stamp) in self.sectors[first..].iter_mut().zip(stamps) {
            sector.enter(Entry {
                lsn,
                stamp,
                or: Vec::new(),
            });
        }
    }

    /// The transaction `lsn` was not acknowledged, and has left `found` on the disk: a mirror may
    /// have that or what was there before.
    pub(crate) fn undetermined(&mut self, lsn: Lsn, first: usize, found: &[Stamp]) {
        for (sector, &stamp) in self.sectors[first..].iter_mut().zip(found) {
            let before = sector.at(lsn);
            let mut or = before.or.clone();
            or.push(before.stamp);
            sector.enter(Entry { lsn, stamp, or });
        }
    }

    /// From `lsn` on the disks hold what was `found` on them, however it came there.
    pub(crate) fn found(&mut self, lsn: Lsn, first: usize, found: &[Stamp]) {
        for (sector, &stamp) in self.sectors[first..].iter_mut().zip(found) {
            let last = sector.at(Lsn(u64::MAX));
            if last.stamp != stamp || !last.or.is_empty() {
                let or = Vec::new();
                sector.enter(Entry { lsn, stamp, or });
            }
        }
    }

    /// Everything behind `lsn` was lost with the power: these LSNs will be given again.
    pub(crate) fn forget_behind(&mut self, lsn: Lsn) {
        for sector in &mut self.sectors {
            sector.past.retain(|entry| entry.lsn <= lsn);
        }
        self.healed.retain(|healed| *healed <= lsn);
    }

    /// A group ends at `lsn`.
    pub(crate) fn healed(&mut self, lsn: Lsn) {
        self.healed.insert(lsn);
    }

    /// The first sector where `content` is not what the disks held just after `lsn`, except for
    /// what is excused.
    pub(crate) fn differs_at(
        &self,
        lsn: Lsn,
        content: &[Stamp],
        excused: impl Fn(Stamp) -> bool,
    ) -> Option<Difference> {
        let healed = self.healed.range(..=lsn).next_back().copied();
        let sectors = self.sectors.iter().zip(content).enumerate();
        for (place, (sector, &found)) in sectors {
            let entry = sector.at(lsn);
            let open = healed.is_none_or(|healed| healed < entry.lsn);
            let fits = entry.stamp == found || open && entry.or.contains(&found);
            if !fits && !excused(found) {
                let (since, expected) = (entry.lsn, entry.stamp);
                return Some(Difference {
                    place,
                    since,
                    expected,
                    found,
                });
            }
        }
        None
    }

    // ---- what is durable on the disks ----

    /// Something was written to a sector, perhaps in vain. Gives the number of the version.
    pub(crate) fn written(&mut self, place: usize, stamp: Stamp) -> u64 {
        let sector = &mut self.sectors[place];
        sector.versions.push(stamp);
        sector.needs_writing = false;
        sector.first + sector.versions.len() as u64 - 1
    }

    /// The write that brought a version was acknowledged.
    pub(crate) fn acknowledged(&mut self, place: usize, version: u64) {
        let sector = &mut self.sectors[place];
        sector.acknowledged = sector.acknowledged.max(version);
    }

    /// The versions that a flush which is submitted now makes durable, by sector.
    pub(crate) fn mark(&self, places: Range<usize>) -> Vec<u64> {
        let sectors = self.sectors[places].iter();
        sectors.map(|sector| sector.acknowledged).collect()
    }

    /// A version was acknowledged as durable.
    pub(crate) fn durable(&mut self, place: usize, version: u64) {
        let sector = &mut self.sectors[place];
        if version > sector.first && !sector.needs_writing {
            sector.versions.drain(..(version - sector.first) as usize);
            sector.first = version;
        }
    }

    /// A sync of a disk failed: what was to be written by it may never be.
    pub(crate) fn sync_failed(&mut self, places: Range<usize>) {
        for sector in &mut self.sectors[places] {
            sector.needs_writing |= sector.versions.len() > 1;
        }
    }

    /// The power went, and left `content`. The first sector that has lost what was acknowledged
    /// as durable, if any.
    pub(crate) fn power_cut(&mut self, content: &[Stamp]) -> Option<Difference> {
        let mut lost = None;
        let sectors = self.sectors.iter_mut().zip(content).enumerate();
        for (place, (sector, &found)) in sectors {
            if !sector.versions.contains(&found) {
                lost.get_or_insert(Difference {
                    place,
                    since: Lsn(0),
                    expected: sector.versions[0],
                    found,
                });
            }
            sector.first += sector.versions.len() as u64;
            sector.acknowledged = sector.first;
            sector.versions = vec![found];
            sector.needs_writing = false;
        }
        lost
    }
}

impl Sector {
    fn at(&self, lsn: Lsn) -> &Entry {
        let behind = self.past.partition_point(|entry| entry.lsn <= lsn);
        &self.past[behind - 1]
    }

    fn enter(&mut self, entry: Entry) {
        let behind = self.past.partition_point(|other| other.lsn <= entry.lsn);
        self.past.insert(behind, entry);
    }
}

/// A sector that does not hold what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) place: usize,
    /// The LSN that brought what is expected.
    pub(crate) since: Lsn,
    pub(crate) expected: Stamp,
    pub(crate) found: Stamp,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (place, since) = (self.place, self.since);
        let (expected, found) = (name(self.expected), name(self.found));
        write!(
            f,
            "sector {place} holds {found} instead of {expected} (since LSN {since})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_known_by_lsn_and_a_failed_write_is_open_until_a_group_ends() {
        let mut model = Model::new(2);
        model.done(Lsn(1), 0, &[11, 12]);
        model.undetermined(Lsn(3), 1, &[13]);
        let differs = |model: &Model, lsn, content: [Stamp; 2]| {
            model
                .differs_at(Lsn(lsn), &content, |_| false)
                .map(|difference| difference.place)
        };
        assert_eq!(differs(&model, 0, [0, 0]), None);
        assert_eq!(differs(&model, 0, [11, 0]), Some(0));
        assert_eq!(differs(&model, 2, [11, 12]), None);
        assert_eq!(differs(&model, 4, [11, 12]), None);
        assert_eq!(differs(&model, 4, [11, 13]), None);
        assert_eq!(differs(&model, 4, [11, 0]), Some(1));
        model.healed(Lsn(5));
        assert_eq!(differs(&model, 4, [11, 12]), None);
        assert_eq!(differs(&model, 5, [11, 12]), Some(1));
        assert_eq!(differs(&model, 5, [11, 13]), None);
        model.forget_behind(Lsn(2));
        model.found(Lsn(3), 0, &[11, 99]);
        assert_eq!(differs(&model, 3, [11, 99]), None);
        assert_eq!(differs(&model, 2, [11, 12]), None);
    }

    #[test]
    fn a_power_cut_may_leave_what_is_behind_the_last_acknowledged_flush() {
        let lost = |found| {
            let mut model = Model::new(1);
            let first = model.written(0, 1);
            model.acknowledged(0, first);
            let mark = model.mark(0..1);
            model.written(0, 2);
            model.durable(0, mark[0]);
            model.power_cut(&[found]).is_some()
        };
        assert_eq!([0, 1, 2, 3].map(lost), [true, false, false, true]);
    }

    #[test]
    fn after_a_failed_sync_only_writing_again_makes_durable() {
        let mut model = Model::new(1);
        let version = model.written(0, 1);
        model.acknowledged(0, version);
        model.sync_failed(0..1);
        model.durable(0, model.mark(0..1)[0]);
        assert_eq!(model.power_cut(&[0]), None);
        let version = model.written(0, 2);
        model.acknowledged(0, version);
        model.durable(0, model.mark(0..1)[0]);
        assert!(model.power_cut(&[0]).is_some());
    }
}

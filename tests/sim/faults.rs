//! What goes wrong besides the ends of hosts.

use std::io::ErrorKind;

use aim_tests::Power;

use crate::sector;
use crate::tamper;
use crate::world::World;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One of the next writes fails.
    SourceDisk,
    /// One of the next steps of a file system or disk fails.
    JournalStep,
    MapStep,
    MirrorDisk,
    MirrorFiles,
    /// All of the journal's file system fails, until it works again.
    Journal,
    /// There is little room, or enough again.
    JournalRoom,
    MirrorRoom,
    /// A file in `incoming/` is not what was put there.
    Tamper,
    /// A byte of the mirror's disks changes by itself.
    Decay,
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::SourceDisk => self.fail_soon(fault, is_write, |world| &world.source.disk_power),
            Fault::JournalStep => {
                self.fail_soon(fault, is_any, |world| &world.source.journal_power)
            }
            Fault::MapStep => self.fail_soon(fault, is_any, |world| &world.source.state_power),
            Fault::MirrorDisk => self.fail_soon(fault, is_any, |world| &world.mirror.disk_power),
            Fault::MirrorFiles => self.fail_soon(fault, is_any, |world| &world.mirror.file_power),
            Fault::Journal => self.break_journal(),
            Fault::JournalRoom => {
                let room = self.room();
                self.log.note(&format!("room in the journal: {room:?}"));
                self.source.journal.set_capacity(room);
            }
            Fault::MirrorRoom => {
                let room = self.room();
                self.log.note(&format!("room on the mirror: {room:?}"));
                self.mirror.files.set_capacity(room);
            }
            Fault::Tamper => tamper::act(self),
            Fault::Decay => self.decay(),
        }
    }

    fn room(&mut self) -> Option<u64> {
        (!self.rng.chance(3)).then(|| self.rng.below(96 << 10))
    }

    fn break_journal(&mut self) {
        let power = &self.source.journal_power;
        match self.rng.chance(2) {
            true => {
                self.log.note("the journal's file system fails");
                power.break_down(ErrorKind::Other);
            }
            false => {
                self.log.note("the journal's file system works");
                power.mend();
            }
        }
    }

    fn decay(&mut self) {
        let place = self.rng.below(self.mirror.disks.sectors() as u64) as usize;
        let byte = self.rng.below(sector::BYTES as u64) as usize;
        self.mirror.disks.decay(place, byte, 1 << self.rng.below(8));
        self.has_decayed = true;
        self.log
            .note(&format!("sector {place} of the mirror decays"));
    }

    fn fail_soon(
        &mut self,
        fault: Fault,
        among: fn(&'static str) -> bool,
        power: impl Fn(&Self) -> &Power,
    ) {
        let after = 1 + self.rng.below(12);
        let kind = match self.rng.chance(4) {
            true => ErrorKind::StorageFull,
            false => ErrorKind::Other,
        };
        power(self).fail_soon(after, among, kind);
        self.log.note(&format!(
            "{fault:?}: step {after} from here on fails, {kind}"
        ));
    }
}

fn is_any(_label: &'static str) -> bool {
    true
}

/// After a failed sync of the source's disk nobody knows what is durable, and the next sync
/// proves nothing of it; so the disk's syncs don't fail here.
fn is_write(label: &'static str) -> bool {
    !label.ends_with("sync")
}

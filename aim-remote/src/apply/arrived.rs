//! What lies in `incoming/`, as it was seen last.
//!
//! The folder may hold very many files: those of a group wait there for its end. So it is listed only
//! when something may have arrived, and each file is measured once, when it is seen first. What the
//! mirror does to them itself is noted here and not looked at again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::FileName;
use aim_core::spool::Names;
use aim_core::units::FileNumber;

/// A file in `incoming/` that looks like one of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) name: FileName,
    /// Its length when it was seen first.
    pub(super) bytes: u64,
    pub(super) is_packed: bool,
    /// Whether it claims to begin with a baseline; `None` before anybody has asked.
    begins_baseline: Option<bool>,
}

impl Arrived {
    pub(super) fn text(&self) -> String {
        text(self.name, self.is_packed)
    }
}

/// Name of a file in one of its forms.
fn text(name: FileName, is_packed: bool) -> String {
    match is_packed {
        false => name.sealed(),
        true => name.packed(),
    }
}

/// The files in `incoming/`: a packed one stands behind the other of its name.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<BTreeMap<(FileName, bool), Arrived>>);

impl Arrivals {
    /// Takes the names that were found; measures files that were not there before.
    pub(super) fn take(&self, names: &Names, folder: &dyn Directory) -> io::Result<()> {
        let plain = names.files.iter().map(|name| (*name, false));
        let packed = names.packed.iter().map(|name| (*name, true));
        let mut known = self.lock();
        let mut now = BTreeMap::new();
        for key in plain.chain(packed) {
            if let Some(arrived) = known.get(&key) {
                now.insert(key, *arrived);
                continue;
            }
            let (name, is_packed) = key;
            let measured = folder.open(&text(name, is_packed), false);
            match measured.and_then(|file| file.len()) {
                Ok(bytes) => {
                    now.insert(key, Arrived::new(name, is_packed, bytes));
                }
                // gone since it was listed
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        *known = now;
        Ok(())
    }

    /// Notes a file that the mirror has put there itself.
    pub(super) fn note(&self, name: FileName, bytes: u64) {
        let arrived = Arrived::new(name, false, bytes);
        self.lock().insert((name, false), arrived);
    }

    /// Notes that a file is not there any more, or is another one.
    pub(super) fn forget(&self, name: FileName, is_packed: bool) {
        self.lock().remove(&(name, is_packed));
    }

    /// Notes what was found of a file whose header can be believed.
    pub(super) fn note_baseline(&self, arrived: &Arrived, begins_baseline: bool) {
        let key = (arrived.name, arrived.is_packed);
        if let Some(known) = self.lock().get_mut(&key) {
            known.begins_baseline = Some(begins_baseline);
        }
    }

    /// The files in the order of their series. A packed one counts only where there is no other of
    /// its name.
    pub(super) fn in_order(&self) -> Vec<Arrived> {
        let mut all: Vec<Arrived> = self.lock().values().copied().collect();
        all.dedup_by_key(|file| file.name);
        all
    }

    /// What is there of a volume's files up to a number, in both forms, and is not there any more
    /// from now on: for who removes them.
    pub(super) fn take_up_to(&self, volume: &VolumeIdentity, last: FileNumber) -> Vec<Arrived> {
        let first = FileName {
            volume: volume.id,
            epoch: volume.epoch,
            number: FileNumber(0),
        };
        let last = FileName {
            number: last,
            ..first
        };
        let mut known = self.lock();
        let past = known.range((first, false)..=(last, true));
        let past: Vec<Arrived> = past.map(|(_, file)| *file).collect();
        for file in &past {
            known.remove(&(file.name, file.is_packed));
        }
        past
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(FileName, bool), Arrived>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrived {
    fn new(name: FileName, is_packed: bool, bytes: u64) -> Self {
        Self {
            name,
            bytes,
            is_packed,
            begins_baseline: None,
        }
    }

    /// Whether it claims to begin with a baseline, if that was asked before.
    pub(super) fn begins_baseline(&self) -> Option<bool> {
        self.begins_baseline
    }
}

//! Taking a mechanism away from those who use the file system.

use std::fmt;
use std::path::Path;

type Skips = dyn Fn(&'static str, &Path) -> bool + Send;
type Alters = dyn Fn(&Path, &mut Vec<u8>) + Send;

/// Steps that a file system only claims to have done, and contents that it stores otherwise than
/// it was told: what stands for code that leaves a step out. Tests show with it that they would
/// notice.
pub struct Sabotage {
    skips: Box<Skips>,
    alters: Box<Alters>,
}

impl Sabotage {
    /// Claims to do the steps for which `skips` says so: by label (`file write`, `file sync`,
    /// `folder sync`, `rename`, `remove`), and file or folder.
    pub fn skip(skips: impl Fn(&'static str, &Path) -> bool + Send + 'static) -> Self {
        Self {
            skips: Box::new(skips),
            alters: Box::new(|_, _| {}),
        }
    }

    /// Lets `alters` change what is written to a file.
    pub fn alter(alters: impl Fn(&Path, &mut Vec<u8>) + Send + 'static) -> Self {
        Self {
            skips: Box::new(|_, _| false),
            alters: Box::new(alters),
        }
    }

    pub(super) fn skips(&self, label: &'static str, path: &Path) -> bool {
        (self.skips)(label, path)
    }

    pub(super) fn alter_data(&self, path: &Path, data: &mut Vec<u8>) {
        (self.alters)(path, data);
    }
}

impl fmt::Debug for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sabotage")
    }
}

//! The stable name of a device: a symbolic link under `/dev/aim/`.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where the names live.
pub(crate) const DIRECTORY: &str = "/dev/aim";

/// The stable name of the device that is called `name`, whether it is there or not.
pub fn path_of(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// A name under [`DIRECTORY`] that points to a device node.
#[derive(Debug)]
pub(crate) struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes `directory/name` point to `device`, in place of whatever stale link has the name.
    pub(crate) fn make(directory: &Path, name: &str, device: &Path) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|e| Error::io("create", directory, e))?;
        let path = directory.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_symlink()) {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Error::io("replace by a link the file", path, source));
        }
        // under a name of its own first, so that the stable name never points nowhere
        let fresh = directory.join(format!(".{name}.new"));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", fresh, error));
            }
            _ => {}
        }
        symlink(device, &fresh).map_err(|e| Error::io("create", &fresh, e))?;
        fs::rename(&fresh, &path).map_err(|e| Error::io("create", &path, e))?;
        Ok(Self {
            path,
            target: device.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name, unless it points elsewhere by now.
    pub(crate) fn remove(self) {
        if fs::read_link(&self.path).is_ok_and(|target| target == self.target)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the device's name stays behind");
        }
    }
}

/// Removes the name of a device that another process has named, if it points to `device`.
pub(crate) fn remove(name: &str, device: &Path) {
    Link {
        path: path_of(name),
        target: device.to_owned(),
    }
    .remove();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_name_is_replaced_and_a_foreign_one_left() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("aim");
        let first = Link::make(&directory, "data", Path::new("/dev/ublkb7")).unwrap();
        let second = Link::make(&directory, "data", Path::new("/dev/ublkb8")).unwrap();
        assert_eq!(
            fs::read_link(second.path()).unwrap(),
            Path::new("/dev/ublkb8")
        );
        first.remove();
        assert!(fs::symlink_metadata(second.path()).is_ok());
        second.remove();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_not_touched() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("data"), "x").unwrap();
        assert!(Link::make(base.path(), "data", Path::new("/dev/ublkb7")).is_err());
        assert_eq!(fs::read(base.path().join("data")).unwrap(), b"x");
    }
}

//! Taking up the file that lies in `open/`: after a stop of whatever kind, or an error.

use super::SeriesError;
use super::rescue::{Rescued, rescue};
use super::series::{FileStage, Series};
use crate::fs::Directory;
use crate::journal::{FileName, Recovered, SealedFile, recover};

impl Series {
    /// Takes up what the one before left in `open/`. Says whether records were lost to damage.
    pub(super) fn take_up_open_file(&mut self) -> Result<bool, SeriesError> {
        let folder = self.spool.open_folder().clone();
        let io_error = |folder: &dyn Directory, source| SeriesError::Io {
            folder: folder.path(),
            name: ".".to_owned(),
            source,
        };
        self.stage = FileStage::Unseen;
        // a process that was killed may have moved a file and not synced that: the next file must
        // not become durable before
        for folder in [self.spool.outgoing_folder(), &folder] {
            folder
                .sync()
                .map_err(|source| io_error(&**folder, source))?;
        }
        let mut is_damaged = false;
        let listed = folder.list().map_err(|source| io_error(&*folder, source))?;
        self.stage = FileStage::None;
        for text in listed {
            let name = FileName::parse_open(&text).ok();
            let expected = name.filter(|name| {
                name.volume == self.volume()
                    && name.epoch == self.spool.identity().epoch
                    && (name.number == self.sealed.file || name.number == self.sealed.file.next())
            });
            let Some(name) = expected else {
                return Err(self.stray(text));
            };
            match name.number == self.sealed.file {
                // its content is durable, and must be just what the cursor says
                true => {
                    self.stage = FileStage::Unfinished(name);
                    self.recover(name)?;
                }
                false => {
                    self.stage = FileStage::Unsure(name);
                    is_damaged |= self.rescue(name)?;
                }
            }
            self.seal()?;
        }
        Ok(is_damaged)
    }

    /// Reads an open file again: to be appended to and sealed, already sealed, or empty.
    pub(super) fn recover(&mut self, name: FileName) -> Result<(), SeriesError> {
        let folder = self.spool.open_folder().clone();
        self.stage = match recover(&*folder, name)? {
            Recovered::Open(file) if file.follows() == (self.sealed.lsn, self.sealed.digest) => {
                self.last = file.last_lsn();
                self.open_group = file.open_group();
                let created = file.created();
                FileStage::Open(file, created)
            }
            Recovered::Sealed(file)
                if file.position == self.sealed || file.position.lsn > self.sealed.lsn =>
            {
                self.take(file)
            }
            Recovered::Empty if name.number > self.sealed.file => {
                let removed = folder.remove(&name.open()).and_then(|()| folder.sync());
                removed.map_err(|source| self.open_error(name, source))?;
                FileStage::None
            }
            _ => return Err(self.stray(name.open())),
        };
        Ok(())
    }

    /// Brings an open file into safety. Says whether it was damaged, and its records are lost.
    pub(super) fn rescue(&mut self, name: FileName) -> Result<bool, SeriesError> {
        let rescued = rescue(&self.spool, name, self.clock.now())?;
        let (stage, is_damaged) = match rescued {
            Rescued::Sealed(file) if file.position.lsn > self.sealed.lsn => {
                (self.take(file), false)
            }
            Rescued::Sealed(_) => return Err(self.stray(name.open())),
            Rescued::Empty => (FileStage::None, false),
            Rescued::Damaged(error) => {
                tracing::error!(%error, "set aside: what it held has to be copied from the disk");
                (FileStage::None, true)
            }
        };
        if matches!(stage, FileStage::None) {
            self.last = self.sealed.lsn;
            self.open_group = self.sealed.open_group;
        }
        self.stage = stage;
        Ok(is_damaged)
    }

    fn take(&mut self, file: SealedFile) -> FileStage {
        self.last = file.position.lsn;
        self.open_group = file.position.open_group;
        self.last_time = self.last_time.max(file.last_time);
        FileStage::Sealed(file)
    }

    fn stray(&self, name: String) -> SeriesError {
        let (folder, sealed) = (self.spool.open_folder().path(), self.sealed);
        SeriesError::Stray {
            folder,
            name,
            sealed,
        }
    }
}

//! Where sealed files wait that are carried on to others.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::sync::Arc;

use super::{Listing, SourceSpool, SpoolError};
use crate::cursor::Position;
use crate::fs::Directory;
use crate::identity::VolumeIdentity;
use crate::journal::FileName;

/// Where sealed files wait that are carried on to others: the journal folder of a source, or the
/// folder of a mirror that passes on what it receives.
pub trait Outgoing: Debug + Send + Sync + 'static {
    /// The volume that it belongs to.
    fn identity(&self) -> &VolumeIdentity;

    /// The folder of the volume, where it is noted what the others have.
    fn root(&self) -> &Arc<dyn Directory>;

    /// Where the files are.
    fn folder(&self) -> &Arc<dyn Directory>;

    /// Looks at what there is, in an order in which nothing is overlooked.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] if the folders can't be read.
    fn look(&self) -> Result<Waiting, SpoolError>;

    /// Removes the waiting files of this volume and epoch up to `received`, which nobody else needs, as far as
    /// they are of no use here. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] if the folder can't be changed.
    fn remove(&self, received: Position) -> Result<u64, SpoolError>;

    /// Bytes that the file system has left.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if it does not tell.
    fn free_bytes(&self) -> Result<u64, SpoolError>;
}

/// What waits to be carried on.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The last file of the series that there was or is.
    pub sealed: Position,
    /// Whether that one is listed if it is still here.
    pub is_complete: bool,
    /// The files. Behind the first one none of the series is missing.
    pub listing: Listing,
}

impl Outgoing for SourceSpool {
    fn identity(&self) -> &VolumeIdentity {
        self.identity()
    }

    fn root(&self) -> &Arc<dyn Directory> {
        self.root()
    }

    fn folder(&self) -> &Arc<dyn Directory> {
        self.outgoing_folder()
    }

    fn look(&self) -> Result<Waiting, SpoolError> {
        let sealed = self.sealed()?;
        let name = FileName {
            volume: self.identity().id,
            epoch: self.identity().epoch,
            number: sealed.file,
        };
        let folder = self.open_folder();
        // it has no other name before the cursor names it
        let is_complete = match folder.open(&name.open(), false) {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(source) => {
                let path = folder.path().join(name.open());
                return Err(SpoolError::Io { path, source });
            }
        };
        Ok(Waiting {
            sealed,
            is_complete,
            listing: self.outgoing()?,
        })
    }

    fn remove(&self, received: Position) -> Result<u64, SpoolError> {
        self.remove_received(received)
    }

    fn free_bytes(&self) -> Result<u64, SpoolError> {
        self.free_bytes()
    }
}

//! The journal folder of a volume on its source.

use std::sync::Arc;

use super::folder::{load_optional, load_required, remove_up_to, require_absent, store, subfolder};
use super::{Listing, SpoolError};
use crate::cursor::{Position, SealedCursor};
use crate::failpoint::{Failpoint, reach};
use crate::fs::Directory;
use crate::identity::VolumeIdentity;

/// The journal folder of a volume on its source.
#[derive(Clone, Debug)]
pub struct SourceSpool {
    root: Arc<dyn Directory>,
    open: Arc<dyn Directory>,
    rescue: Arc<dyn Directory>,
    damaged: Arc<dyn Directory>,
    outgoing: Arc<dyn Directory>,
    state: Arc<dyn Directory>,
    identity: VolumeIdentity,
}

impl SourceSpool {
    /// Makes an existing folder the journal folder of a new volume; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`SpoolError::AlreadyInitialized`] if it has an identity.
    pub fn create(root: Arc<dyn Directory>, identity: &VolumeIdentity) -> Result<Self, SpoolError> {
        require_absent::<VolumeIdentity>(&*root)?;
        // folders first: a folder with an identity has all it needs
        let spool = Self::with_identity(root, identity.clone())?;
        store(&*spool.root, identity)?;
        Ok(spool)
    }

    /// Opens the journal folder of a volume.
    ///
    /// # Errors
    ///
    /// [`SpoolError::NotInitialized`] if it has no identity.
    pub fn open(root: Arc<dyn Directory>) -> Result<Self, SpoolError> {
        let identity = load_required(&*root)?;
        Self::with_identity(root, identity)
    }

    fn with_identity(
        root: Arc<dyn Directory>,
        identity: VolumeIdentity,
    ) -> Result<Self, SpoolError> {
        Ok(Self {
            open: subfolder(&root, "open")?,
            rescue: subfolder(&root, "rescue")?,
            damaged: subfolder(&root, "damaged")?,
            outgoing: subfolder(&root, "outgoing")?,
            state: root.clone(),
            root,
            identity,
        })
    }

    /// Keeps the extent map in `folder` instead of the journal folder: what has to be copied is
    /// then known even where the journal's file system fails.
    #[must_use]
    pub fn with_state_folder(self, folder: Arc<dyn Directory>) -> Self {
        Self {
            state: folder,
            ..self
        }
    }

    /// The volume that it belongs to.
    pub fn identity(&self) -> &VolumeIdentity {
        &self.identity
    }

    /// The folder itself, with identity and cursor.
    pub fn root(&self) -> &Arc<dyn Directory> {
        &self.root
    }

    /// Where the unsealed file is written.
    pub fn open_folder(&self) -> &Arc<dyn Directory> {
        &self.open
    }

    /// Where an open file is copied whose content on the medium is unknown.
    pub fn rescue_folder(&self) -> &Arc<dyn Directory> {
        &self.rescue
    }

    /// Where open files are kept that could not be read. Nothing in it is ever used again.
    pub fn damaged_folder(&self) -> &Arc<dyn Directory> {
        &self.damaged
    }

    /// Where the extent map is.
    pub fn state_folder(&self) -> &Arc<dyn Directory> {
        &self.state
    }

    /// Bytes that the journal's file system has left.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if it does not tell.
    pub fn free_bytes(&self) -> Result<u64, SpoolError> {
        let free = self.root.free_bytes();
        free.map_err(SpoolError::io(self.root.path()))
    }

    /// Where sealed files wait until they are durable at every target.
    pub fn outgoing_folder(&self) -> &Arc<dyn Directory> {
        &self.outgoing
    }

    /// The last sealed file; the start if there is none.
    ///
    /// # Errors
    ///
    /// [`SpoolError::State`] if the cursor is damaged or of another volume.
    pub fn sealed(&self) -> Result<Position, SpoolError> {
        let Some(cursor) = load_optional::<SealedCursor>(&*self.root)? else {
            return Ok(Position::START);
        };
        let checked = cursor.require_volume(self.identity.id);
        checked.map_err(|source| SpoolError::State {
            folder: self.root.path(),
            source,
        })?;
        Ok(cursor.sealed)
    }

    /// Notes the last sealed file; durable when this returns.
    pub fn set_sealed(&self, sealed: Position) -> Result<(), SpoolError> {
        let cursor = SealedCursor {
            volume: self.identity.id,
            sealed,
        };
        store(&*self.root, &cursor)?;
        reach(Failpoint::SealCursor).map_err(SpoolError::io(self.root.path()))
    }

    /// What waits to be shipped.
    pub fn outgoing(&self) -> Result<Listing, SpoolError> {
        Listing::read(&*self.outgoing)
    }

    /// Removes the waiting files of this volume and epoch up to `received`, which every target
    /// has said to be durable there. Returns how many there were.
    pub fn remove_received(&self, received: Position) -> Result<u64, SpoolError> {
        remove_up_to(&*self.outgoing, self.identity.id, received)
    }
}

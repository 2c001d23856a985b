//! The folder of a volume on its mirror host.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::folder::{
    load_optional, load_required, remove, remove_up_to, require_absent, store, subfolder,
};
use super::{Listing, Names, SpoolError};
use crate::cursor::{MirrorCursor, MirrorCursorFile, Position};
use crate::failpoint::{Failpoint, reach};
use crate::fs::Directory;
use crate::identity::{FollowerIdentity, MirrorIdentity, VolumeIdentity};
use crate::state_file::StateFile;

/// The folder of a volume on its mirror host.
///
/// The far side may put files into `incoming/` at any time; everything else is written by the
/// mirror host alone.
#[derive(Clone, Debug)]
pub struct MirrorSpool {
    root: Arc<dyn Directory>,
    incoming: Arc<dyn Directory>,
    rejected: Arc<dyn Directory>,
    identity: VolumeIdentity,
}

impl MirrorSpool {
    /// Makes an existing folder the folder of a mirror of `identity`; durable when this returns.
    ///
    /// The pairing with devices is stored apart, by [`pair`](Self::pair).
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

    /// Makes an existing folder the folder of a mirror of `identity` that is never asked what it holds,
    /// as [`FollowerIdentity`] says; durable when this returns.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_follower(
        root: Arc<dyn Directory>,
        identity: &VolumeIdentity,
    ) -> Result<Self, SpoolError> {
        require_absent::<VolumeIdentity>(&*root)?;
        // first: without it a mirror begins with any file
        let volume = identity.id;
        store(&*root, &FollowerIdentity { volume })?;
        Self::create(root, identity)
    }

    /// Opens the folder of a mirror.
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
            incoming: subfolder(&root, "incoming")?,
            rejected: subfolder(&root, "rejected")?,
            root,
            identity,
        })
    }

    /// The volume that is mirrored.
    pub fn identity(&self) -> &VolumeIdentity {
        &self.identity
    }

    /// Whether the mirror is never asked what it holds, and so begins at a baseline.
    ///
    /// # Errors
    ///
    /// [`SpoolError::State`] if that can't be read, or is said of another volume.
    pub fn is_follower(&self) -> Result<bool, SpoolError> {
        let Some(follower) = load_optional::<FollowerIdentity>(&*self.root)? else {
            return Ok(false);
        };
        let ours = follower.require_volume(self.identity.id);
        ours.map_err(|source| SpoolError::State {
            folder: self.root.path(),
            source,
        })?;
        Ok(true)
    }

    /// The folder itself, with identities and cursor.
    pub fn root(&self) -> &Arc<dyn Directory> {
        &self.root
    }

    /// Where files arrive and wait to be applied.
    pub fn incoming_folder(&self) -> &Arc<dyn Directory> {
        &self.incoming
    }

    /// Where refused files are kept.
    pub fn rejected_folder(&self) -> &Arc<dyn Directory> {
        &self.rejected
    }

    /// Which devices are paired; `None` before any is.
    pub fn pairing(&self) -> Result<Option<MirrorIdentity>, SpoolError> {
        load_optional(&*self.root)
    }

    /// Pairs the mirror with devices; durable when this returns. What they hold is not known: how far
    /// others were that it was paired with before is forgotten.
    ///
    /// # Errors
    ///
    /// [`SpoolError::AlreadyInitialized`] if it is paired: remove `mirror.id` to pair it anew.
    pub fn pair(&self, pairing: &MirrorIdentity) -> Result<(), SpoolError> {
        require_absent::<MirrorIdentity>(&*self.root)?;
        let removed = match self.root.remove(MirrorCursor::NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.root.sync()),
        };
        let path = self.root.path().join(MirrorCursor::NAME);
        removed.map_err(SpoolError::io(path))?;
        store(&*self.root, pairing)
    }

    /// The cursor of the mirror; at the start if nothing has been received yet. There must be
    /// only one of them at a time.
    ///
    /// # Errors
    ///
    /// [`SpoolError::State`] if the cursor is damaged or of another volume.
    pub fn cursor(&self) -> Result<MirrorCursorFile, SpoolError> {
        let opened = MirrorCursorFile::open(self.root.clone(), self.identity.id);
        opened.map_err(|source| SpoolError::State {
            folder: self.root.path(),
            source,
        })
    }

    /// What has arrived.
    pub fn incoming(&self) -> Result<Listing, SpoolError> {
        Listing::read(&*self.incoming)
    }

    /// The names of what has arrived: one call of the folder, whatever there is.
    pub fn incoming_names(&self) -> Result<Names, SpoolError> {
        Names::read(&*self.incoming)
    }

    /// What has been set aside; reasons are among the strangers.
    pub fn rejected(&self) -> Result<Listing, SpoolError> {
        Listing::read(&*self.rejected)
    }

    /// Removes the arrived files of this volume and epoch up to `applied`, whose content is
    /// durable on the devices. Returns how many there were.
    pub fn remove_applied(&self, applied: Position) -> Result<u64, SpoolError> {
        remove_up_to(&*self.incoming, self.identity.id, applied)
    }

    /// Removes arrived files by their names, as far as they are there. Returns how many were.
    ///
    /// Who asks for it knows that they are not needed: they are of this volume and epoch, and
    /// applied.
    pub fn remove_arrived(&self, names: impl Iterator<Item = String>) -> Result<u64, SpoolError> {
        remove(&*self.incoming, names)
    }

    /// Sets an arrived file aside: moves it to `rejected/`, with a file beside it that gives the
    /// reason. Nothing that was set aside before is overwritten: a second file of the same name
    /// gets a number. Durable when this returns; gives the name in `rejected/`.
    ///
    /// The reason is durable before the file moves, so a file in `rejected/` always has one.
    pub fn reject(&self, name: &str, reason: &str) -> Result<String, SpoolError> {
        let rejected_path = self.rejected.path();
        let kept = self.unused_name(name)?;
        self.write_reason(&format!("{kept}.reason"), reason)
            .and_then(|()| reach(Failpoint::RejectReason))
            .map_err(SpoolError::io(rejected_path.join(&kept)))?;
        self.incoming
            .rename(name, &*self.rejected, &kept)
            .and_then(|()| reach(Failpoint::RejectRenamed))
            .and_then(|()| self.rejected.sync())
            .and_then(|()| reach(Failpoint::RejectSynced))
            .and_then(|()| self.incoming.sync())
            .map_err(SpoolError::io(self.incoming.path().join(name)))?;
        tracing::warn!(
            file = name,
            reason,
            "set aside in {}",
            rejected_path.display()
        );
        Ok(kept)
    }

    /// The name itself, or with the first number with which nothing is kept yet.
    fn unused_name(&self, name: &str) -> Result<String, SpoolError> {
        let path = self.rejected.path();
        let taken = self.rejected.list().map_err(SpoolError::io(path))?;
        let is_free = |candidate: &String| {
            let reason = format!("{candidate}.reason");
            !taken.contains(candidate) && !taken.contains(&reason)
        };
        let numbered = (2u64..).map(|number| format!("{name}.{number}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        Ok(candidates
            .find(is_free)
            .expect("more numbers than names in a folder"))
    }

    fn write_reason(&self, name: &str, reason: &str) -> io::Result<()> {
        let file = self.rejected.create(name)?;
        file.write_all_at(&[IoSlice::new(reason.as_bytes()), IoSlice::new(b"\n")], 0)?;
        file.sync_data()?;
        self.rejected.sync()
    }
}

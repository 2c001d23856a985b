//! What the far side says of itself: small files in the mirror's directory.

use std::collections::BTreeMap;

use aim_core::cursor::{MirrorCursor, Position, RelayCursor};
use aim_core::identity::{FollowerIdentity, MirrorIdentity, VolumeIdentity};
use aim_core::journal::FileName;
use aim_core::replay::Differences;
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_core::units::MirrorId;

use super::ShipError;
use super::round::Rounds;
use crate::transport::{Name, Transport, TransportError};

/// The folder on the far side that files are put into.
pub(super) const INCOMING: &str = "incoming";

/// Where the mirror host keeps what it refused.
const REJECTED: &str = "rejected";

/// Most bytes of a reason that are read.
const REASON_BYTES_MAX: usize = 4096;

impl<T: Transport> Rounds<T> {
    /// Refuses the directory of another volume's mirror, once on each way that leads there: it
    /// would set all files aside.
    pub(super) async fn require_own_mirror(&mut self) -> Result<(), ShipError> {
        if self.mirror_is_ours {
            return Ok(());
        }
        let Some(far) = self.far_state::<VolumeIdentity>().await? else {
            return match self.retention.has_followers() {
                true => Err(ShipError::NoFollower),
                // a place that only carries files on need not know whose they are
                false => Ok(()),
            };
        };
        let expected = self.spool.identity().id;
        if far.id != expected {
            return Err(ShipError::ForeignMirror {
                expected,
                found: far.id,
            });
        }
        // zeroes where it does not say
        let mirror = self.far_state::<MirrorIdentity>().await?;
        let mirror = mirror.map_or_else(MirrorId::default, |mirror| mirror.id);
        self.require_kind(mirror).await?;
        self.retention.meet(self.target, mirror)?;
        self.mirror_is_ours = true;
        Ok(())
    }

    /// Refuses a mirror that begins with any file where it will not be asked what it holds, and one
    /// that waits for a baseline where nobody knows of that.
    async fn require_kind(&self, mirror: MirrorId) -> Result<(), ShipError> {
        let follower = self.far_state::<FollowerIdentity>().await?;
        if let Some(follower) = &follower {
            let ours = follower.require_volume(self.spool.identity().id);
            ours.map_err(ShipError::FarState)?;
        }
        match (self.retention.has_followers(), follower.is_some()) {
            (true, false) => Err(ShipError::NoFollower),
            (false, true) => Err(ShipError::Follower),
            // what it will begin with is not known before it is paired
            (true, true) if mirror == MirrorId::default() => Err(ShipError::NotPaired),
            _ => Ok(()),
        }
    }

    /// What those behind the mirror need; `None` if it passes on nothing.
    pub(super) async fn far_relay(&self) -> Result<Option<RelayCursor>, ShipError> {
        if self.retention.origin.is_none() || self.store.is_some() {
            return Ok(None);
        }
        let relay = self.far_state::<RelayCursor>().await?;
        if let Some(relay) = &relay {
            let ours = relay.require_volume(self.spool.identity().id);
            ours.map_err(ShipError::FarState)?;
        }
        Ok(relay)
    }

    /// The files that are whole on the far side, with their lengths.
    pub(super) async fn far_files(&self) -> Result<BTreeMap<String, u64>, ShipError> {
        let entries = self.transport.list(INCOMING).await?;
        Ok(entries.into_iter().map(|e| (e.name, e.len)).collect())
    }

    /// How far the mirror is; the start where it has not received anything.
    pub(super) async fn far_cursor(&self) -> Result<MirrorCursor, ShipError> {
        let cursor = self.far_state::<MirrorCursor>().await?;
        Ok(cursor.unwrap_or_else(|| MirrorCursor::new(self.spool.identity().id)))
    }

    /// Reads what the mirror knows to differ. As that is stored before `applied` moves, and read
    /// here after it, it is of the position `applied` or of a later one.
    pub(super) async fn look_for_differences(
        &mut self,
        applied: Position,
    ) -> Result<(), ShipError> {
        if self.differences_at == Some(applied) || self.store.is_some() {
            return Ok(());
        }
        let volume = self.spool.identity().id;
        let found = match self.far_state::<Differences>().await {
            Ok(None) => Ok(Differences::new(volume)),
            Ok(Some(found)) => found.require_volume(volume).map(|()| found),
            Err(ShipError::FarState(error)) => Err(error),
            Err(error) => return Err(error),
        };
        // files are shipped whatever is known of differences
        if let Err(error) = &found {
            tracing::warn!(%error, "where the mirror differs can't be read");
        }
        self.differences_at = Some(applied);
        self.shared()
            .update(|status| status.differences = found.ok());
        Ok(())
    }

    /// A state file of the far side; `None` if it is not there.
    pub(super) async fn far_state<S: StateFile>(&self) -> Result<Option<S>, ShipError> {
        let name = Name::parse(S::NAME)?;
        match self.transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => S::decode(&bytes).map(Some).map_err(ShipError::FarState),
            Err(TransportError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Why the mirror host set a file aside, if it can be read: the reason may be kept under
    /// another name, or not be ours to read.
    pub(super) async fn far_reason(&self, name: FileName) -> Result<Option<String>, ShipError> {
        let delivered = self.delivered.get(&name.number);
        let stored = delivered.map(|delivered| delivered.stored.name.clone());
        for text in stored.into_iter().chain([name.sealed()]) {
            let reason = Name::in_folder(REJECTED, &format!("{text}.reason"))?;
            if let Ok(bytes) = self.transport.get(&reason, REASON_BYTES_MAX).await {
                return Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()));
            }
        }
        Ok(None)
    }
}

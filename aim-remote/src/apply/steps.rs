//! The steps of the coordinator one by one.

use std::sync::Arc;
use std::time::Duration;

use aim_core::cursor::MirrorCursorFile;
use aim_core::device::BlockDevice;
use aim_core::replay::Replay;
use aim_core::spool::MirrorSpool;

use super::receive::Mirror;
use super::{ApplyError, ApplyStatus};
use crate::relay::Relay;

/// What the threads of an [`Applier`](super::Applier) repeat, one by one, for those who say
/// themselves when the next step is due.
#[derive(Debug)]
pub struct Steps {
    pub(super) mirror: Arc<Mirror>,
    pub(super) replay: Replay,
}

impl Steps {
    /// Takes up what arrives in `spool`, for `devices`, which are those of the volume in its
    /// order. Nothing is done yet. A file that is wrong must stay as it is for `settle`, and two
    /// looks, before it is set aside.
    ///
    /// # Errors
    ///
    /// If the cursor can't be read or the devices don't fit.
    pub fn new(
        spool: MirrorSpool,
        devices: Vec<Arc<dyn BlockDevice>>,
        settle: Duration,
    ) -> Result<Self, ApplyError> {
        // what it may have passed on before comes to an end here
        Relay::close(&spool)?;
        let cursor = Arc::new(spool.cursor()?);
        Self::with(spool, cursor, None, devices, settle)
    }

    /// The same for a mirror that passes on what it receives: files that others need are kept when
    /// they are applied, and [`Retention::check`](crate::ship::Retention::check) removes them.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn relaying(
        relay: &Arc<Relay>,
        devices: Vec<Arc<dyn BlockDevice>>,
        settle: Duration,
    ) -> Result<Self, ApplyError> {
        let (spool, cursor) = (relay.spool().clone(), Arc::clone(relay.cursor()));
        Self::with(spool, cursor, Some(Arc::clone(relay)), devices, settle)
    }

    fn with(
        spool: MirrorSpool,
        cursor: Arc<MirrorCursorFile>,
        relay: Option<Arc<Relay>>,
        devices: Vec<Arc<dyn BlockDevice>>,
        settle: Duration,
    ) -> Result<Self, ApplyError> {
        let identity = spool.identity().clone();
        let replay = Replay::new(identity, devices, Arc::clone(&cursor))?;
        let mirror = Arc::new(Mirror::new(spool, cursor, relay, settle)?);
        mirror.shared.note_differences(replay.differences());
        Ok(Self { mirror, replay })
    }

    /// Receives what has arrived and fits, in order, and sets aside what is wrong.
    ///
    /// # Errors
    ///
    /// Whatever is in the way; the next call tries again.
    pub fn receive(&self) -> Result<(), ApplyError> {
        self.mirror.receive()
    }

    /// Applies what comes next of what was received. Says whether there was anything to do.
    ///
    /// # Errors
    ///
    /// Whatever is in the way; the next call tries again.
    pub fn apply(&mut self) -> Result<bool, ApplyError> {
        self.mirror.apply_next(&mut self.replay)
    }

    /// How it is going. What is in the way is for its owner to say.
    pub fn status(&self) -> ApplyStatus {
        self.mirror.status()
    }
}

//! What an extent map says while no capture runs.

use super::MapError;
use super::map_file::{ExtentMap, MapFile};
use super::map_header::MapState;
use super::table::Extents;
use crate::fs::Directory;
use crate::identity::VolumeIdentity;
use crate::units::ByteLen;

/// What an extent map says while no capture runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFacts {
    /// Bytes of the extents that have to be copied in any case.
    pub needed: ByteLen,
    /// Bytes of the extents that have to be copied besides, unless the staging ring of a capture
    /// that was interrupted is still there; 0 after a clean end.
    pub hot: ByteLen,
    /// Whether the last capture ended while transactions were not captured.
    pub is_tracking: bool,
}

impl ExtentMap {
    /// Looks at the map in `folder`. Where there is none, or none that can be believed, all of the
    /// volume has to be copied.
    ///
    /// # Errors
    ///
    /// As at the start of a capture: the file can't be read, or is of another volume.
    pub fn facts(folder: &dyn Directory, volume: &VolumeIdentity) -> Result<MapFacts, MapError> {
        let loaded = MapFile::load(folder, volume)?;
        let extents = Extents::new(volume, loaded.shift, loaded.bits);
        let mut facts = MapFacts {
            needed: ByteLen(0),
            hot: ByteLen(0),
            is_tracking: loaded.state == MapState::Tracking,
        };
        let is_clean = loaded.state == MapState::Clean;
        for index in 0..extents.count() {
            let len = extents.place(index).len.get();
            if extents.is_needed(index) {
                facts.needed.0 += len;
            } else if !is_clean && extents.is_hot(index) {
                facts.hot.0 += len;
            }
        }
        Ok(facts)
    }
}

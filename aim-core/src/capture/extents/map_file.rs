//! The file `extents.map`: `docs/format.md`, section 9.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use crate::xxh3::xxh3_64;
use zerocopy::IntoBytes;

use super::map_header::{BITS_PLACE, MapState, RawHeader, SHIFT_RANGE, read_header};
use super::sector::{Bits, SECTOR_BYTES};
use super::table::{default_shift, sectors};
use crate::failpoint::{Failpoint, reach};
use crate::fs::{DirFile, Directory};
use crate::identity::VolumeIdentity;
use crate::units::VolumeId;

/// Name of the file in its folder.
const NAME: &str = "extents.map";
/// Makes the extent map of a volume.
#[derive(Debug)]
pub struct ExtentMap;

/// What is known of source and mirror when a volume begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// They hold the same bytes.
    Identical,
    /// Nothing: all of the source has to be copied first.
    Unknown,
}

/// Why the extent map can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The file system failed.
    #[error("{NAME} in {folder}: {source}")]
    Io {
        /// Folder of the map.
        folder: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It belongs to another volume.
    #[error("{NAME} in {folder} belongs to volume {found}, not to {expected}")]
    Volume {
        /// Folder of the map.
        folder: PathBuf,
        /// The volume that was expected.
        expected: VolumeId,
        /// The volume that it names.
        found: VolumeId,
    },
}

impl ExtentMap {
    /// Makes the map of a new volume in `folder`, replacing whatever is there; durable when this
    /// returns. Extents have `extent_bytes` (a power of two from 512 to 2^40), or what fits the
    /// size of the volume.
    ///
    /// # Errors
    ///
    /// [`MapError::Io`].
    ///
    /// # Panics
    ///
    /// If `extent_bytes` is not such a number.
    pub fn create(
        folder: &dyn Directory,
        volume: &VolumeIdentity,
        initial: Initial,
        extent_bytes: Option<u64>,
    ) -> Result<(), MapError> {
        let shift = extent_bytes.map_or_else(
            || default_shift(volume),
            |bytes| {
                assert!(bytes.is_power_of_two(), "extents of {bytes} bytes");
                bytes.trailing_zeros()
            },
        );
        assert!(SHIFT_RANGE.contains(&shift), "extents of 2^{shift} bytes");
        let bits = match initial {
            Initial::Identical => Bits::default(),
            Initial::Unknown => Bits::ALL_NEEDED,
        };
        let content = whole_file(
            volume,
            shift,
            MapState::Clean,
            &vec![bits; sectors(volume, shift)],
        );
        let written = folder.write_atomic(NAME, &content);
        written.map_err(|source| io_error(folder, source))
    }
}

/// What a map says.
#[derive(Debug)]
pub(in crate::capture) struct Loaded {
    pub(in crate::capture) shift: u32,
    pub(in crate::capture) state: MapState,
    pub(in crate::capture) bits: Vec<Bits>,
}

/// The map while a capture runs.
#[derive(Debug)]
pub(in crate::capture) struct MapFile {
    folder: Arc<dyn Directory>,
    volume: VolumeIdentity,
    shift: u32,
    state: MapState,
    /// `None` where writing to it failed: it has to be made anew.
    file: Option<Arc<dyn DirFile>>,
}

impl MapFile {
    /// Reads the map in `folder`. Where there is none, or none that can be believed, everything
    /// has to be copied.
    pub(in crate::capture) fn load(
        folder: &dyn Directory,
        volume: &VolumeIdentity,
    ) -> Result<Loaded, MapError> {
        let unknown = |why: &str| {
            tracing::warn!(
                folder = %folder.path().display(),
                "the extent map {why}: all of the disk will be copied"
            );
            let shift = default_shift(volume);
            Ok(Loaded {
                shift,
                state: MapState::Clean,
                bits: vec![Bits::ALL_NEEDED; sectors(volume, shift)],
            })
        };
        let file = match folder.open(NAME, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return unknown("is missing"),
            Err(source) => return Err(io_error(folder, source)),
        };
        let header = match read_header(&*file) {
            Ok(Some(header)) => header,
            Ok(None) => return unknown("is damaged"),
            Err(source) => return Err(io_error(folder, source)),
        };
        if header.volume != volume.id.0 {
            return Err(MapError::Volume {
                folder: folder.path(),
                expected: volume.id,
                found: VolumeId(header.volume),
            });
        }
        let Some((shift, state)) = header.parse(volume) else {
            return unknown("is not that of these devices");
        };
        let bits = read_bits(&*file, volume, shift).map_err(|source| io_error(folder, source))?;
        Ok(Loaded { shift, state, bits })
    }

    /// Takes the map over for a capture, with this content; durable when this returns.
    ///
    /// It is written where it lies, if it can be: there is room for that on a full file system,
    /// too, and each sector holds the old bits or the new ones if that is interrupted.
    pub(in crate::capture) fn take_over(
        folder: Arc<dyn Directory>,
        volume: VolumeIdentity,
        shift: u32,
        all: &[(usize, Bits)],
    ) -> Result<Self, MapError> {
        let mut map = Self {
            file: folder.open(NAME, true).ok(),
            folder,
            volume,
            shift,
            state: MapState::Capturing,
        };
        if let Some(file) = &map.file
            && let Err(error) = map.write(&**file, all, true)
        {
            tracing::warn!(%error, "the extent map is made anew");
            map.file = None;
        }
        if map.file.is_none() {
            let replaced = map.replace(all);
            replaced.map_err(|source| io_error(&*map.folder, source))?;
        }
        Ok(map)
    }

    /// Stores sectors and the state; durable when this returns.
    ///
    /// After a failure the file is not trusted, and made anew from `all` by the next call.
    pub(in crate::capture) fn store(
        &mut self,
        changed: &[(usize, Bits)],
        state: MapState,
        all: impl FnOnce() -> Vec<(usize, Bits)>,
    ) -> io::Result<()> {
        let state_changes = self.state != state;
        self.state = state;
        match self.file.take() {
            None => self.replace(&all()),
            Some(file) => {
                self.write(&*file, changed, state_changes)?;
                self.file = Some(file);
                Ok(())
            }
        }
    }

    fn write(
        &self,
        file: &dyn DirFile,
        changed: &[(usize, Bits)],
        state_changes: bool,
    ) -> io::Result<()> {
        if state_changes {
            let header = RawHeader::new(&self.volume, self.shift, self.state);
            file.write_all_at(&[IoSlice::new(header.as_bytes())], 0)?;
        }
        for (at, bits) in changed {
            let sector = bits.encode(seed(&self.volume, *at));
            let place = BITS_PLACE + (at * SECTOR_BYTES) as u64;
            file.write_all_at(&[IoSlice::new(&sector)], place)?;
        }
        reach(Failpoint::MapWritten)?;
        file.sync_data()?;
        reach(Failpoint::MapSynced)
    }

    fn replace(&mut self, all: &[(usize, Bits)]) -> io::Result<()> {
        let bits: Vec<Bits> = all.iter().map(|(_, bits)| *bits).collect();
        let content = whole_file(&self.volume, self.shift, self.state, &bits);
        self.folder.write_atomic(NAME, &content)?;
        self.file = Some(self.folder.open(NAME, true)?);
        Ok(())
    }
}

fn read_bits(file: &dyn DirFile, volume: &VolumeIdentity, shift: u32) -> io::Result<Vec<Bits>> {
    let end = file.len()?;
    let mut lost = 0;
    let mut all = Vec::with_capacity(sectors(volume, shift));
    for at in 0..sectors(volume, shift) {
        let place = BITS_PLACE + (at * SECTOR_BYTES) as u64;
        let mut bytes = [0; SECTOR_BYTES];
        if place + SECTOR_BYTES as u64 <= end {
            file.read_exact_at(&mut bytes, place)?;
        }
        let bits = Bits::decode(&bytes, seed(volume, at));
        lost += usize::from(bits.is_none());
        all.push(bits.unwrap_or(Bits::ALL_NEEDED));
    }
    if lost > 0 {
        tracing::warn!(
            lost,
            "sectors of the extent map are damaged: their extents will be copied"
        );
    }
    Ok(all)
}

fn whole_file(volume: &VolumeIdentity, shift: u32, state: MapState, bits: &[Bits]) -> Vec<u8> {
    let mut content = RawHeader::new(volume, shift, state).as_bytes().to_vec();
    content.resize(BITS_PLACE as usize, 0);
    for (at, bits) in bits.iter().enumerate() {
        content.extend_from_slice(&bits.encode(seed(volume, at)));
    }
    content
}

/// Ties a sector to its volume and place.
fn seed(volume: &VolumeIdentity, at: usize) -> u64 {
    xxh3_64(&volume.id.0).wrapping_add(at as u64)
}

fn io_error(folder: &dyn Directory, source: io::Error) -> MapError {
    let folder = folder.path();
    MapError::Io { folder, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::extents::Extents;
    use crate::fs::HostDirectory;
    use crate::request::Request;
    use crate::units::{ByteLen, ByteOffset};

    fn folder() -> (tempfile::TempDir, Arc<dyn Directory>) {
        let temp = tempfile::tempdir().unwrap();
        let folder = HostDirectory::open(temp.path()).unwrap();
        (temp, folder)
    }

    fn volume() -> VolumeIdentity {
        VolumeIdentity::generate(ByteLen(10 << 20), 512)
    }

    #[test]
    fn what_was_stored_is_loaded_and_what_is_missing_is_needed() {
        let (_temp, folder) = folder();
        let volume = volume();
        assert_eq!(
            MapFile::load(&*folder, &volume).unwrap().bits,
            [Bits::ALL_NEEDED]
        );
        ExtentMap::create(&*folder, &volume, Initial::Identical, Some(4096)).unwrap();
        let loaded = MapFile::load(&*folder, &volume).unwrap();
        assert_eq!(loaded.state, MapState::Clean);
        let mut extents = Extents::new(&volume, loaded.shift, loaded.bits);
        assert_eq!((extents.count(), extents.needed()), (2560, 0));
        let all = extents.all();
        let mut map =
            MapFile::take_over(folder.clone(), volume.clone(), loaded.shift, &all).unwrap();
        let range = extents.of(&Request::write(ByteOffset(9 << 20), ByteLen(8192)));
        assert_eq!(range, 2304..2306);
        extents.need(range);
        let changes = extents.take_changes();
        map.store(&changes, MapState::Tracking, Vec::new).unwrap();
        let loaded = MapFile::load(&*folder, &volume).unwrap();
        assert_eq!(loaded.state, MapState::Tracking);
        assert_eq!(Extents::new(&volume, 12, loaded.bits).needed(), 2);
        let facts = ExtentMap::facts(&*folder, &volume).unwrap();
        assert_eq!((facts.needed.0, facts.hot.0), (8192, 0));
        assert!(facts.is_tracking);
    }

    #[test]
    fn a_damaged_sector_costs_a_copy_and_a_foreign_map_is_refused() {
        let (temp, folder) = folder();
        let volume = volume();
        ExtentMap::create(&*folder, &volume, Initial::Identical, Some(4096)).unwrap();
        let path = temp.path().join(NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[BITS_PLACE as usize + SECTOR_BYTES + 3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let loaded = MapFile::load(&*folder, &volume).unwrap();
        let extents = Extents::new(&volume, loaded.shift, loaded.bits);
        assert_eq!(
            extents.needed(),
            2560 - super::super::sector::SECTOR_EXTENTS
        );
        let foreign = MapFile::load(&*folder, &self::volume());
        assert!(matches!(foreign, Err(MapError::Volume { found, .. }) if found == volume.id));
        bytes[60] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let loaded = MapFile::load(&*folder, &volume).unwrap();
        assert_eq!(loaded.bits, [Bits::ALL_NEEDED], "nothing of it is believed");
    }
}

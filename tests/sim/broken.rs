//! Mechanisms that are taken away, to show that the simulator notices.

use std::path::Path;

use aim_core::cursor::MirrorCursor;
use aim_core::state_file::StateFile;
use aim_tests::Sabotage;

use crate::mirror::Mirror;
use crate::source::Source;

/// A mechanism that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Ranges are unlocked before their I/O is done.
    RangeLock,
    /// What is written to the extent map does not get there.
    ActivityLog,
    /// The mirror applies a part of a group.
    GroupEarly,
    /// The mirror's cursor says *applied* when it should say *intent*.
    CursorEarly,
    /// A capture's own syncs of the source's disks are left out.
    SourceDiskSync,
    MirrorDiskSync,
    /// Syncs of a file, or of a folder, by its place.
    Sync(Synced),
}

/// A sync that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    OpenFile,
    OpenFolder,
    RescuedFile,
    OutgoingFolder,
    JournalCursor,
    JournalFolder,
    ExtentMap,
    ArrivedFile,
    ArrivedFolder,
    MirrorCursor,
    MirrorDifferences,
    MirrorFolder,
}

impl Broken {
    pub(crate) const ALL: &[Self] = &[
        Self::RangeLock,
        Self::ActivityLog,
        Self::GroupEarly,
        Self::CursorEarly,
        Self::SourceDiskSync,
        Self::MirrorDiskSync,
        Self::Sync(Synced::OpenFile),
        Self::Sync(Synced::OpenFolder),
        Self::Sync(Synced::RescuedFile),
        Self::Sync(Synced::OutgoingFolder),
        Self::Sync(Synced::JournalCursor),
        Self::Sync(Synced::JournalFolder),
        Self::Sync(Synced::ExtentMap),
        Self::Sync(Synced::ArrivedFile),
        Self::Sync(Synced::ArrivedFolder),
        Self::Sync(Synced::MirrorCursor),
        Self::Sync(Synced::MirrorDifferences),
        Self::Sync(Synced::MirrorFolder),
    ];

    /// Takes it away, as far as the hosts' doubles can. The rest is done where it would be used.
    pub(crate) fn apply(self, source: &Source, mirror: &Mirror) {
        match self {
            Self::RangeLock | Self::GroupEarly => {}
            Self::ActivityLog => source
                .sabotage(|| Sabotage::skip(|label, path| label == "file write" && is_map(path))),
            Self::CursorEarly => mirror.files.sabotage(Some(Sabotage::alter(move_cursor))),
            Self::SourceDiskSync => source.disks.skip_own_syncs(),
            Self::MirrorDiskSync => mirror.disks.skip_syncs(),
            Self::Sync(synced) => {
                let sabotage =
                    move || Sabotage::skip(move |label, path| synced.is_meant(label, path));
                source.sabotage(sabotage);
                mirror.files.sabotage(Some(sabotage()));
            }
        }
    }
}

impl Synced {
    fn is_meant(self, label: &str, path: &Path) -> bool {
        let ends = |ending: &str| path.to_string_lossy().ends_with(ending);
        match (self, label) {
            (Self::OpenFile, "file sync") => path.starts_with("/journal/open"),
            (Self::RescuedFile, "file sync") => path.starts_with("/journal/rescue"),
            (Self::OpenFolder, "folder sync") => ends("/open"),
            (Self::OutgoingFolder, "folder sync") => ends("/outgoing"),
            (Self::JournalCursor, "file sync") => ends("sealed.cursor.tmp"),
            (Self::JournalFolder, "folder sync") => path == Path::new("/journal"),
            (Self::ExtentMap, "file sync") => is_map(path),
            (Self::ArrivedFile, "file sync") => path.starts_with("/mirror/incoming"),
            (Self::ArrivedFolder, "folder sync") => ends("/incoming"),
            (Self::MirrorCursor, "file sync") => ends("mirror.cursor.tmp"),
            (Self::MirrorDifferences, "file sync") => ends("mirror.differences.tmp"),
            (Self::MirrorFolder, "folder sync") => path == Path::new("/mirror"),
            _ => false,
        }
    }
}

fn is_map(path: &Path) -> bool {
    path.ends_with("extents.map")
}

fn move_cursor(path: &Path, data: &mut Vec<u8>) {
    if path.ends_with("mirror.cursor.tmp")
        && let Ok(cursor) = MirrorCursor::decode(data)
    {
        let applied = cursor.intent;
        *data = MirrorCursor { applied, ..cursor }.encode();
    }
}

#[test]
fn without_any_one_mechanism_some_seed_fails() {
    for &broken in Broken::ALL {
        let options = crate::world::Options {
            broken: Some(broken),
            ..Default::default()
        };
        let failed = crate::runner::first_failure(0, 600, options);
        let ran = failed.unwrap_or_else(|| panic!("nobody misses {broken:?}"));
        println!("{broken:?}: seed {}, {}", ran.seed, ran.failure.unwrap());
    }
}

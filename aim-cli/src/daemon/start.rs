//! The parts of a volume, started one by one, with errors that say what to do.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aim_core::capture::{
    Capture, CaptureConfig, CaptureError, HotPolicy, JournalPolicy, OnFull, Rates, SealPolicy,
    StagingConfig,
};
use aim_core::clock::SystemClock;
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::spool::SourceSpool;
use aim_core::units::ByteLen;
use aim_ublk::{
    Backing, BackingReader, DeviceConfig, Error as UblkError, RunningDevice, UblkDevice, Waiting,
};

use crate::config::{OnJournalFull, ReadPath, VolumeConfig};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};
use crate::{state, state_folder};

/// How long the last I/O of a predecessor may take to let go of the disk, where nothing tells of
/// one.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same, where its device waits: there was one, and stopping here would help nobody.
const PATIENCE_AFTER_ONE: Duration = Duration::from_secs(60);
/// Transactions that may wait to be drained.
const RECORDS: usize = 16384;
/// The `f_type` of tmpfs in `statfs`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The journal folder, and that of the extent map.
pub(super) fn spool(config: &VolumeConfig) -> Outcome<SourceSpool> {
    let root = HostDirectory::open(&config.journal).map_err(|error| {
        Problem::new("can't open the journal directory")
            .at(config.journal.display())
            .hint(format!("run `aim init {}` first", config.name))
            .io(&error)
    })?;
    let spool = SourceSpool::open(root).map_err(|error| state::spool_failed(&error))?;
    let state = state_folder::open(config, &**spool.root())?;
    Ok(spool.with_state_folder(state))
}

/// The volume's device, if it has lost its server.
pub(super) fn waiting(config: &VolumeConfig) -> Outcome<Option<Waiting>> {
    UblkDevice::waiting(&config.name).map_err(|error| device_failed(config, &error))
}

/// The configuration with what the waiting device was made with in place of what is configured:
/// the kernel does not let it change while the device is there.
pub(super) fn fit(config: &VolumeConfig, waiting: Option<&Waiting>) -> VolumeConfig {
    let mut fitted = config.clone();
    if let Some(waiting) = waiting {
        let mut device = device_config(config);
        device.fit(waiting);
        fitted.queues = device.queues;
        fitted.depth = device.depth;
        fitted.request_bytes = device.max_request_bytes;
    }
    fitted
}

/// The backing disk, which must be the one that the volume was made for.
pub(super) fn backing(
    config: &VolumeConfig,
    identity: &VolumeIdentity,
    had_a_server: bool,
) -> Outcome<Backing> {
    let patience = match had_a_server {
        true => PATIENCE_AFTER_ONE,
        false => PATIENCE,
    };
    let backing = Backing::open_within(&config.device, patience)
        .map_err(|error| device_failed(config, &error))?;
    let expected = identity.devices.first();
    let (size, block) = (backing.size(), backing.limits().logical_block);
    let fits = expected
        .is_some_and(|device| device.size == size && block.is_multiple_of(device.block_size));
    if !fits || identity.devices.len() != 1 {
        let made_for = expected.map_or((ByteLen(0), 0), |device| (device.size, device.block_size));
        let what = format!(
            "the disk has {size} bytes in blocks of {block}, the volume was made for {} bytes in blocks of {}",
            made_for.0, made_for.1
        );
        return Err(Problem::new(what)
            .at(config.device.display())
            .hint("was the disk replaced or resized? name the right one")
            .exit(Exit::Usage));
    }
    Ok(backing)
}

/// The capture, with its staging ring in the run directory.
pub(super) fn capture(
    config: &VolumeConfig,
    spool: SourceSpool,
    disk: BackingReader,
    run_dir: &Path,
) -> Outcome<Arc<Capture>> {
    let folder = run_dir.join(&config.name);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| {
            Problem::new("can't make the folder of the staging ring")
                .at(folder.display())
                .io(&error)
        })?;
    warn_if_not_memory(&folder);
    let capture = CaptureConfig {
        seal: SealPolicy {
            bytes: ByteLen(config.seal_bytes),
            age: config.seal_after,
        },
        journal: JournalPolicy {
            bytes: config.journal_bytes.map(ByteLen),
            on_full: match config.on_journal_full {
                OnJournalFull::Track => OnFull::Track,
                OnJournalFull::Block => OnFull::Block,
            },
        },
        hot: HotPolicy {
            bytes: ByteLen(config.max_hot_bytes),
            ..HotPolicy::default()
        },
        rates: Rates {
            resync: config.resync_rate.map(ByteLen),
            verify: config.verify_rate.map(ByteLen),
        },
        verify_every: config.verify_every,
        compare: true,
        ..CaptureConfig::new(staging(config, &folder))
    };
    let started = Capture::start(&capture, spool, vec![Arc::new(disk)], SystemClock);
    started.map(Arc::new).map_err(|error| {
        let hint = match error {
            CaptureError::Staging { .. } => {
                "`run_dir` needs that much room: give it more, or lower `queues`, `depth`, `request_bytes` or `staging_bytes`"
            }
            _ => "the message names the file; nothing was changed on the disk",
        };
        Problem::new("can't start to capture")
            .at(format!("[volume.{}]", config.name))
            .because(&error)
            .hint(hint)
            .exit(Exit::Failed)
    })
}

/// `staging_bytes` is for what waits for the journal; requests in flight have theirs besides.
fn staging(config: &VolumeConfig, folder: &Path) -> StagingConfig {
    let request_bytes_max = config.request_bytes as usize;
    let chunk = 2 * request_bytes_max;
    StagingConfig {
        path: Some(folder.join("staging.ring")),
        request_bytes_max,
        landings: usize::from(config.queues) * usize::from(config.depth),
        spare_chunks: (config.staging_bytes as usize / chunk).max(1),
        records: RECORDS,
    }
}

fn warn_if_not_memory(folder: &Path) {
    match rustix::fs::statfs(folder) {
        Ok(facts) if facts.f_type == TMPFS_MAGIC => {}
        _ => tracing::warn!(
            folder = %folder.display(),
            "run_dir is not on tmpfs: captured writes cost disk I/O twice"
        ),
    }
}

/// The device in front of the disk.
pub(super) fn device(
    config: &VolumeConfig,
    backing: Backing,
    capture: Arc<Capture>,
) -> Outcome<RunningDevice> {
    UblkDevice::start_on(device_config(config), backing, capture, 0)
        .map_err(|error| device_failed(config, &error))
}

fn device_config(config: &VolumeConfig) -> DeviceConfig {
    DeviceConfig {
        queues: config.queues,
        depth: config.depth,
        max_request_bytes: config.request_bytes,
        threads_per_queue: config.threads_per_queue,
        read_path: match config.read_path {
            ReadPath::Copy => aim_ublk::ReadPath::Copy,
            ReadPath::ZeroCopy => aim_ublk::ReadPath::ZeroCopy,
        },
        ..DeviceConfig::new(&config.name, &config.device)
    }
}

fn device_failed(config: &VolumeConfig, error: &UblkError) -> Failure {
    let (exit, hint) = match error {
        UblkError::BackingBusy { .. } => (
            Exit::Busy,
            "unmount the disk, or stop what uses it; use /dev/aim/NAME, never the disk behind it",
        ),
        UblkError::NoDriver => (
            Exit::Failed,
            "load it with `modprobe ublk_drv`; it needs Linux 6.0 or newer with CONFIG_BLK_DEV_UBLK",
        ),
        UblkError::NameInUse { .. } => (Exit::Busy, "is another aim running? see `aim status`"),
        UblkError::InvalidConfig { .. } => (Exit::Usage, "correct the configuration"),
        UblkError::NotTakenOver { .. } => (
            Exit::Failed,
            "what uses it waits: correct the cause and start again, or give it up with `aim abandon`",
        ),
        UblkError::NotADisk { .. } | UblkError::TooSmall { .. } => {
            (Exit::Usage, "name a disk or an image file")
        }
        UblkError::Io { source, .. } => (exit_of(source.kind()), "check the disk with `lsblk`"),
        _ => (
            Exit::Failed,
            "the kernel's log (`dmesg`) may say more; only root may do this",
        ),
    };
    Problem::new("can't start the device")
        .at(format!("[volume.{}]", config.name))
        .because(error)
        .hint(hint)
        .exit(exit)
}

#[cfg(test)]
mod tests {
    use aim_core::capture::Initial;

    use super::*;
    use crate::config;

    /// A restored or forgotten map would call extents clean that have changed since.
    #[test]
    fn only_the_extent_map_of_this_journal_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let text = format!(
            "state_dir = \"{0}/state\"\n[volume.data]\ndevice = \"{0}/disk\"\n\
             journal = \"{0}/journal\"\ntarget = \"{0}/far\"\n",
            temp.path().display()
        );
        std::fs::write(at("aim.toml"), text).unwrap();
        let config = config::load(&at("aim.toml")).unwrap();
        let volume = &config.volumes["data"];
        let identity = VolumeIdentity::generate(ByteLen(1 << 20), 512);
        let journal = HostDirectory::open_or_create(&volume.journal).unwrap();
        let make_map = || state_folder::create(volume, &*journal, &identity, Initial::Identical);
        make_map().unwrap();
        SourceSpool::create(journal.clone(), &identity).unwrap();
        spool(volume).unwrap();

        let kept = at("kept");
        std::fs::rename(&volume.state, &kept).unwrap();
        assert_eq!(spool(volume).unwrap_err().exit, Exit::NotFound);
        make_map().unwrap();
        spool(volume).unwrap();
        std::fs::remove_dir_all(&volume.state).unwrap();
        std::fs::rename(&kept, &volume.state).unwrap();
        assert_eq!(spool(volume).unwrap_err().exit, Exit::NotFound);
        // one that was made, and not tied to the journal yet
        make_map().unwrap();
        for folder in [&volume.state, &volume.journal] {
            std::fs::remove_file(folder.join(state_folder::MARK)).unwrap();
        }
        assert_eq!(spool(volume).unwrap_err().exit, Exit::NotFound);
    }
}

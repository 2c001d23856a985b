//! What a server that is gone has left in the driver.
//!
//! A device that was live outlives its server: the driver holds its requests back, those in
//! flight included, until a successor takes the device over. One that was never started, or that
//! was being removed, is only a number that is still taken. A device carries a mark of its name,
//! by which its successor finds it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libublk::ctrl::UblkCtrl;
use libublk::sys;

use crate::config::ReadPath;
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::params::SECTOR;

/// How long the kernel may take to notice the end of a server. Before 6.15 it is its request
/// timeout, of 30 s, that notices it when every request slot was taken.
const PATIENCE: Duration = Duration::from_secs(90);
const RETRY: Duration = Duration::from_millis(20);

/// A device that lives on without a server. What uses it waits, and gets no error.
///
/// It keeps what it was made with, whatever the configuration says by now; see
/// [`DeviceConfig::fit`](crate::DeviceConfig::fit).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub(crate) id: u32,
    pub(crate) queues: u16,
    pub(crate) depth: u16,
    pub(crate) max_request_bytes: u32,
    pub(crate) read_path: ReadPath,
    /// In bytes.
    pub(crate) size: u64,
    /// Bytes of its logical block.
    pub(crate) block: u64,
}

impl Waiting {
    /// The N of its node.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its node, `/dev/ublkbN`.
    pub fn node(&self) -> PathBuf {
        node(self.id)
    }

    fn of(driver: &Driver, info: &sys::ublksrv_ctrl_dev_info) -> std::io::Result<Self> {
        let basic = driver.params(info.dev_id)?.basic;
        Ok(Self {
            id: info.dev_id,
            queues: info.nr_hw_queues,
            depth: info.queue_depth,
            max_request_bytes: info.max_io_buf_bytes,
            read_path: ReadPath::of(info),
            size: basic.dev_sectors * SECTOR,
            block: 1 << basic.logical_bs_shift,
        })
    }

    /// Makes the device ready for this process, once the last file of its old server is closed:
    /// I/O of a killed process holds it open until it has ended.
    pub(crate) fn start_recovery(&self, driver: &Driver) -> std::io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let refused = match driver.start_recovery(self.id) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match refused.raw_os_error() {
                Some(libc::EBUSY) if Instant::now() < deadline => thread::sleep(RETRY),
                // A driver before 6.15 refuses a device whose last server died before it fetched
                // anything: it is ready already.
                Some(libc::EINVAL) if is_quiesced(driver, self.id)? => return Ok(()),
                _ => return Err(refused),
            }
        }
    }
}

/// What a device named `name` carries in the driver, for programs to know it by (FNV-1a).
pub(crate) fn mark(name: &str) -> u64 {
    let bytes = b"aim\0".iter().chain(name.as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Finds the device named `name` that waits for a server, and removes dead ones. Waits for what a
/// process that has just ended still holds.
///
/// # Errors
///
/// [`Error::NameInUse`] if one with the name has a server.
pub(crate) fn find(driver: &Driver, name: &str) -> Result<Option<Waiting>> {
    let mut found = None;
    for id in ids() {
        let failed = |source| Error::driver("look at a device", name, source);
        match settle(driver, name, id).map_err(failed)? {
            State::Gone => {}
            State::Waiting(waiting) if found.is_none() => found = Some(waiting),
            State::Waiting(other) => {
                tracing::warn!(name, node = %other.node().display(), "a second device of this name waits");
            }
            State::Served => {
                return Err(Error::NameInUse {
                    name: name.to_owned(),
                    device: node(id),
                });
            }
        }
    }
    Ok(found)
}

/// Takes away a device that waits for a server: whoever uses it gets I/O errors.
pub(crate) fn abandon(driver: &Driver, name: &str, waiting: &Waiting) -> Result<()> {
    let id = waiting.id;
    driver
        .stop(id)
        .map_err(|source| Error::driver("stop", name, source))?;
    delete(driver, id).map_err(|source| Error::driver("delete", name, source))?;
    tracing::warn!(name, node = %node(id).display(), "abandoned: its users get I/O errors");
    Ok(())
}

/// Whether the device has a disk, and can get another server.
pub(crate) fn outlives_its_server(driver: &Driver, id: u32) -> bool {
    matches!(driver.info(id), Ok(Some(info)) if can_be_taken_over(&info))
}

fn can_be_taken_over(info: &sys::ublksrv_ctrl_dev_info) -> bool {
    u32::from(info.state) != sys::UBLK_S_DEV_DEAD
        && info.flags & u64::from(sys::UBLK_F_USER_RECOVERY) != 0
}

fn is_quiesced(driver: &Driver, id: u32) -> std::io::Result<bool> {
    let info = driver.info(id)?;
    Ok(info.is_some_and(|info| u32::from(info.state) == sys::UBLK_S_DEV_QUIESCED))
}

/// What is left of a device.
enum State {
    /// Nothing of this name.
    Gone,
    Waiting(Waiting),
    Served,
}

/// What the device `id` is, if it has the name, once the end of its server is through.
fn settle(driver: &Driver, name: &str, id: u32) -> std::io::Result<State> {
    let deadline = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        let info = driver.info(id)?;
        let Some(info) = info.filter(|info| info.ublksrv_flags == mark(name)) else {
            return Ok(State::Gone);
        };
        match u32::from(info.state) {
            sys::UBLK_S_DEV_QUIESCED => return Waiting::of(driver, &info).map(State::Waiting),
            sys::UBLK_S_DEV_DEAD => {
                tracing::info!(name, id, "removing what is left of a dead device");
                return delete(driver, id).map(|()| State::Gone);
            }
            _ if serves(info.ublksrv_pid, id) || Instant::now() > deadline => {
                return Ok(State::Served);
            }
            _ if !told => {
                tracing::info!(name, id, "waiting for the end of the device's last server");
                told = true;
            }
            _ => {}
        }
        thread::sleep(RETRY);
    }
}

/// Whether the process has the device's control file open. Its number alone says little: it may
/// be another's by now, or that of this very process before it executed its program anew.
fn serves(pid: i32, id: u32) -> bool {
    let control = PathBuf::from(format!("/dev/ublkc{id}"));
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(files) => files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|path| path == control)),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

/// Removes a device without a disk, and what the library has noted of it.
fn delete(driver: &Driver, id: u32) -> std::io::Result<()> {
    driver.delete(id)?;
    match fs::remove_file(format!("{}/{id:04}.json", UblkCtrl::run_dir())) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::debug!(id, %error, "the note of a device stays behind");
        }
        _ => {}
    }
    Ok(())
}

fn node(id: u32) -> PathBuf {
    Path::new("/dev").join(format!("ublkb{id}"))
}

fn ids() -> Vec<u32> {
    let entries = fs::read_dir("/sys/class/ublk-char").into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.strip_prefix("ublkc")?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{can_be_taken_over, mark, sys};

    /// Whether a device whose queue failed is left to a successor, or cleared away.
    #[test]
    fn what_has_no_disk_or_dies_with_its_server_is_left_to_nobody() {
        let recovers = sys::UBLK_F_USER_RECOVERY | sys::UBLK_F_USER_RECOVERY_REISSUE;
        for (state, flags, is_left) in [
            (sys::UBLK_S_DEV_LIVE, recovers, true),
            (sys::UBLK_S_DEV_QUIESCED, recovers, true),
            (sys::UBLK_S_DEV_DEAD, recovers, false),
            (sys::UBLK_S_DEV_LIVE, 0, false),
        ] {
            let info = sys::ublksrv_ctrl_dev_info {
                state: state as u16,
                flags: flags.into(),
                ..Default::default()
            };
            assert_eq!(can_be_taken_over(&info), is_left, "{state} {flags}");
        }
    }

    #[test]
    fn marks_differ_by_name_and_never_change() {
        assert_ne!(mark("a"), mark("b"));
        assert_eq!(mark("data"), 0x4f5f_e2fc_8046_fd12);
    }
}

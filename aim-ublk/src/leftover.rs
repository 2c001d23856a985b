//! What a killed server leaves behind in the driver.
//!
//! The driver removes the disk of a server that died, but keeps the device's number until it is
//! told otherwise. A device carries a mark of its name, by which its successor finds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libublk::ctrl::UblkCtrl;
use libublk::sys;

use crate::error::{Error, Result};

/// How long the kernel may take to end the disk of a server that died.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(20);

/// What a device named `name` carries in the driver, for programs to know it by (FNV-1a).
pub(crate) fn mark(name: &str) -> u64 {
    let bytes = b"aim\0".iter().chain(name.as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Removes dead devices named `name`.
///
/// # Errors
///
/// [`Error::NameInUse`] if a live one has the name.
pub(crate) fn remove(name: &str) -> Result<()> {
    for id in ids() {
        // the library complains aloud about a device without its file, which is none of ours
        if !Path::new(&format!("{}/{id:04}.json", UblkCtrl::run_dir())).exists() {
            continue;
        }
        let deadline = Instant::now() + PATIENCE;
        while let Some((device, state)) = find(name, id) {
            if state != sys::UBLK_S_DEV_LIVE {
                tracing::info!(name, id, "removing what a killed server left of the device");
                device
                    .del_dev_async()
                    .map_err(|e| Error::control("delete a dead device", name, e))?;
                break;
            }
            if is_alive(device.dev_info().ublksrv_pid) || Instant::now() > deadline {
                return Err(Error::NameInUse {
                    name: name.to_owned(),
                    device: PathBuf::from(device.get_bdev_path()),
                });
            }
            thread::sleep(RETRY);
        }
    }
    Ok(())
}

/// The device `id` and its state, if it is there and has the name.
fn find(name: &str, id: u32) -> Option<(UblkCtrl, u32)> {
    let device = UblkCtrl::new_simple(i32::try_from(id).ok()?).ok()?;
    let info = device.dev_info();
    (info.ublksrv_flags == mark(name)).then(|| (device, u32::from(info.state)))
}

fn is_alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
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
    use super::mark;

    #[test]
    fn marks_differ_by_name_and_never_change() {
        assert_ne!(mark("a"), mark("b"));
        assert_eq!(mark("data"), 0x4f5f_e2fc_8046_fd12);
    }
}

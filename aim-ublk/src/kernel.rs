//! What the running kernel's ublk driver can do.
//!
//! A feature is asked for only if the driver says that it has it: some drivers take an unknown
//! flag when a device is added and then fail every request of it.

use std::path::Path;

use libublk::ctrl::UblkCtrl;
use libublk::sys;

use crate::error::{Error, Result};

/// The driver's control device.
pub(crate) const CONTROL: &str = "/dev/ublk-control";

/// The feature bits of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// The raw bits, `UBLK_F_*`.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A device can outlive its server, and its requests in flight are given to the next one.
    pub const fn recovery_with_reissue(self) -> bool {
        self.has(sys::UBLK_F_USER_RECOVERY) && self.has(sys::UBLK_F_USER_RECOVERY_REISSUE)
    }

    /// Requests can be served from the submitter's own pages.
    pub const fn zero_copy(self) -> bool {
        self.has(sys::UBLK_F_SUPPORT_ZERO_COPY) && self.has(sys::UBLK_F_AUTO_BUF_REG)
    }

    /// Beside [`zero_copy`](Self::zero_copy), the payloads of writes can be copied by the server.
    pub const fn zero_copy_reads(self) -> bool {
        self.zero_copy() && self.has(sys::UBLK_F_USER_COPY)
    }

    /// Several threads can share the requests of one queue.
    pub const fn threads_per_queue(self) -> bool {
        self.has(sys::UBLK_F_PER_IO_DAEMON)
    }

    /// A live device can change its size.
    pub const fn update_size(self) -> bool {
        self.has(sys::UBLK_F_UPDATE_SIZE)
    }

    /// Commands can be given as ioctl codes; an older driver takes their numbers alone.
    pub(crate) const fn ioctl_codes(self) -> bool {
        self.has(sys::UBLK_F_CMD_IOCTL_ENCODE)
    }

    const fn has(self, flag: u32) -> bool {
        self.0 & flag as u64 != 0
    }
}

/// Asks the driver for its features.
///
/// # Errors
///
/// [`Error::NoDriver`] without the driver's control device, [`Error::Io`] if it can't be opened.
pub fn features() -> Result<Features> {
    if !Path::new(CONTROL).exists() {
        return Err(Error::NoDriver);
    }
    // the library reports no reason: tell a lack of permission from a driver that can't say
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(CONTROL)
        .map_err(|source| Error::io("open", CONTROL, source))?;
    // a driver before 6.5 has no such command, and none of the features asked about here
    Ok(Features(UblkCtrl::get_features().unwrap_or(0)))
}

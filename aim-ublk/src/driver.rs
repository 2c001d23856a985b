//! Commands to the ublk driver about devices that this process does not serve.
//!
//! The library's own calls read a file of the device's first, complain on stderr where there is
//! none, and ask again in an older way after an error, whose answer hides the first. What waits
//! for a successor has to be found without that file, and refusals have to be told apart.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use io_uring::squeue::Entry128;
use io_uring::{IoUring, opcode, types};
use libublk::sys;

use crate::error::{Error, Result};
use crate::kernel::{self, CONTROL};

/// The driver's control device, open.
#[derive(Debug)]
pub(crate) struct Driver {
    control: File,
    /// Takes numbers of commands instead of ioctl codes.
    is_old: bool,
}

impl Driver {
    /// Opens the control device; `None` where the driver is not there.
    pub(crate) fn open() -> Result<Option<Self>> {
        let features = match kernel::features() {
            Err(Error::NoDriver) => return Ok(None),
            features => features?,
        };
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open(CONTROL)
            .map_err(|source| Error::io("open", CONTROL, source))?;
        Ok(Some(Self {
            control,
            is_old: !features.ioctl_codes(),
        }))
    }

    /// What the driver knows of device `id`; `None` if there is no such device.
    pub(crate) fn info(&self, id: u32) -> io::Result<Option<sys::ublksrv_ctrl_dev_info>> {
        let info = sys::ublksrv_ctrl_dev_info::default();
        match self.command(sys::UBLK_U_CMD_GET_DEV_INFO, id, info) {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The parameters of device `id`.
    pub(crate) fn params(&self, id: u32) -> io::Result<sys::ublk_params> {
        let params = sys::ublk_params {
            len: size_of::<sys::ublk_params>() as u32,
            ..Default::default()
        };
        self.command(sys::UBLK_U_CMD_GET_PARAMS, id, params)
    }

    /// Makes the device ready for another server.
    pub(crate) fn start_recovery(&self, id: u32) -> io::Result<()> {
        self.command(sys::UBLK_U_CMD_START_USER_RECOVERY, id, ())
    }

    /// Ends the disk of a device. Whoever uses it gets I/O errors.
    pub(crate) fn stop(&self, id: u32) -> io::Result<()> {
        self.command(sys::UBLK_U_CMD_STOP_DEV, id, ())
    }

    /// Removes a device that has no disk. Its number is free again when nobody has it open.
    pub(crate) fn delete(&self, id: u32) -> io::Result<()> {
        self.command(sys::UBLK_U_CMD_DEL_DEV_ASYNC, id, ())
    }

    /// Runs one command, which may read and change `argument`, and waits for its end.
    fn command<T: Copy>(&self, code: u32, id: u32, argument: T) -> io::Result<T> {
        let argument = Box::into_raw(Box::new(argument));
        let command = sys::ublksrv_ctrl_cmd {
            dev_id: id,
            queue_id: u16::MAX,
            len: size_of::<T>() as u16,
            addr: match size_of::<T>() {
                0 => 0,
                _ => argument as u64,
            },
            ..Default::default()
        };
        let code = if self.is_old { code & 0xff } else { code };
        let entry = opcode::UringCmd80::new(types::Fd(self.control.as_raw_fd()), code)
            .cmd(bytes_of(&command))
            .build();
        // SAFETY: the entry points to `argument`, which nobody else uses; it is given back below
        // only when the command has ended, and lost if it is not known to have ended.
        let result = unsafe { run(entry)? };
        // SAFETY: from `into_raw` above; the kernel is done with it. It has written what the
        // driver's interface says is of type `T`: plain numbers, any of which are valid.
        let argument = unsafe { *Box::from_raw(argument) };
        match result {
            code if code < 0 => Err(io::Error::from_raw_os_error(-code)),
            _ => Ok(argument),
        }
    }
}

/// Runs one entry on a ring of its own. An error means that it may not have ended.
///
/// # Safety
///
/// What the entry points to must be valid until this returns a result, or for ever.
unsafe fn run(entry: Entry128) -> io::Result<i32> {
    let mut ring = IoUring::<Entry128>::builder().build(2)?;
    // SAFETY: as promised by the caller.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(end) = ring.completion().next() {
            return Ok(end.result());
        }
    }
}

/// The command as the ring carries it.
fn bytes_of(command: &sys::ublksrv_ctrl_cmd) -> [u8; 80] {
    let mut bytes = [0; 80];
    let size = size_of::<sys::ublksrv_ctrl_cmd>();
    // SAFETY: a plain C structure without padding (its fields fill its 32 bytes), read as bytes.
    let from = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(command).cast(), size) };
    bytes[..size].copy_from_slice(from);
    bytes
}

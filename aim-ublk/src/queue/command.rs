//! What a queue says to the driver: fetch a request, or commit one and fetch the next.

use std::ptr::NonNull;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use libublk::io::UblkIOCtx;
use libublk::sys;

use crate::config::ReadPath;

/// Place of the device's own control file in the ring's table of files.
const CONTROL: types::Fixed = types::Fixed(0);

/// The commands of one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commands {
    queue: u16,
    fetch: u32,
    commit: u32,
    reads: ReadPath,
}

impl Commands {
    /// Those of queue `queue` of the device that `info` tells of.
    pub(super) fn new(queue: u16, info: &sys::ublksrv_ctrl_dev_info) -> Self {
        let takes_codes = info.flags & u64::from(sys::UBLK_F_CMD_IOCTL_ENCODE) != 0;
        let code = |code| if takes_codes { code } else { code & 0xff };
        Self {
            queue,
            fetch: code(sys::UBLK_U_IO_FETCH_REQ),
            commit: code(sys::UBLK_U_IO_COMMIT_AND_FETCH_REQ),
            reads: ReadPath::of(info),
        }
    }

    /// Fetches the first request of `tag`, whose payload shall land at `place` if it is
    /// copied by the kernel.
    pub(super) fn fetch(&self, tag: u16, place: NonNull<u8>) -> Entry {
        self.entry(self.fetch, tag, place, -1)
    }

    /// Ends the request of `tag` with `result`, and fetches the next.
    pub(super) fn commit(&self, tag: u16, place: NonNull<u8>, result: i32) -> Entry {
        self.entry(self.commit, tag, place, result)
    }

    fn entry(&self, code: u32, tag: u16, place: NonNull<u8>, result: i32) -> Entry {
        let command = sys::ublksrv_io_cmd {
            q_id: self.queue,
            tag,
            result,
            addr: match self.reads {
                ReadPath::Copy => place.as_ptr() as u64,
                ReadPath::ZeroCopy => 0,
            },
        };
        // SAFETY: a plain C structure of 16 bytes without padding: any bytes are valid.
        let bytes = unsafe { std::mem::transmute::<sys::ublksrv_io_cmd, [u8; 16]>(command) };
        let entry = opcode::UringCmd16::new(CONTROL, code).cmd(bytes).build();
        match self.reads {
            ReadPath::Copy => entry,
            ReadPath::ZeroCopy => with_buffer(entry, tag),
        }
    }

    /// Where in the control file the payload of the write is that `tag` has fetched.
    pub(super) fn payload_position(&self, tag: u16) -> u64 {
        UblkIOCtx::ublk_user_copy_pos(self.queue, tag, 0)
    }

    /// How the data of reads gets to who asks for it.
    pub(super) fn reads(&self) -> ReadPath {
        self.reads
    }
}

/// Has the driver put the pages of the request that comes into place `index` of the ring's table
/// of buffers, where they stay until the commit.
fn with_buffer(mut entry: Entry, index: u16) -> Entry {
    const { assert!(size_of::<Entry>() == 64 && align_of::<Entry>() >= align_of::<u64>()) };
    let buffer = sys::ublk_auto_buf_reg {
        index,
        ..Default::default()
    };
    let address = sys::ublk_auto_buf_reg_to_sqe_addr(&buffer);
    // SAFETY: the library wraps the kernel's structure of 64 bytes (`repr(C)`), whose field of
    // eight bytes at offset 16, `addr`, may have any value. It has no way to set it in a command.
    unsafe {
        std::ptr::from_mut(&mut entry)
            .cast::<u64>()
            .add(2)
            .write(address)
    };
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_named_where_the_driver_looks_for_it() {
        let plain = opcode::UringCmd16::new(CONTROL, 7).build();
        let named = with_buffer(plain.clone(), 0x1234);
        let words = |entry: &Entry| -> [u64; 8] {
            // SAFETY: 64 bytes, all of them initialized.
            unsafe { std::ptr::from_ref(entry).cast::<[u64; 8]>().read() }
        };
        let mut expected = words(&plain);
        assert_eq!(expected[2], 0);
        expected[2] = 0x1234;
        assert_eq!(words(&named), expected);
    }
}

//! The seam to a disk, and the disks that stand behind it.

mod block_device;
mod direct;
mod file_device;
mod fingerprint;
mod mem_device;
mod write_batch;
mod zeroing;

pub use block_device::{BlockDevice, check_range};
pub use file_device::{FileDevice, OpenDeviceError};
pub use mem_device::MemDevice;
pub use write_batch::WriteBatch;

pub use crate::write_queue::SharedBytes;

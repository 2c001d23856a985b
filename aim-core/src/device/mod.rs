//! The seam to a disk, and the disks that stand behind it.

mod block_device;

pub use block_device::{BlockDevice, WriteRun};

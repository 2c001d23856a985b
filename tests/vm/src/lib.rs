//! The machine that the tests and the demo run on.
//!
//! Real ublk needs a kernel that has it, and a power cut needs a machine that may die. Both are
//! had from QEMU with a stock Debian kernel:
//!
//! ```text
//!  host                                        guest (root, throw-away)
//!  /            ---- 9p, read-only ----------> /        under a tmpfs overlay
//!  run folder   ---- 9p, read-write, live ---> /run/vm  command in, exit status out
//!  Disk         ---- virtio-blk -------------> /dev/vda, /dev/vdb, ...
//!  Link         ---- virtio-net -------------> eth0, eth1, ...
//!  stdout, stderr <-- virtio-serial ---------- the command's own, apart and streamed
//! ```
//!
//! Every program and build result of the host is in the guest at its own path; nothing that the
//! guest writes is seen by the host, but for its disks and the run folder.

mod accel;
mod apt;
mod command;
mod cpio;
mod disk;
mod error;
mod guest;
mod image;
mod kernel;
mod link;
mod modules;
mod packages;
mod qemu;
mod running;
mod stream;

pub use accel::Accel;
pub use disk::{Disk, parse_size};
pub use error::VmError;
pub use guest::Guest;
pub use kernel::{Kernel, KernelImage, cache_folder};
pub use link::{Link, LinkEnd};
pub use packages::{PACKAGES, Package, install_packages, missing_packages};
pub use running::{Exit, Running};
pub use stream::Prefixed;

//! What the host says about a disk: what it is made of, what uses it, what it bears.

mod device;
mod device_number;
mod graph;
mod mounted;
mod mounts;
mod placement;
mod signature;

pub(crate) use device::{DeviceFacts, inspect};
pub(crate) use graph::{DiskGraph, Store, store_of};
pub(crate) use mounted::mounted_on;
pub(crate) use mounts::MountTable;
pub(crate) use placement::{check as check_placement, existing, warnings as placement_warnings};

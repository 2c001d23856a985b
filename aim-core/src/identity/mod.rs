//! Who a series of journal files belongs to, and which mirror is paired with it.

mod follower;
mod mirror;
mod volume;

pub use follower::FollowerIdentity;
pub use mirror::{Fingerprint, MirrorIdentity};
pub use volume::{DEVICES_MAX, DeviceIdentity, VolumeIdentity};

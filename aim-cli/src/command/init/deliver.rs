//! Bringing the identity of a volume to targets.

use aim_core::identity::{FollowerIdentity, VolumeIdentity};
use aim_core::state_file::StateFile;

use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::far::FarDirectory;

/// Brings the identity to a target that a source ships to; whether that had to be done.
pub(super) fn to_mirror(identity: &VolumeIdentity, far: &FarDirectory<'_>) -> Outcome<bool> {
    match far.volume()? {
        Some(found) if found == *identity => match far.is_follower()? {
            false => Ok(false),
            true => Err(Problem::new("the mirror there stands behind a relay")
                .at(far.place())
                .hint("only the relay ships to it; or empty its directory, and init anew")
                .exit(Exit::Usage)),
        },
        Some(other) => Err(foreign(far, &other)),
        None => {
            far.put(VolumeIdentity::NAME, identity.encode())?;
            Ok(true)
        }
    }
}

/// Brings the identity to a target that a mirror passes on to what it receives; whether that had to
/// be done. That it is a follower is there first: without it, it would begin with any file.
pub(super) fn to_follower(identity: &VolumeIdentity, far: &FarDirectory<'_>) -> Outcome<bool> {
    let found = far.volume()?;
    match (found, far.is_follower()?) {
        (Some(found), true) if found == *identity => Ok(false),
        (Some(found), false) if found == *identity => Err(Problem::new(
            "the mirror there was made to be shipped to by the source",
        )
        .at(far.place())
        .hint("to have it behind this mirror, empty its directory: it begins anew")
        .exit(Exit::Usage)),
        (Some(other), _) => Err(foreign(far, &other)),
        (None, _) => {
            let volume = identity.id;
            far.put(FollowerIdentity::NAME, FollowerIdentity { volume }.encode())?;
            far.put(VolumeIdentity::NAME, identity.encode())?;
            Ok(true)
        }
    }
}

/// The target is of another volume.
pub(super) fn foreign(far: &FarDirectory<'_>, other: &VolumeIdentity) -> Failure {
    Problem::new(format!("the target belongs to volume {}", other.id))
        .at(far.place())
        .hint("give each volume a directory of its own on the mirror host")
        .exit(Exit::Gap)
}

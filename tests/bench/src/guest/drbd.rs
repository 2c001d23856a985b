//! DRBD 8.4, both ends on this machine: what the kernel itself has for the purpose.
//!
//! Without drbdadm, whose configuration would want two hosts.

use std::path::PathBuf;

use aim_bench::Plan;

use crate::Result;
use crate::shell::shell;

/// The program that speaks to the driver of Linux itself, not to that of DRBD 9.
const SETUP: &str =
    "setup=$(ls /usr/lib/drbd/drbdsetup-84 /lib/drbd/drbdsetup-84 2> /dev/null | head -n 1)";

/// Connects two blank disks that are told to be the same, by protocol A: a write is done when it is
/// on the one disk and in the buffer of the line to the other.
pub(crate) fn start(plan: &Plan) -> Result<PathBuf> {
    let (disk, peer) = (plan.disk.display(), plan.journal_disk.display());
    shell(&format!(
        "{SETUP}
         modprobe drbd; mkdir -p /var/lib/drbd /var/lock
         n=0
         for disk in {disk} {peer}; do
             wipefs -aq $disk
             drbdmeta --force $n v08 $disk internal create-md
             $setup new-resource r$n; $setup new-minor r$n $n 0; $setup attach $n $disk $disk internal
             test -b /dev/drbd$n || mknod /dev/drbd$n b 147 $n
             n=$((n + 1))
         done
         a=ipv4:127.0.0.1:7788 b=ipv4:127.0.0.1:7789
         $setup connect r0 $a $b --protocol=A --sndbuf-size=4194304 --max-buffers=8000
         $setup connect r1 $b $a --protocol=A --max-buffers=8000
         until grep -q '0: cs:Connected' /proc/drbd; do sleep 0.1; done
         $setup new-current-uuid --clear-bitmap 0
         until grep -q '0:.* ds:UpToDate/UpToDate' /proc/drbd; do sleep 0.1; done
         $setup primary 0 --force"
    ))?;
    Ok(PathBuf::from("/dev/drbd0"))
}

/// Takes both ends away.
pub(crate) fn end() -> Result<()> {
    shell(&format!(
        "{SETUP}; $setup secondary 0; $setup down r0; $setup down r1"
    ))
    .map(drop)
}

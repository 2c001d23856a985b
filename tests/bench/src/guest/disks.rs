//! The disks before anything is measured.

use std::path::Path;

use aim_bench::Plan;

use crate::Result;
use crate::shell::shell;

/// Makes them, and writes all of them once: memory that is got, or room that the host finds, at
/// the first write is no cost of a device.
pub(crate) fn prepare(plan: &Plan) -> Result<()> {
    shell("modprobe -a ublk_drv ext4 dm-mod dm-log-writes")?;
    if let Some(disks) = plan.ram_disks {
        // all of one size, but what is never touched takes no memory
        let kib = disks.disk_mib.max(disks.journal_mib) << 10;
        shell(&format!("modprobe brd rd_nr=2 rd_size={kib} max_part=0"))?;
        fill(&plan.disk, Some(disks.disk_mib))?;
        return fill(&plan.journal_disk, Some(disks.journal_mib));
    }
    match &plan.divided {
        Some((disk, mib)) => {
            fill(disk, None)?;
            let disk = disk.display();
            let parts = format!("printf 'label: gpt\\nsize={mib}MiB\\nsize=+\\n'");
            // where no udev runs, the kernel makes the nodes by itself
            shell(&format!("{parts} | sfdisk --quiet {disk}")).map(drop)
        }
        None => {
            fill(&plan.disk, None)?;
            fill(&plan.journal_disk, None)
        }
    }
}

/// Writes the first `mib` MiB of a disk, or all of it.
fn fill(disk: &Path, mib: Option<u64>) -> Result<()> {
    let count = mib.map_or_else(String::new, |mib| format!("count={mib}"));
    let disk = disk.display();
    // the end of a disk is an error to dd; a RAM disk has no scheduler
    shell(&format!(
        "dd if=/dev/zero of={disk} bs=1M {count} oflag=direct status=none || true
         echo none > /sys/block/$(basename {disk})/queue/scheduler || true"
    ))
    .map(drop)
}

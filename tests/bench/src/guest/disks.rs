//! The disks before anything is measured.

use aim_bench::Plan;

use crate::Result;
use crate::shell::shell;

/// Makes them, and writes all of them once: memory that is got, or room that the host finds, at
/// the first write is no cost of a device.
pub(crate) fn prepare(plan: &Plan) -> Result<()> {
    shell("modprobe -a ublk_drv ext4 dm-mod dm-log-writes")?;
    if let Some(sizes) = plan.ram_disks {
        let kib = sizes.disk_mib.max(sizes.journal_mib) << 10;
        // all of one size, but what is never touched takes no memory
        shell(&format!("modprobe brd rd_nr=2 rd_size={kib} max_part=0"))?;
    }
    let sizes = match plan.ram_disks {
        Some(sizes) => [Some(sizes.disk_mib), Some(sizes.journal_mib)],
        None => [None, None],
    };
    for (disk, mib) in [&plan.disk, &plan.journal_disk].into_iter().zip(sizes) {
        let disk = disk.display();
        let count = mib.map_or_else(String::new, |mib| format!("count={mib}"));
        // the end of a disk is an error to dd
        shell(&format!(
            "dd if=/dev/zero of={disk} bs=1M {count} oflag=direct status=none || true
             echo none > /sys/block/$(basename {disk})/queue/scheduler || true"
        ))?;
    }
    Ok(())
}

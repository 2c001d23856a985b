//! `cargo xtask vm`: one command in a guest.

use std::path::PathBuf;
use std::time::Duration;

use aim_vm::{Accel, Disk, Exit, Guest, Kernel};
use clap::Args;

use crate::outcome::{Outcome, Result};
use crate::progress::complain;
use crate::setup;

/// The guest and the command.
///
/// The guest sees this machine's files at their own paths, read-only under an overlay: what it
/// writes there is gone when it ends. The exit status is the command's; 124 if its time ran out,
/// 125 if the guest died.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Kernel of the guest: 7.3 or 6.12
    #[arg(long, default_value = "7.3")]
    kernel: Kernel,
    /// Adds a disk (/dev/vda, ...): a size (512M, thrown away), a raw file (kept), or drive:OPTIONS
    #[arg(long = "disk", value_name = "DISK")]
    disks: Vec<Disk>,
    /// Processors
    #[arg(long, default_value_t = 2)]
    smp: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = 1024)]
    mem: u32,
    /// Seconds after which the guest is killed
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// What runs it: auto (KVM where that boots the kernel), kvm, tcg (emulated), or icount
    /// (emulated with a clock that counts instructions)
    #[arg(long, default_value = "auto")]
    accel: Accel,
    /// Host name of the guest
    #[arg(long, default_value = "vm")]
    name: String,
    /// Folder that the guest has as /run/vm, live; keeps the kernel's console.log
    #[arg(long)]
    run: Option<PathBuf>,
    /// The command and its words
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Runs the command and ends with its status.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let image = setup::kernel(options.kernel)?;
    let mut guest = Guest::new(&image, options.command.clone())
        .accel(options.accel)
        .name(&options.name)
        .processors(options.smp)
        .memory_mib(options.mem)
        .timeout(Duration::from_secs(options.timeout));
    for disk in &options.disks {
        guest = guest.disk(disk.clone());
    }
    if let Some(folder) = &options.run {
        guest = guest.run_folder(folder);
    }
    let exit = guest.run()?;
    match &exit {
        Exit::Status(_) => {}
        Exit::TimedOut => complain(&format!("killed after {} s", options.timeout)),
        Exit::Died(words) => complain(&format!("the guest died; its last words:\n{words}")),
    }
    Ok(Outcome::Status(exit.code()))
}

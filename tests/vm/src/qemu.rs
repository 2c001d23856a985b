//! QEMU's command line.

use std::path::Path;
use std::process::Command;

use crate::error::VmError;
use crate::guest::Guest;

/// How the guest's instructions are run, with [`crate::Accel::Auto`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Kvm,
    Tcg,
    Icount,
}

/// The files that a guest and its QEMU share with the harness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// The run folder.
    pub(crate) run: &'a Path,
    /// A folder with a short name, for the sockets `out` and `err`.
    pub(crate) sockets: &'a Path,
}

/// The command that starts QEMU for `guest`.
pub(crate) fn command(
    guest: &Guest,
    machine: Machine,
    places: Places<'_>,
) -> Result<Command, VmError> {
    // setpriv: the guest ends with the thread that started it, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ]);
    command.args(["-machine", "pc", "-smp", &guest.processors.to_string()]);
    command.args(["-m", &guest.memory_mib.to_string()]);
    command.args(processor(machine));
    command.arg("-kernel").arg(guest.kernel.vmlinux());
    command.arg("-initrd").arg(guest.kernel.initramfs());
    command.args(["-append", KERNEL_WORDS]);
    let console = escaped(&places.run.join("console.log"));
    command.args(["-chardev", &format!("file,id=console,path={console}")]);
    command.args(["-serial", "chardev:console", "-device", "virtio-serial-pci"]);
    for stream in ["out", "err"] {
        let socket = escaped(&places.sockets.join(stream));
        command.args(["-chardev", &format!("socket,id={stream},path={socket}")]);
        command.args([
            "-device",
            &format!("virtserialport,chardev={stream},name={stream}"),
        ]);
    }
    share(
        &mut command,
        "host",
        Path::new("/"),
        ",readonly=on,multidevs=remap",
    );
    share(&mut command, "run", places.run, "");
    command.args(["-device", "virtio-rng-pci"]);
    for (place, disk) in guest.disks.iter().enumerate() {
        let drive = disk.drive(&places.run.join(format!("disk{place}.raw")))?;
        command.args(["-drive", &format!("if=none,id=d{place},{drive}")]);
        let device = format!("virtio-blk-pci,drive=d{place},serial=disk{place}");
        command.args(["-device", &device]);
    }
    for (place, link) in guest.links.iter().enumerate() {
        command.args(link.arguments(place)?);
    }
    Ok(command)
}

const KERNEL_WORDS: &str = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr \
    tsc=reliable no_timer_check random.trust_cpu=1";

fn processor(machine: Machine) -> &'static [&'static str] {
    match machine {
        Machine::Kvm => &["-accel", "kvm", "-cpu", "host"],
        // la57 would make every page walk of the emulation one level longer
        Machine::Tcg => &["-accel", "tcg,thread=multi", "-cpu", "max,-la57"],
        // Without erms and fsrm the kernel copies by words, not by a string instruction that
        // counts once per byte.
        Machine::Icount => &[
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max,-la57,-erms,-fsrm",
            "-icount",
            "shift=0,sleep=off",
        ],
    }
}

fn share(command: &mut Command, tag: &str, folder: &Path, more: &str) {
    let path = escaped(folder);
    let device = format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}");
    let fsdev = format!("local,id={tag},path={path},security_model=none{more}");
    command.args(["-fsdev", &fsdev, "-device", &device]);
}

/// `path` as a value in a list of QEMU's options, where a comma stands doubled.
pub(crate) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

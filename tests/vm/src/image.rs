//! The two things QEMU boots: the kernel proper and the first file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::filter;
use crate::cpio::Archive;
use crate::error::{Doing, VmError};

/// The first program of the guest: covers the host's root and enters it.
pub(crate) const STAGE1: &str = include_str!("../init/stage1.sh");
/// The second: finishes the guest, runs the command, hands back its status.
pub(crate) const STAGE2: &str = include_str!("../init/stage2.sh");

// The boot protocol's header (Documentation/arch/x86/boot.rst), offsets from the file's start.
const SETUP_SECTORS: usize = 0x1f1;
const SIGNATURE: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// Takes the kernel proper out of `image`, a file that unpacks itself.
///
/// QEMU starts it directly, and a guest under emulation is spared the unpacking: seconds.
pub(crate) fn extract_kernel(image: &Path) -> Result<Vec<u8>, VmError> {
    let bytes = fs::read(image).doing("read", image)?;
    let wrong = |what| VmError::Image {
        path: image.to_owned(),
        what,
    };
    let payload = payload_of(&bytes).ok_or_else(|| wrong("not a bootable kernel image"))?;
    let unpack = match payload {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', ..] => "xz",
        [0x1f, 0x8b, ..] => "gzip",
        _ => return Err(wrong("packed in a way that is not known here")),
    };
    let kernel = filter(Command::new(unpack).arg("-dc"), payload)?;
    if kernel.starts_with(b"\x7fELF") {
        Ok(kernel)
    } else {
        Err(wrong("holds no ELF kernel"))
    }
}

fn payload_of(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    if image.get(SIGNATURE..SIGNATURE + 4)? != b"HdrS" {
        return None;
    }
    let start = (usize::from(*image.get(SETUP_SECTORS)?) + 1) * 512 + word(PAYLOAD_OFFSET)?;
    // The last four bytes are the unpacked size, not part of the packed stream.
    image.get(start..start + word(PAYLOAD_LENGTH)?.checked_sub(4)?)
}

/// The first file system: busybox, `modules` in the order in which to insert them, and stage 1.
pub(crate) fn initramfs(modules: &[PathBuf]) -> Result<Vec<u8>, VmError> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or(busybox[0]);
    let mut archive = Archive::default();
    for folder in ["bin", "m", "proc", "sys", "dev", "lower", "ovl", "root"] {
        archive.folder(folder);
    }
    archive.program("bin/busybox", &fs::read(busybox).doing("read", busybox)?);
    archive.symlink("bin/sh", "busybox");
    for (place, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let content = fs::read(module).doing("read", module)?;
        // The shell inserts them by their sorted names.
        archive.program(&format!("m/{:03}-{name}", place), &content);
    }
    archive.program("init", STAGE1.as_bytes());
    Ok(archive.finish())
}

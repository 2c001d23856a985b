//! A writer of the "newc" archives that the kernel unpacks as its first file system.

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;

/// An archive under construction; members are unpacked in the order of the calls.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    members: u32,
}

impl Archive {
    /// Adds an empty folder. Parents must have been added before.
    pub(crate) fn folder(&mut self, path: &str) {
        self.member(path, FOLDER, &[]);
    }

    /// Adds an executable file.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.member(path, PROGRAM, content);
    }

    /// Adds a symbolic link to `target`.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        self.member(path, SYMLINK, target.as_bytes());
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.member("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn member(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.members += 1;
        let fields = [
            self.members, // inode
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time
            content.len() as u32,
            0, // device, and the device that a device node stands for
            0,
            0,
            0,
            path.len() as u32 + 1,
            0, // checksum: none in this form
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::command::filter;

    #[test]
    fn busybox_lists_what_was_added() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.program("bin/a", b"12345");
        archive.symlink("bin/b", "a");
        let mut list = Command::new("busybox");
        let listed = filter(list.args(["cpio", "-t"]), &archive.finish()).expect("readable");
        assert_eq!(String::from_utf8_lossy(&listed), "bin\nbin/a\nbin/b\n");
    }
}

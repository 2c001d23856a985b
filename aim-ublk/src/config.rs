//! What a device is made of.

use std::path::PathBuf;

use libublk::sys;

use crate::error::{Error, Result};
use crate::leftover::Waiting;

/// How the data of reads gets to who asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadPath {
    /// Through memory of this process.
    #[default]
    Copy,
    /// The disk puts it where it is wanted. Each write then costs one more step, the copy of its
    /// payload. Where the kernel can't do it
    /// ([`Features::zero_copy_reads`](crate::kernel::Features::zero_copy_reads)), it is as `Copy`.
    ZeroCopy,
}

impl ReadPath {
    /// That of the device that `info` tells of: it keeps what it was made with.
    pub(crate) fn of(info: &sys::ublksrv_ctrl_dev_info) -> Self {
        match info.flags & u64::from(sys::UBLK_F_AUTO_BUF_REG) {
            0 => Self::Copy,
            _ => Self::ZeroCopy,
        }
    }
}

/// Configuration of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Name under `/dev/aim/`: letters, digits, `.`, `_` and `-`, starting with a letter or digit.
    pub name: String,
    /// Block device or image file behind it.
    pub backing: PathBuf,
    /// Queues, each with a thread of its own; the kernel makes it at most one per CPU.
    pub queues: u16,
    /// Requests that each queue can have in flight, 1 to 4096.
    pub depth: u16,
    /// Largest request with payload, in bytes: a multiple of 4096 from 4096 to 32 MiB. A request
    /// without payload (discard, write zeroes) is not bound by it.
    pub max_request_bytes: u32,
    /// Threads that share the requests of a queue, 1 to 64; one where the kernel can't do it
    /// ([`Features::threads_per_queue`](crate::kernel::Features::threads_per_queue)).
    pub threads_per_queue: u16,
    /// How the data of reads gets to who asks for it.
    pub read_path: ReadPath,
    /// The N of `/dev/ublkbN`, or `None` for the first that is free.
    pub id: Option<u32>,
}

impl DeviceConfig {
    /// Longest name in bytes.
    pub const MAX_NAME: usize = 64;
    /// Largest `threads_per_queue`.
    pub const MAX_THREADS: u16 = 64;
    /// Largest `max_request_bytes`.
    pub const MAX_REQUEST_BYTES: u32 = 32 << 20;

    /// A device with one queue per CPU (four at most) of 64 requests of up to 128 KiB.
    pub fn new(name: impl Into<String>, backing: impl Into<PathBuf>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            name: name.into(),
            backing: backing.into(),
            queues: cpus.min(4) as u16,
            depth: 64,
            max_request_bytes: 128 << 10,
            threads_per_queue: 1,
            read_path: ReadPath::Copy,
            id: None,
        }
    }

    /// Landings that the device holds at most. The interceptor's memory must have room for all
    /// of them at once, each of `max_request_bytes`, and for what awaits the journal besides:
    /// an idle request slot keeps its landing.
    pub fn landings(&self) -> usize {
        usize::from(self.queues) * usize::from(self.depth)
    }

    /// Takes over what a waiting device of this name was made with: its queues, its depth and its
    /// largest request, and its read path. An interceptor must be made for those, not for what was configured since.
    pub fn fit(&mut self, waiting: &Waiting) {
        self.queues = waiting.queues;
        self.depth = waiting.depth;
        self.max_request_bytes = waiting.max_request_bytes;
        self.read_path = waiting.read_path;
    }

    /// Whether each field is in its range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for the first field that is not.
    pub fn check(&self) -> Result<()> {
        let invalid = |field, value: &dyn ToString, reason| {
            Err(Error::InvalidConfig {
                field,
                value: value.to_string(),
                reason,
            })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || self.name.len() > Self::MAX_NAME {
            return invalid("name", &self.name, "must have 1 to 64 characters");
        }
        if !self.name.chars().all(plain) || !self.name.starts_with(char::is_alphanumeric) {
            let reason =
                "may have letters, digits, `.`, `_` and `-`, and starts with a letter or digit";
            return invalid("name", &self.name, reason);
        }
        if self.queues == 0 || self.queues > 4096 {
            return invalid("queues", &self.queues, "must be 1 to 4096");
        }
        if self.depth == 0 || self.depth > 4096 {
            return invalid("depth", &self.depth, "must be 1 to 4096");
        }
        if self.threads_per_queue == 0 || self.threads_per_queue > Self::MAX_THREADS {
            return invalid(
                "threads_per_queue",
                &self.threads_per_queue,
                "must be 1 to 64",
            );
        }
        let bytes = self.max_request_bytes;
        if bytes == 0 || !bytes.is_multiple_of(4096) || bytes > Self::MAX_REQUEST_BYTES {
            let reason = "must be a multiple of 4096 up to 33554432";
            return invalid("max_request_bytes", &bytes, reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_checked() {
        let good = DeviceConfig::new("data-1.a_b", "/dev/null");
        good.check().unwrap();
        let bad = [
            (
                "name",
                DeviceConfig {
                    name: "../x".into(),
                    ..good.clone()
                },
            ),
            (
                "name",
                DeviceConfig {
                    name: ".x".into(),
                    ..good.clone()
                },
            ),
            (
                "name",
                DeviceConfig {
                    name: String::new(),
                    ..good.clone()
                },
            ),
            (
                "name",
                DeviceConfig {
                    name: "x".repeat(65),
                    ..good.clone()
                },
            ),
            (
                "queues",
                DeviceConfig {
                    queues: 0,
                    ..good.clone()
                },
            ),
            (
                "depth",
                DeviceConfig {
                    depth: 4097,
                    ..good.clone()
                },
            ),
            (
                "threads_per_queue",
                DeviceConfig {
                    threads_per_queue: 0,
                    ..good.clone()
                },
            ),
            (
                "max_request_bytes",
                DeviceConfig {
                    max_request_bytes: 4097,
                    ..good.clone()
                },
            ),
            (
                "max_request_bytes",
                DeviceConfig {
                    max_request_bytes: 64 << 20,
                    ..good.clone()
                },
            ),
        ];
        for (expected, config) in bad {
            match config.check() {
                Err(Error::InvalidConfig { field, .. }) => assert_eq!(field, expected),
                other => panic!("{config:?}: {other:?}"),
            }
        }
    }
}

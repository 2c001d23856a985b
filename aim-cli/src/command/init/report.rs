//! What an initialization says at its end.

use serde::Serialize;

use aim_core::identity::VolumeIdentity;

use crate::args::Output;
use crate::config::Size;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

/// The result of `aim init`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `initialized`, `completed` after an interruption, or `already_initialized`.
    status: Status,
    kind: &'static str,
    name: String,
    volume_id: String,
    device: String,
    size: u64,
    block_size: u32,
    #[serde(skip)]
    next: String,
}

/// What had to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Initialized,
    Completed,
    AlreadyInitialized,
}

impl Report {
    pub(super) fn new(
        status: Status,
        (kind, name): (&'static str, &str),
        identity: &VolumeIdentity,
        device: &std::path::Path,
        next: String,
    ) -> Self {
        let first = identity.devices.first();
        Self {
            status,
            kind,
            name: name.to_owned(),
            volume_id: identity.id.to_string(),
            device: device.display().to_string(),
            size: first.map_or(0, |device| device.size.get()),
            block_size: first.map_or(0, |device| device.block_size),
            next,
        }
    }

    pub(super) fn print(&self, out: &Output) -> Outcome {
        if out.json {
            output::json(self)?;
            return Ok(Exit::Success);
        }
        let said = match self.status {
            Status::Initialized => "initialized",
            Status::Completed => "an interrupted initialization is now complete",
            Status::AlreadyInitialized => "already initialized",
        };
        output::line(format!("{} {}: {said}", self.kind, self.name))?;
        output::line(format!("  volume id  {}", self.volume_id))?;
        output::line(format!(
            "  disk       {}, {} ({} bytes), blocks of {} bytes",
            self.device,
            Size(self.size),
            self.size,
            self.block_size
        ))?;
        if self.status != Status::AlreadyInitialized {
            output::line(&self.next)?;
        }
        Ok(Exit::Success)
    }
}

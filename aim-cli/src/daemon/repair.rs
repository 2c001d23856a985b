//! What a volume can be asked for: to copy what differs, and to find out what does.

use aim_core::capture::Wanted;
use aim_core::replay::{DeviceRange, Differences};
use aim_core::units::Lsn;

use super::request::{Different, SyncAsked, VerifyAsked};
use super::volume::{Volume, lock};

/// The differences for which a resync was asked last, and what had been captured by then.
#[derive(Debug, Default)]
pub(super) struct Repair {
    ranges: Vec<DeviceRange>,
    captured: Lsn,
}

impl Volume {
    /// Wants what differs, or all, to be copied to the mirror.
    pub(crate) fn sync(&self, all: bool) -> Result<SyncAsked, String> {
        self.require_running()?;
        let status = self.shipper.status();
        let known = status.differences.as_ref();
        let ranges: Vec<_> = known.into_iter().flat_map(Differences::ranges).collect();
        let capture = self.capture.status();
        let mut repair = lock(&self.repair);
        // what the mirror says is of before the resync that was asked for: it is under way
        let is_asked = repair.ranges == ranges && status.applied.lsn <= repair.captured;
        let mut wanted = Vec::new();
        if !is_asked {
            wanted.extend(ranges.iter().map(|range| Wanted::Range {
                device: range.device,
                offset: range.offset,
                len: range.len,
            }));
            *repair = Repair {
                ranges: ranges.clone(),
                captured: capture.captured,
            };
        }
        if all {
            wanted.push(Wanted::All);
        }
        if !wanted.is_empty() {
            self.capture.request_resync(&wanted);
        }
        let requested_bytes = match all {
            true => {
                let devices = self.spool.identity().devices.iter();
                devices.map(|device| device.size.get()).sum()
            }
            false => ranges.iter().map(|range| range.len.get()).sum(),
        };
        Ok(SyncAsked {
            requested_bytes,
            is_known: known.is_some(),
        })
    }

    /// Wants all of the volume to be verified.
    pub(crate) fn verify(&self) -> Result<VerifyAsked, String> {
        self.require_running()?;
        let before = self.different();
        Ok(VerifyAsked {
            pass: self.capture.request_verify(),
            uncompared_bytes: before.uncompared_bytes,
        })
    }

    /// Where the mirror is known to differ.
    pub(crate) fn different(&self) -> Different {
        let found = self.shipper.status().differences;
        found.as_ref().map(Different::from).unwrap_or_default()
    }
}

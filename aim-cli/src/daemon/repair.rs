//! What a volume can be asked for: to copy what differs, and to find out what does.

use aim_core::capture::Wanted;
use aim_core::replay::{DeviceRange, Differences};
use aim_core::units::Lsn;
use aim_remote::ship::ShipStatus;

use super::request::{Different, SyncAsked, VerifyAsked};
use super::volume::{Volume, lock};

/// In whose name the operator wants a baseline: no target has such a number.
const OPERATOR: u32 = u32::MAX;

/// The differences of a target for which a resync was asked last, and what had been captured by
/// then.
#[derive(Debug, Default)]
pub(super) struct Repair {
    ranges: Vec<DeviceRange>,
    captured: Lsn,
}

impl Volume {
    /// Wants what differs on a target, or on any, to be copied; or all.
    pub(crate) fn sync(&self, all: bool, target: Option<&str>) -> Result<SyncAsked, String> {
        self.require_running()?;
        let captured = self.capture.status().captured;
        let (mut wanted, mut differing, mut is_known) = (Vec::new(), Vec::new(), true);
        let mut repairs = lock(&self.repair);
        for (name, status) in self.statuses_of(target)? {
            let known = status.differences.as_ref();
            let ranges: Vec<_> = known.into_iter().flat_map(Differences::ranges).collect();
            is_known &= known.is_some();
            differing.extend(ranges.iter().copied());
            let repair = repairs.entry(name).or_default();
            // what the mirror says is of before the resync that was asked for: it is under way
            let is_asked = repair.ranges == ranges && status.applied.lsn <= repair.captured;
            if !is_asked {
                wanted.extend(ranges.iter().map(|range| Wanted::Range {
                    device: range.device,
                    offset: range.offset,
                    len: range.len,
                }));
                *repair = Repair { ranges, captured };
            }
        }
        if all {
            wanted.push(Wanted::All);
        }
        if !wanted.is_empty() {
            self.capture.request_resync(&wanted);
        }
        let requested_bytes = match all {
            true => self.bytes(),
            false => differing.iter().map(|range| range.len.get()).sum(),
        };
        Ok(SyncAsked {
            requested_bytes,
            is_known,
        })
    }

    /// Wants all of the volume to be put into the series.
    pub(crate) fn baseline(&self) -> Result<SyncAsked, String> {
        self.require_running()?;
        let from = self.capture.status().captured.next();
        self.capture.baselines().want(OPERATOR, from);
        Ok(SyncAsked {
            requested_bytes: self.bytes(),
            is_known: true,
        })
    }

    fn bytes(&self) -> u64 {
        let devices = self.spool.identity().devices.iter();
        devices.map(|device| device.size.get()).sum()
    }

    /// Wants all of the volume to be verified; `target`: for whose sake.
    pub(crate) fn verify(&self, target: Option<&str>) -> Result<VerifyAsked, String> {
        self.require_running()?;
        let before = self.different(target)?;
        Ok(VerifyAsked {
            pass: self.capture.request_verify(),
            uncompared_bytes: before.uncompared_bytes,
        })
    }

    /// Where a target, or any, is known to differ.
    pub(crate) fn different(&self, target: Option<&str>) -> Result<Different, String> {
        let mut different = Different {
            is_known: true,
            ..Different::default()
        };
        for (name, status) in self.statuses_of(target)? {
            let found = status.differences.as_ref();
            let found = found
                .map(|found| Different::of(&name, found))
                .unwrap_or_default();
            different.is_known &= found.is_known;
            different.ranges.extend(found.ranges);
            different.uncompared_bytes += found.uncompared_bytes;
        }
        Ok(different)
    }

    fn statuses_of(&self, target: Option<&str>) -> Result<Vec<(String, ShipStatus)>, String> {
        let all = self.targets.statuses();
        let wanted = all.filter(|(name, _)| target.is_none_or(|target| target == *name));
        let wanted: Vec<_> = wanted
            .map(|(name, status)| (name.to_owned(), status))
            .collect();
        match target {
            Some(target) if wanted.is_empty() => {
                Err(format!("volume {} has no target {target}", self.name()))
            }
            _ => Ok(wanted),
        }
    }
}

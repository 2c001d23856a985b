//! How the IOCBs of a file follow each other.

use std::sync::Arc;

use super::field::{exactly, multiple_of, within};
use super::header::{BASELINES, GROUPS, Header};
use super::iocb::{Iocb, IocbError, Kind};
use super::limits::MAX_FILE_BYTES;
use crate::identity::DeviceIdentity;
use crate::units::{Lsn, Timestamp};

/// Walks along the IOCBs of a file and refuses the first that does not follow: LSNs without a
/// gap, payloads packed without a gap, times that do not go back, ranges inside their devices,
/// groups that begin outside of one and end inside of one, baselines that begin a file.
#[derive(Clone, Debug)]
pub struct Sequence {
    devices: Arc<[DeviceIdentity]>,
    next_lsn: Lsn,
    next_place: u64,
    last_time: Timestamp,
    open_group: Lsn,
    needs_groups: bool,
    first_lsn: Lsn,
    needs_baselines: bool,
    baseline_begun: Lsn,
    baseline_ended: Lsn,
}

impl Sequence {
    /// The start of the file with this header.
    pub fn start(header: &Header) -> Self {
        Self {
            devices: header.volume.devices.as_slice().into(),
            next_lsn: header.first_lsn,
            next_place: header.layout.data_offset,
            last_time: Timestamp(0),
            open_group: header.open_group,
            needs_groups: header.open_group != Lsn(0),
            first_lsn: header.first_lsn,
            needs_baselines: false,
            baseline_begun: Lsn(0),
            baseline_ended: Lsn(0),
        }
    }

    /// Steps over `iocb`.
    ///
    /// # Errors
    ///
    /// [`IocbError`] if it does not follow; then nothing has changed.
    pub fn step(&mut self, iocb: &Iocb) -> Result<(), IocbError> {
        exactly("lsn", iocb.lsn.get(), self.next_lsn.get())?;
        let time = iocb.time.get();
        within("time_ns", time, self.last_time.get(), u64::MAX)?;
        self.check_range(iocb)?;
        let mut next_place = self.next_place;
        if let Some(payload) = &iocb.payload {
            exactly("data_place", payload.place, next_place)?;
            next_place += u64::from(payload.stored_size);
            within("end of payload", next_place, 0, MAX_FILE_BYTES)?;
        }
        within("lsn", iocb.lsn.get(), 1, u64::MAX - 1)?;
        self.check_baseline(iocb)?;
        self.open_group = self.open_group_behind(iocb)?;
        self.needs_groups |= iocb.kind.needs_groups();
        self.needs_baselines |= iocb.kind.needs_baselines();
        match iocb.kind {
            Kind::BaselineBegin => self.baseline_begun = iocb.lsn,
            Kind::BaselineEnd { begin } => self.baseline_ended = begin,
            _ => {}
        }
        self.next_lsn = iocb.lsn.next();
        self.next_place = next_place;
        self.last_time = iocb.time;
        Ok(())
    }

    /// The LSN of the next IOCB.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Where in the file the next payload starts: the end of the data so far.
    pub fn next_place(&self) -> u64 {
        self.next_place
    }

    /// Time of the last IOCB; 0 before the first.
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// LSN of the group begin of the group that is open here; 0: none.
    pub fn open_group(&self) -> Lsn {
        self.open_group
    }

    /// The `incompatible` bits that a sealed file of these IOCBs has.
    pub fn incompatible(&self) -> u64 {
        u64::from(self.needs_groups) * GROUPS + u64::from(self.needs_baselines) * BASELINES
    }

    /// LSN of the baseline begin with which the file begins; 0: with none.
    pub fn baseline_begun(&self) -> Lsn {
        self.baseline_begun
    }

    /// Where the last baseline began that ends among the IOCBs so far; 0: none does.
    pub fn baseline_ended(&self) -> Lsn {
        self.baseline_ended
    }

    /// Where a baseline begins or ends the series determines what the disk holds; and whoever takes
    /// up a series at a baseline does so with a file.
    fn check_baseline(&self, iocb: &Iocb) -> Result<(), IocbError> {
        let fits = match iocb.kind {
            Kind::BaselineBegin => iocb.lsn == self.first_lsn,
            Kind::BaselineEnd { begin } => begin != Lsn(0) && begin < iocb.lsn,
            _ => return Ok(()),
        };
        match fits && self.open_group == Lsn(0) {
            true => Ok(()),
            false => Err(IocbError::MisplacedBaseline),
        }
    }

    fn open_group_behind(&self, iocb: &Iocb) -> Result<Lsn, IocbError> {
        let open = self.open_group;
        match (iocb.kind, open) {
            (Kind::GroupBegin { .. }, Lsn(0)) => Ok(iocb.lsn),
            (Kind::GroupBegin { .. }, _) => Err(IocbError::GroupInGroup { open }),
            (Kind::GroupEnd, Lsn(0)) => Err(IocbError::NoGroup),
            (Kind::GroupEnd, _) => Ok(Lsn(0)),
            _ => Ok(open),
        }
    }

    fn check_range(&self, iocb: &Iocb) -> Result<(), IocbError> {
        let count = self.devices.len();
        let Some(device) = self.devices.get(usize::from(iocb.device)) else {
            return Err(IocbError::Device {
                device: iocb.device,
                count,
            });
        };
        let (offset, len) = (iocb.offset.get(), iocb.len.get());
        if iocb.kind.is_mark() {
            exactly("device", iocb.device.into(), 0)?;
        }
        if iocb.kind == Kind::Flush || iocb.kind.is_mark() {
            exactly("offset", offset, 0)?;
            exactly("length", len, 0)?;
            return Ok(());
        }
        let block_size = u64::from(device.block_size);
        let size = device.size.get();
        let least = match iocb.kind {
            Kind::Void => 0,
            _ => block_size,
        };
        within("length", len, least, size)?;
        multiple_of("length", len, block_size)?;
        within("offset", offset, 0, size - len)?;
        multiple_of("offset", offset, block_size)?;
        Ok(())
    }
}

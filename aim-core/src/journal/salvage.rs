//! Taking up again what a crash left in `open/`.
//!
//! ```text
//! IOCBs    │ 1 │ 2 │ 3 │ 4 │ torn │ 6 │ 0 │      kept: 1 to 3, if 4's payload is not whole
//! payloads │  1  │ 2 │  3  │ 4, torn
//! ```
//!
//! A record is kept if its IOCB is good, follows the one before, and its payload has its
//! checksum; the first that fails ends the file, since order is all. Everything that a sync
//! covered is before that: a torn write can only damage what was never promised.

use std::sync::Arc;

use super::content::check_zero;
use super::name::FileName;
use super::pages::Pages;
use super::read_error::ReadError;
use super::reader::{ParsedFile, good_iocbs, payload_is_good};
use super::sealed::{SealedFile, file_name};
use super::writer::OpenFile;
use crate::format::limits::{HEADER_BYTES, IOCB_BYTES};
use crate::format::{GROUPS, Header, Sequence};
use crate::fs::{DirFile, Directory};
use crate::units::Lsn;

/// What a crash left of a file in `open/`.
#[derive(Debug)]
pub enum Recovered {
    /// Records up to the last good one. More may be appended before it is sealed. Nothing
    /// counts as durable until the next sync or seal.
    Open(Box<OpenFile>),
    /// It was sealed and only lacks its final name.
    Sealed(SealedFile),
    /// It never held a record, so it can be removed.
    Empty,
}

/// Why a file in `open/` can't be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The header is not right although something stands behind it, or the file system failed.
    #[error("open journal file {name} can't be recovered: {source}")]
    Read {
        /// The file.
        name: FileName,
        /// What is wrong.
        source: ReadError,
    },
    /// The file has the name of another one.
    #[error("open journal file {name} says that it is {found}")]
    Name {
        /// The file.
        name: FileName,
        /// The name by its header.
        found: FileName,
    },
}

/// Takes up the file `name.open()` in `directory` (`open/`). Nothing is written: what follows
/// the last good record is overwritten by the next append or by the seal.
///
/// A file that is named by the source's sealed cursor was whole: if it does not come back as
/// [`Recovered::Sealed`] with the digest there, the medium has lost what it had made durable.
///
/// # Errors
///
/// [`RecoverError`]; then the file must be kept, and what it held must be made good by a resync.
pub fn recover(directory: &dyn Directory, name: FileName) -> Result<Recovered, RecoverError> {
    let failed = |source| RecoverError::Read { name, source };
    let file = directory
        .open(&name.open(), true)
        .map_err(ReadError::at(0))
        .map_err(failed)?;
    let Some(header) = read_header(&*file).map_err(failed)? else {
        return Ok(Recovered::Empty);
    };
    let found = file_name(&header);
    if found != name {
        return Err(RecoverError::Name { name, found });
    }
    if header.seal.is_some()
        && let Some(sealed) = whole(&file).map_err(failed)?
    {
        return Ok(Recovered::Sealed(sealed));
    }
    let open = keep_good(file, header).map_err(failed)?;
    match open.count() {
        0 => Ok(Recovered::Empty),
        _ => Ok(Recovered::Open(Box::new(open))),
    }
}

/// `None` if the crash came before the header was durable: then nothing stands behind it, as the
/// file had its length already, but no record.
fn read_header(file: &dyn DirFile) -> Result<Option<Header>, ReadError> {
    let len = file.len().map_err(ReadError::at(0))?;
    if len < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0)
        .map_err(ReadError::at(0))?;
    match Header::parse(&bytes) {
        Ok(header) => Ok(Some(header)),
        Err(error) => match check_zero(file, HEADER_BYTES as u64..len) {
            Ok(()) => Ok(None),
            Err(damage) if damage.is_damage() => Err(error.into()),
            Err(failed) => Err(failed),
        },
    }
}

/// A sealed header may have become durable before the rest of the file.
fn whole(file: &Arc<dyn DirFile>) -> Result<Option<SealedFile>, ReadError> {
    match ParsedFile::open(file.clone()).and_then(ParsedFile::verify) {
        Ok(verified) => Ok(Some(verified.sealed())),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

fn keep_good(file: Arc<dyn DirFile>, mut header: Header) -> Result<OpenFile, ReadError> {
    header.seal = None;
    // what a feature that is not known here had put into reserved bytes is not kept either
    header.compatible = 0;
    header.incompatible = match header.open_group {
        Lsn(0) => 0,
        _ => GROUPS,
    };
    let len = file.len().map_err(ReadError::at(0))?;
    check_gaps(&*file, &header, len)?;
    let (mut iocbs, there) = read_portion(&*file, &header, len)?;
    let mut sequence = Sequence::start(&header);
    let candidates: Vec<_> = good_iocbs(&iocbs[..there], &header, &mut sequence).collect();

    let mut sequence = Sequence::start(&header);
    let mut count = 0;
    for iocb in &candidates {
        if !payload_is_good(&*file, len, iocb)? || sequence.step(iocb).is_err() {
            break;
        }
        count += 1;
    }
    let used = count as usize * IOCB_BYTES;
    let unused = &mut iocbs[used..there.max(used)];
    let last_byte = unused.iter().rposition(|byte| *byte != 0);
    // what a failed write left is overwritten before the file is sealed
    let stale = last_byte.map_or(0, |index| index / IOCB_BYTES + 1) as u32;
    unused.fill(0);
    tracing::info!(
        file = %file_name(&header),
        records = count,
        dropped = candidates.len() - count as usize,
        stale,
        "recovered an open journal file"
    );
    let iocbs = Pages::copy_of(&iocbs);
    Ok(OpenFile::from_parts(file, header, iocbs, count, sequence).with_stale(count + stale))
}

/// What lies between the portions is written by nobody, so a crash can't have left anything there.
fn check_gaps(file: &dyn DirFile, header: &Header, len: u64) -> Result<(), ReadError> {
    let layout = &header.layout;
    let iocb_end = layout.iocb_offset + layout.iocb_bytes();
    check_zero(file, HEADER_BYTES as u64..layout.iocb_offset.min(len))?;
    check_zero(file, iocb_end..layout.data_offset.min(len))
}

/// The IOCB portion, and how much of it is in the file; zero where the file is shorter.
fn read_portion(
    file: &dyn DirFile,
    header: &Header,
    len: u64,
) -> Result<(Vec<u8>, usize), ReadError> {
    let place = header.layout.iocb_offset;
    let mut bytes = vec![0; header.layout.iocb_bytes() as usize];
    let there = len.saturating_sub(place).min(bytes.len() as u64) as usize;
    file.read_exact_at(&mut bytes[..there], place)
        .map_err(ReadError::at(place))?;
    Ok((bytes, there))
}

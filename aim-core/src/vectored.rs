//! Writing bytes that lie in several places of memory to one place of a file.

use std::fs::File;
use std::io::{self, IoSlice};

use rustix::io::Errno;

/// Most slices that one call takes (`IOV_MAX` of Linux).
pub(crate) const SLICES_MAX: usize = 1024;

/// Writes all slices one after the other from `offset` (bytes); what ends short goes on.
///
/// # Errors
///
/// With the offset where the call that failed began: what is before is written.
pub(crate) fn write_all_at(
    file: &File,
    slices: &[IoSlice<'_>],
    mut offset: u64,
) -> Result<(), (u64, io::Error)> {
    let mut owned = slices.to_vec();
    let mut rest = owned.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let now = &rest[..rest.len().min(SLICES_MAX)];
        match rustix::io::pwritev(file, now, offset) {
            Ok(0) => return Err((offset, io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err((offset, error.into())),
        }
    }
    Ok(())
}

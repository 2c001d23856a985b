//! The parameters of a device as the driver takes them.

use libublk::sys;

use crate::backing::Limits;

/// Bytes in a sector, the unit of the block layer whatever the block size.
pub(crate) const SECTOR: u64 = 512;

/// Largest range of one request without payload: the kernel counts its bytes in 32 bits.
const MAX_RANGE_SECTORS: u32 = u32::MAX >> 9;

/// Parameters of a device of `size` bytes with the limits of the disk behind it, whose requests
/// with payload have up to `max_request_bytes`.
///
/// A volatile cache is advertised whatever the disk has, since the journal has one. Write zeroes
/// is always offered: without it the kernel would send pages of zeroes, and each would be
/// captured as a payload.
pub(crate) fn params(size: u64, limits: &Limits, max_request_bytes: u32) -> sys::ublk_params {
    let physical = limits.physical_block;
    let granularity = limits.discard.map_or(physical, |d| d.granularity);
    let mut attrs = sys::UBLK_ATTR_VOLATILE_CACHE | sys::UBLK_ATTR_FUA;
    if limits.rotational {
        attrs |= sys::UBLK_ATTR_ROTATIONAL;
    }
    sys::ublk_params {
        types: sys::UBLK_PARAM_TYPE_BASIC | sys::UBLK_PARAM_TYPE_DISCARD,
        basic: sys::ublk_param_basic {
            attrs,
            logical_bs_shift: shift(limits.logical_block, 512),
            physical_bs_shift: shift(physical, limits.logical_block),
            io_opt_shift: shift(limits.io_opt, physical),
            io_min_shift: shift(limits.io_min, physical),
            max_sectors: max_request_bytes >> 9,
            dev_sectors: size / SECTOR,
            ..Default::default()
        },
        discard: sys::ublk_param_discard {
            discard_alignment: limits.discard.map_or(0, |d| d.alignment),
            discard_granularity: granularity,
            max_discard_sectors: if limits.discard.is_some() {
                whole(granularity)
            } else {
                0
            },
            max_write_zeroes_sectors: whole(physical),
            max_discard_segments: 1,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// The driver takes powers of two as shifts: the largest one that divides `bytes`, so that it
/// stays a boundary of, say, a stripe of three chunks; `least` where that is smaller or none is
/// given.
fn shift(bytes: u32, least: u32) -> u8 {
    let divisor = if bytes == 0 {
        0
    } else {
        bytes.trailing_zeros()
    };
    // fits: at most 31
    divisor.max(least.trailing_zeros()) as u8
}

/// The largest range in sectors that is a multiple of `unit` bytes.
fn whole(unit: u32) -> u32 {
    let sectors = (unit >> 9).max(1);
    MAX_RANGE_SECTORS - MAX_RANGE_SECTORS % sectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::DiscardLimits;

    const DISK: Limits = Limits {
        logical_block: 512,
        physical_block: 4096,
        io_min: 65_536,
        io_opt: 3 * 65_536,
        rotational: true,
        discard: Some(DiscardLimits {
            granularity: 1 << 20,
            alignment: 512,
        }),
    };

    #[test]
    fn limits_of_the_disk_are_taken_over() {
        let params = params(1 << 30, &DISK, 128 << 10);
        let basic = params.basic;
        assert_eq!((basic.logical_bs_shift, basic.physical_bs_shift), (9, 12));
        assert_eq!((basic.io_min_shift, basic.io_opt_shift), (16, 16));
        assert_eq!((basic.max_sectors, basic.dev_sectors), (256, 1 << 21));
        assert_ne!(basic.attrs & sys::UBLK_ATTR_ROTATIONAL, 0);
        assert_eq!(params.discard.max_discard_sectors % 2048, 0);
        assert!(params.discard.max_discard_sectors > MAX_RANGE_SECTORS - 2048);
    }

    #[test]
    fn without_discard_zeroes_are_still_offered() {
        let limits = Limits {
            io_min: 0,
            io_opt: 0,
            discard: None,
            ..DISK
        };
        let params = params(1 << 30, &limits, 128 << 10);
        assert_eq!(params.discard.max_discard_sectors, 0);
        assert_eq!(params.discard.max_write_zeroes_sectors % 8, 0);
        assert_ne!(params.discard.discard_granularity, 0);
        assert_eq!(
            (params.basic.io_min_shift, params.basic.io_opt_shift),
            (12, 12)
        );
    }
}

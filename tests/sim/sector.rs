//! Contents that say what they are: a sector holds one number over and over, its stamp.

/// Bytes of a sector, which is what disks write whole, and the block of all disks here.
pub(crate) const BYTES: usize = 512;

/// What a sector holds. Every write of every sector has a stamp of its own.
pub(crate) type Stamp = u64;

/// A sector of zeroes.
pub(crate) const ZERO: Stamp = 0;

/// A sector that holds no stamp: it is damaged.
pub(crate) const DAMAGED: Stamp = u64::MAX;

/// The stamp of a sector that the write number `serial` brings; `place` counts sectors over all
/// disks, so that data at a wrong place shows too.
pub(crate) fn stamp(serial: u64, place: usize) -> Stamp {
    serial << 16 | place as u64
}

/// The bytes of sectors with these stamps.
pub(crate) fn bytes(stamps: &[Stamp]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(stamps.len() * BYTES);
    for stamp in stamps {
        for _ in 0..BYTES / 8 {
            bytes.extend_from_slice(&stamp.to_le_bytes());
        }
    }
    bytes
}

/// The stamps of the sectors in `bytes`.
pub(crate) fn stamps(bytes: &[u8]) -> impl Iterator<Item = Stamp> {
    bytes.as_chunks::<BYTES>().0.iter().map(|sector| {
        let words = sector.as_chunks::<8>().0;
        match words.iter().all(|word| *word == words[0]) {
            true => u64::from_le_bytes(words[0]),
            false => DAMAGED,
        }
    })
}

/// A stamp for people: which write, and of which place.
pub(crate) fn name(stamp: Stamp) -> String {
    match stamp {
        ZERO => "zeroes".to_owned(),
        DAMAGED => "damage".to_owned(),
        stamp => format!("write {} of sector {}", stamp >> 16, stamp & 0xffff),
    }
}

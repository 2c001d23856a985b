//! What writes leave that are done one after the other.

use std::collections::BTreeMap;

/// Ranges of devices, each with where its bytes lie in memory. Where one covers another the later one
/// counts.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: Vec<Layer>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Layer {
    device: u16,
    start: u64,
    end: u64,
    /// Place in its order.
    order: usize,
    /// Where its bytes begin; `None`: others decide what the range holds.
    place: Option<usize>,
}

/// What is left of a range, or of several that lie side by side on the device and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) device: u16,
    pub(super) start: u64,
    /// The offset behind its last byte.
    pub(super) end: u64,
    /// Where its bytes begin.
    pub(super) place: usize,
}

impl Layers {
    pub(super) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.layers.clear();
    }

    /// Puts a range over those that are there.
    pub(super) fn put(&mut self, device: u16, (start, end): (u64, u64), place: usize) {
        self.push(device, (start, end), Some(place));
    }

    /// Cuts a range out of those that are there.
    pub(super) fn cut(&mut self, device: u16, (start, end): (u64, u64)) {
        self.push(device, (start, end), None);
    }

    fn push(&mut self, device: u16, (start, end): (u64, u64), place: Option<usize>) {
        if start < end {
            self.layers.push(Layer {
                device,
                start,
                end,
                order: self.layers.len(),
                place,
            });
        }
    }

    /// What is left, by device and ascending; none overlaps another.
    pub(super) fn pieces(&mut self) -> Vec<Piece> {
        let layers = &mut self.layers;
        layers.sort_unstable_by_key(|layer| (layer.device, layer.start, layer.order));
        let mut pieces = Pieces(Vec::with_capacity(layers.len()));
        let mut rest = layers.as_mut_slice();
        while !rest.is_empty() {
            let (stack, behind) = rest.split_at_mut(stack_len(rest));
            match stack {
                [only] => pieces.extend(
                    only.place.map(|place| (only.start, only.end, place)),
                    only.device,
                ),
                stack => {
                    let device = stack[0].device;
                    pieces.extend(seen_from_above(stack), device);
                }
            }
            rest = behind;
        }
        pieces.0
    }
}

/// How many of these have to be looked at together: those behind overlap none of them.
fn stack_len(ascending: &[Layer]) -> usize {
    let mut layers = ascending.iter();
    let Some(Layer { device, end, .. }) = layers.next().copied() else {
        return 0;
    };
    let mut reached = end;
    1 + layers
        .take_while(|layer| {
            let is_on_it = layer.device == device && layer.start < reached;
            reached = reached.max(layer.end);
            is_on_it
        })
        .count()
}

/// What is left of layers of one device: start, end and place of the bytes, ascending.
fn seen_from_above(stack: &mut [Layer]) -> impl Iterator<Item = (u64, u64, usize)> {
    stack.sort_unstable_by_key(|layer| layer.order);
    // by start: end, and place of the bytes
    let mut seen: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for layer in stack.iter() {
        cut_out(&mut seen, layer.start, layer.end);
        if let Some(place) = layer.place {
            seen.insert(layer.start, (layer.end, place));
        }
    }
    let seen = seen.into_iter();
    seen.map(|(start, (end, place))| (start, end, place))
}

fn cut_out(seen: &mut BTreeMap<u64, (u64, usize)>, start: u64, end: u64) {
    // what of a piece lies behind the end, if anything does
    let behind = |from: u64, (to, place): (u64, usize)| {
        // no longer than a payload, or than the memory in which it lies
        (to > end).then(|| (to, place + (end - from) as usize))
    };
    let mut rest = None;
    if let Some((&from, piece)) = seen.range_mut(..start).next_back()
        && piece.0 > start
    {
        rest = behind(from, *piece);
        piece.0 = start;
    }
    while let Some((&from, &piece)) = seen.range(start..end).next() {
        seen.remove(&from);
        rest = rest.or_else(|| behind(from, piece));
    }
    if let Some(piece) = rest {
        seen.insert(end, piece);
    }
}

/// Pieces, ascending; what lies side by side on the device and in memory is one.
struct Pieces(Vec<Piece>);

impl Pieces {
    fn extend(&mut self, ranges: impl IntoIterator<Item = (u64, u64, usize)>, device: u16) {
        for (start, end, place) in ranges {
            match self.0.last_mut() {
                Some(last)
                    if (last.device, last.end) == (device, start)
                        && last.place + (last.end - last.start) as usize == place =>
                {
                    last.end = end;
                }
                _ => self.0.push(Piece {
                    device,
                    start,
                    end,
                    place,
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges and holes at random against disks that do each at once.
    #[test]
    fn the_later_one_of_two_counts_byte_by_byte() {
        const SIZE: usize = 64;
        let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut below = |end: u64| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            (word >> 16) % end
        };
        let mut layers = Layers::default();
        for round in 0..2000 {
            // where the byte of a place lies in memory
            let mut model = [[None; SIZE], [None; SIZE]];
            let count = below(30);
            for number in 0..count {
                let device = below(2);
                let start = below(SIZE as u64);
                let end = start + below((SIZE as u64 - start).min(12) + 1);
                let range = &mut model[device as usize][start as usize..end as usize];
                let place = (number * 100) as usize;
                if below(5) == 0 {
                    layers.cut(device as u16, (start, end));
                    range.fill(None);
                } else {
                    layers.put(device as u16, (start, end), place);
                    let bytes = range.iter_mut().zip(place..);
                    bytes.for_each(|(byte, place)| *byte = Some(place));
                }
            }
            let mut found = [[None; SIZE], [None; SIZE]];
            let pieces = layers.pieces();
            let places = pieces.iter().map(|piece| (piece.device, piece.start));
            assert!(places.is_sorted());
            for piece in pieces {
                for (at, place) in (piece.start..piece.end).zip(piece.place..) {
                    let byte = &mut found[usize::from(piece.device)][at as usize];
                    assert_eq!(byte.replace(place), None, "round {round}: {at} twice");
                }
            }
            assert!(found == model, "round {round}");
            layers.clear();
        }
    }

    #[test]
    fn what_lies_side_by_side_on_the_disk_and_in_memory_is_one() {
        let mut layers = Layers::default();
        layers.put(0, (1024, 1536), 512);
        layers.put(0, (512, 1024), 0);
        layers.put(0, (1536, 2048), 2048);
        layers.put(1, (2048, 2560), 2560);
        let pieces = layers.pieces();
        let pieces = pieces
            .iter()
            .map(|piece| (piece.device, piece.start, piece.end));
        let pieces: Vec<_> = pieces.collect();
        assert_eq!(pieces, [(0, 512, 1536), (0, 1536, 2048), (1, 2048, 2560)]);
    }
}

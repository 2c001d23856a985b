//! Many measurements of one thing.

use std::fmt;

use serde::Serialize;

/// The one in the middle, and how far the others are from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self {
            median,
            least,
            most,
        })
    }

    /// Of each pair the first by the second.
    pub(crate) fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        Self::of(pairs.into_iter().map(|(one, other)| one / other))
    }
}

impl fmt::Display for Figure {
    /// As many digits as say something: `312 [290-340]`, `1.31 [1.12-1.50]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median < 20.0 { 2 } else { 0 };
        let Self {
            median,
            least,
            most,
        } = self;
        f.pad(&format!(
            "{median:.digits$} [{least:.digits$}-{most:.digits$}]"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_range() {
        let odd = Figure::of([3.0, 1.0, 2.5]).unwrap();
        assert_eq!(odd.to_string(), "2.50 [1.00-3.00]");
        let even = Figure::of([300.0, 100.0, 200.0, 400.0]).unwrap();
        assert_eq!(even.to_string(), "250 [100-400]");
        assert_eq!(Figure::of([]), None);
        let ratios = Figure::of_ratios([(3.0, 2.0), (1.0, 2.0), (9.0, 3.0)]).unwrap();
        assert_eq!(ratios.to_string(), "1.50 [0.50-3.00]");
    }
}

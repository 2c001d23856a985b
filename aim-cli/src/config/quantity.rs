//! Sizes and durations as people write them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A number of bytes: `4096`, `"64MiB"`, `"1GB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

/// A length of time: `"500ms"`, `"1s"`, `"5m"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const SPAN_UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// A quantity that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidQuantity {
    #[error("`{0}` does not begin with a whole number")]
    Number(String),
    #[error("`{text}` needs a unit: {units}")]
    Unit { text: String, units: String },
    #[error("`{0}` is too large")]
    TooLarge(String),
}

impl std::str::FromStr for Size {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        scaled(text, &SIZE_UNITS).map(Self)
    }
}

impl std::str::FromStr for Span {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        scaled(text, &SPAN_UNITS).map(|micros| Self(Duration::from_micros(micros)))
    }
}

/// Splits `text` into a whole number and one of `units`, and multiplies.
fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, InvalidQuantity> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(InvalidQuantity::Number(text.to_owned()));
    }
    let unit = unit.trim();
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        return Err(InvalidQuantity::Unit {
            text: text.to_owned(),
            units: names.join(", "),
        });
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| InvalidQuantity::TooLarge(text.to_owned()))
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes)
                    .map(Size)
                    .map_err(|_| E::custom(format!("{bytes} bytes is less than nothing")))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"1s\" or \"500ms\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl fmt::Display for Span {
    /// In the largest unit that gives a whole number: `90 s`, `7 d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let mut units = SPAN_UNITS.iter().rev();
        match units.find(|(_, factor)| micros.is_multiple_of(u128::from(*factor))) {
            Some((name, factor)) if micros > 0 => {
                write!(f, "{} {name}", micros / u128::from(*factor))
            }
            _ => write!(f, "0 s"),
        }
    }
}

impl fmt::Display for Size {
    /// The largest binary unit that keeps it readable: `512 B`, `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        for (name, factor) in UNITS {
            if self.0 >= factor {
                return match self.0 % factor {
                    0 => write!(f, "{} {name}", self.0 / factor),
                    _ => write!(f, "{:.1} {name}", self.0 as f64 / factor as f64),
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_with_units() {
        assert_eq!("16MiB".parse(), Ok(Size(16 << 20)));
        assert_eq!("1 GB".parse(), Ok(Size(1_000_000_000)));
        assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
        assert_eq!("2m".parse(), Ok(Span(Duration::from_secs(120))));
        assert_eq!("7d".parse(), Ok(Span(Duration::from_secs(604_800))));
    }

    #[test]
    fn a_missing_or_strange_unit_is_named() {
        let error = "16M".parse::<Size>().unwrap_err().to_string();
        assert!(
            error.starts_with("`16M` needs a unit: B, KiB, MiB"),
            "{error}"
        );
        assert!("MiB".parse::<Size>().is_err());
        assert!("5".parse::<Span>().is_err());
        assert_eq!(
            "99999999999TiB".parse::<Size>(),
            Err(InvalidQuantity::TooLarge("99999999999TiB".into()))
        );
    }

    #[test]
    fn sizes_and_spans_read_back() {
        let span = |text: &str| text.parse::<Span>().unwrap().to_string();
        assert_eq!(["90s", "168h", "0s"].map(span), ["90 s", "7 d", "0 s"]);
        assert_eq!(Size(512).to_string(), "512 B");
        assert_eq!(Size(64 << 20).to_string(), "64 MiB");
        assert_eq!(Size((1 << 30) + (1 << 29)).to_string(), "1.5 GiB");
    }
}

//! How files go over the line to a target, as it was typed.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;

use aim_core::packed::Level;
use aim_remote::ship::LineOptions;
use aim_remote::transport::{Bandwidth, Hours, SftpTransport, TimeOfDay};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::check::Check;
use super::quantity::Size;
use super::target::Target;
use super::typed::LineConfig;

const CHANNELS: RangeInclusive<u16> = 1..=64;
/// Bytes a second.
pub(super) const RATE: RangeInclusive<u64> = (64 << 10)..=(1 << 40);

/// Keys that each line to a target may have.
#[derive(Debug, Default)]
pub(super) struct RawLine {
    pub(super) channels: Option<u16>,
    pub(super) compression: Option<RawCompression>,
    pub(super) bandwidth: Option<RawBandwidth>,
}

/// `"off"`, or a level of zstd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawCompression(Option<Level>);

/// `"20MB"`, or a list of hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawBandwidth(Vec<RawHours>);

/// `{ from = "08:00", to = "18:00", rate = "2MB" }`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHours {
    from: Option<RawTime>,
    to: Option<RawTime>,
    rate: RawRate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RawTime(TimeOfDay);

/// Bytes a second, or `"none"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RawRate(Option<Size>);

impl Check<'_> {
    /// Settings of a line to `target`. What is left out is as if it were not there.
    pub(super) fn line(&mut self, target: &Target, raw: RawLine) -> LineConfig {
        let default = match target {
            Target::Ssh(_) => SftpTransport::CHANNELS,
            // a disk that has to seek is not faster for more
            Target::Directory(_) => NonZeroUsize::MIN,
            // each has connections of its own
            Target::Store(_) => const { NonZeroUsize::new(4).expect("not 0") },
        };
        let channels = raw.channels.map_or(default, |given| {
            let given = self.count("channels", given, CHANNELS);
            NonZeroUsize::new(given.into()).unwrap_or(default)
        });
        LineConfig {
            channels,
            options: LineOptions {
                compression: raw.compression.and_then(|compression| compression.0),
                bandwidth: self.bandwidth(raw.bandwidth),
                ..LineOptions::over_channels(channels)
            },
        }
    }

    fn bandwidth(&mut self, raw: Option<RawBandwidth>) -> Bandwidth {
        let raw = raw.map_or_else(Vec::new, |bandwidth| bandwidth.0);
        let mut hours = Vec::new();
        for RawHours { from, to, rate } in raw {
            let span = match (from, to) {
                (Some(from), Some(to)) => Some((from.0, to.0)),
                (None, None) => None,
                _ => {
                    self.wrong("`bandwidth`: `from` and `to` go together".to_owned());
                    None
                }
            };
            let rate = rate.0.map(|rate| self.in_range("bandwidth", rate, RATE));
            hours.push(Hours {
                span,
                rate: rate.and_then(NonZeroU64::new),
            });
        }
        Bandwidth::by_hours(hours)
    }
}

impl<'de> Deserialize<'de> for RawCompression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Typed;
        impl Visitor<'_> for Typed {
            type Value = RawCompression;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (low, high) = (Level::MIN.get(), Level::MAX.get());
                write!(f, "\"off\" or a level from {low} to {high}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawCompression, E> {
                match text {
                    "off" => Ok(RawCompression(None)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, level: i64) -> Result<RawCompression, E> {
                let known = u8::try_from(level).ok().and_then(Level::new);
                match known {
                    Some(level) => Ok(RawCompression(Some(level))),
                    None => Err(E::invalid_value(de::Unexpected::Signed(level), &self)),
                }
            }
        }
        deserializer.deserialize_any(Typed)
    }
}

impl<'de> Deserialize<'de> for RawBandwidth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Typed;
        impl<'de> Visitor<'de> for Typed {
            type Value = RawBandwidth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "bytes a second such as \"20MB\", or a list such as \
                     [{ from = \"08:00\", to = \"18:00\", rate = \"2MB\" }]",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawBandwidth, E> {
                text.parse().map(always).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<RawBandwidth, E> {
                let bytes = u64::try_from(bytes);
                bytes
                    .map(|bytes| always(Size(bytes)))
                    .map_err(|_| E::custom("less than nothing"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawBandwidth, A::Error> {
                let hours = Deserialize::deserialize(SeqAccessDeserializer::new(list));
                hours.map(RawBandwidth)
            }
        }
        deserializer.deserialize_any(Typed)
    }
}

fn always(rate: Size) -> RawBandwidth {
    RawBandwidth(vec![RawHours {
        from: None,
        to: None,
        rate: RawRate(Some(rate)),
    }])
}

impl<'de> Deserialize<'de> for RawTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for RawRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Typed;
        impl Visitor<'_> for Typed {
            type Value = RawRate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes a second such as \"2MB\", or \"none\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawRate, E> {
                match text {
                    "none" => Ok(RawRate(None)),
                    _ => text
                        .parse()
                        .map(|rate| RawRate(Some(rate)))
                        .map_err(E::custom),
                }
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<RawRate, E> {
                let bytes = u64::try_from(bytes);
                bytes
                    .map(|bytes| RawRate(Some(Size(bytes))))
                    .map_err(|_| E::custom("less than nothing"))
            }
        }
        deserializer.deserialize_any(Typed)
    }
}

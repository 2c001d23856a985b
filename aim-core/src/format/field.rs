//! Checks of single fields, whose errors name the field, what was found and what was expected.

/// A field that does not hold what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It has one right value.
    #[error("{field} is {found}, expected {expected}")]
    Exact {
        /// The field's name in `docs/format.md`.
        field: &'static str,
        /// The value there.
        found: u64,
        /// The value that should be there.
        expected: u64,
    },
    /// It is too small.
    #[error("{field} is {found}, expected at least {least}")]
    Low {
        /// The field's name in `docs/format.md`.
        field: &'static str,
        /// The value there.
        found: u64,
        /// The smallest value allowed.
        least: u64,
    },
    /// It is too large.
    #[error("{field} is {found}, expected at most {most}")]
    High {
        /// The field's name in `docs/format.md`.
        field: &'static str,
        /// The value there.
        found: u64,
        /// The largest value allowed.
        most: u64,
    },
    /// It is not aligned.
    #[error("{field} is {found}, expected a multiple of {unit}")]
    Unaligned {
        /// The field's name in `docs/format.md`.
        field: &'static str,
        /// The value there.
        found: u64,
        /// What it must be a multiple of.
        unit: u64,
    },
    /// It can only have certain values, and this is none of them.
    #[error("{field} is {found}, expected {expected}")]
    Choice {
        /// The field's name in `docs/format.md`.
        field: &'static str,
        /// The value there.
        found: u64,
        /// What it can be, in words.
        expected: &'static str,
    },
    /// Bytes that must be zero are not.
    #[error("{field} must be zero and is not")]
    NotZero {
        /// The field's name in `docs/format.md`.
        field: &'static str,
    },
    /// A number runs past the largest that its field can hold.
    #[error("{field} runs past 2^64 - 1")]
    Overflow {
        /// The field's name in `docs/format.md`.
        field: &'static str,
    },
}

pub(super) fn exactly(field: &'static str, found: u64, expected: u64) -> Result<(), FieldError> {
    match found == expected {
        true => Ok(()),
        false => Err(FieldError::Exact {
            field,
            found,
            expected,
        }),
    }
}

/// `least` and `most` are both allowed.
pub(super) fn within(
    field: &'static str,
    found: u64,
    least: u64,
    most: u64,
) -> Result<(), FieldError> {
    if found < least {
        return Err(FieldError::Low {
            field,
            found,
            least,
        });
    }
    if found > most {
        return Err(FieldError::High { field, found, most });
    }
    Ok(())
}

pub(super) fn multiple_of(field: &'static str, found: u64, unit: u64) -> Result<(), FieldError> {
    match found.is_multiple_of(unit) {
        true => Ok(()),
        false => Err(FieldError::Unaligned { field, found, unit }),
    }
}

pub(super) fn zero(field: &'static str, bytes: &[u8]) -> Result<(), FieldError> {
    match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(FieldError::NotZero { field }),
    }
}

pub(super) fn sum(field: &'static str, a: u64, b: u64) -> Result<u64, FieldError> {
    a.checked_add(b).ok_or(FieldError::Overflow { field })
}

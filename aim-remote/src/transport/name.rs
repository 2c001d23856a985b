//! Names of files in the far directory.

use std::fmt;

/// Longest component of a name, in bytes: what common file systems take, less the `.part`.
const COMPONENT_BYTES_MAX: usize = 250;

/// The ending of a file that has not wholly arrived.
pub(crate) const PART: &str = ".part";

/// A file in the far directory, or in a folder of it: `mirror.cursor`, `incoming/NAME.aim`.
///
/// It can't leave the directory: one or two components, neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Parses a name as a user or a listing gives it.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let mut parts = text.split('/');
        let fits = parts.by_ref().take(2).all(is_component) && parts.next().is_none();
        if fits && !text.ends_with(PART) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }

    /// A file in a folder.
    pub fn in_folder(folder: &str, file: &str) -> Result<Self, InvalidName> {
        Self::parse(&format!("{folder}/{file}"))
    }

    /// The folder, or `""`.
    pub fn folder(&self) -> &str {
        self.0.split_once('/').map_or("", |(folder, _)| folder)
    }

    /// The name without its folder.
    pub fn file(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, file)| file)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a single path component.
pub(crate) fn is_component(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= COMPONENT_BYTES_MAX
        && text != "."
        && text != ".."
        && !text.contains(['/', '\0', '\n'])
}

/// A text that is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a file name in the far directory")]
pub struct InvalidName(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_directory() {
        for good in ["mirror.cursor", "incoming/a.aim", ".hidden"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(COMPONENT_BYTES_MAX + 1);
        for bad in [
            "", "/", "/a", "a/", "a//b", "a/b/c", "..", "../a", "a/..", "./a", "a\0b", "a.part",
            &long,
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn folder_and_file() {
        let name = Name::in_folder("incoming", "a.aim").unwrap();
        assert_eq!((name.folder(), name.file()), ("incoming", "a.aim"));
        let name = Name::parse("mirror.cursor").unwrap();
        assert_eq!((name.folder(), name.file()), ("", "mirror.cursor"));
    }
}

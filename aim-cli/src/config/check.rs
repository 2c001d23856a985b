//! What is wrong with a table, noted with its place.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::quantity::Size;
use super::target::Target;
use crate::failure::Problem;

const NAME_MAX: usize = 32;

/// Notes what is wrong with a table.
pub(super) struct Check<'a> {
    path: &'a Path,
    table: String,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    /// Of the file at `path`, in which nothing is wrong yet.
    pub(super) fn new(path: &'a Path) -> Self {
        Self {
            path,
            table: String::new(),
            problems: Vec::new(),
        }
    }

    /// Everything that was wrong.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

impl Check<'_> {
    /// A name becomes part of paths: of a device node, of the staging directory.
    pub(super) fn name(&mut self, name: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty()
            || name.len() > NAME_MAX
            || name.starts_with('-')
            || !name.chars().all(fits)
        {
            self.wrong(format!(
                "`{name}` can't be a name: 1 to {NAME_MAX} letters, digits, `_` and `-`"
            ));
        }
    }

    pub(super) fn target(&mut self, key: &str, given: Option<String>) -> Target {
        match given.as_deref().map(str::parse) {
            Some(Ok(target)) => return target,
            Some(Err(error)) => self.wrong(format!("`{key}`: {error}")),
            None => self.missing(key),
        }
        Target::Directory(PathBuf::new())
    }

    pub(super) fn absolute(&mut self, key: &str, path: Option<PathBuf>) -> PathBuf {
        let Some(path) = path else {
            self.missing(key);
            return PathBuf::new();
        };
        if !path.is_absolute() {
            let what = format!("`{key}` is `{}`, must be an absolute path", path.display());
            self.wrong(what);
        }
        path
    }

    pub(super) fn count(&mut self, key: &str, value: u16, range: RangeInclusive<u16>) -> u16 {
        self.bounded(key, value, range)
    }

    pub(super) fn in_range(&mut self, key: &str, value: Size, range: RangeInclusive<u64>) -> u64 {
        self.bounded(key, value, Size(*range.start())..=Size(*range.end()))
            .0
    }

    pub(super) fn bounded<T: Display + PartialOrd>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> T {
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.wrong(format!("`{key}` is {value}, must be from {low} to {high}"));
        }
        value
    }

    pub(super) fn missing(&mut self, key: &str) {
        self.wrong(format!("`{key}` is missing"));
    }

    /// The table whose keys are looked at.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn set_table(&mut self, table: String) {
        self.table = table;
    }

    pub(super) fn wrong(&mut self, what: String) {
        let place = format!("{} in {}", self.table, self.path.display());
        self.problems.push(Problem::new(what).at(place));
    }
}

//! From text to tables, with every mistake named: unknown keys, wrong types, where they stand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use super::raw::{RawLog, RawMirror, RawTarget, RawVolume};
use super::{fields, spelling};
use crate::failure::Problem;

/// All tables of a configuration file as they were typed.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) run_dir: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) log: RawLog,
    pub(super) volumes: BTreeMap<String, RawVolume>,
    pub(super) mirrors: BTreeMap<String, RawMirror>,
}

const TOP: [&str; 5] = ["run_dir", "state_dir", "log", "volume", "mirror"];

/// Reads `text`; what could not be understood is left out and named in the second value.
pub(super) fn parse(path: &Path, text: &str) -> (Tables, Vec<Problem>) {
    let mut reader = Reader {
        path,
        text,
        problems: Vec::new(),
    };
    let mut tables = Tables::default();
    match DeTable::parse(text) {
        Ok(document) => reader.document(document.into_inner(), &mut tables),
        Err(error) => reader.refuse(error.message(), error.span().map(|s| s.start), "the file"),
    }
    (tables, reader.problems)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn document(&mut self, document: DeTable<'a>, tables: &mut Tables) {
        for (key, value) in document {
            match key.get_ref().as_ref() {
                "run_dir" => tables.run_dir = self.value(value, "run_dir"),
                "state_dir" => tables.state_dir = self.value(value, "state_dir"),
                "log" => tables.log = self.table(value, "[log]").unwrap_or_default(),
                "volume" => self.volumes(value, tables),
                "mirror" => self.mirrors(value, tables),
                _ => self.unknown(&key, "the top of the file", &TOP),
            }
        }
    }

    /// Takes the tables of targets out of `[kind.NAME]` tables.
    fn targets(
        &mut self,
        value: &mut Spanned<DeValue<'a>>,
        kind: &str,
    ) -> BTreeMap<String, BTreeMap<String, RawTarget>> {
        let mut targets = BTreeMap::new();
        let DeValue::Table(tables) = value.get_mut() else {
            return targets;
        };
        for (name, table) in tables.iter_mut() {
            let DeValue::Table(table) = table.get_mut() else {
                continue;
            };
            let mut keys = table.keys();
            let key = keys.find(|key| key.get_ref() == "targets").cloned();
            if let Some(found) = key.and_then(|key| table.remove(&key)) {
                let name = name.get_ref().to_string();
                let kind = format!("{kind}.{name}.targets");
                targets.insert(name, self.named(found, &kind));
            }
        }
        targets
    }

    /// `[volume.NAME]` tables, with the tables of their targets.
    fn volumes(&mut self, mut value: Spanned<DeValue<'a>>, tables: &mut Tables) {
        let mut targets = self.targets(&mut value, "volume");
        tables.volumes = self.named(value, "volume");
        for (name, volume) in &mut tables.volumes {
            volume.targets = targets.remove(name);
        }
    }

    /// `[mirror.NAME]` tables, likewise.
    fn mirrors(&mut self, mut value: Spanned<DeValue<'a>>, tables: &mut Tables) {
        let mut targets = self.targets(&mut value, "mirror");
        tables.mirrors = self.named(value, "mirror");
        for (name, mirror) in &mut tables.mirrors {
            mirror.targets = targets.remove(name);
        }
    }

    /// `[kind.NAME]` tables.
    fn named<T: Deserialize<'a>>(
        &mut self,
        value: Spanned<DeValue<'a>>,
        kind: &str,
    ) -> BTreeMap<String, T> {
        let at = value.span().start;
        let DeValue::Table(names) = value.into_inner() else {
            let what = format!("`{kind}` must be followed by a name: `[{kind}.NAME]`");
            self.refuse(&what, Some(at), kind);
            return BTreeMap::new();
        };
        let mut all = BTreeMap::new();
        for (name, value) in names {
            let place = format!("[{kind}.{}]", name.get_ref());
            if !value.get_ref().is_table() {
                let what = format!(
                    "`{}` stands in `[{kind}]`, which holds only tables: write `[{kind}.NAME]`",
                    name.get_ref()
                );
                self.refuse(&what, Some(name.span().start), &format!("[{kind}]"));
            } else if let Some(table) = self.table(value, &place) {
                all.insert(name.get_ref().to_string(), table);
            }
        }
        all
    }

    /// One table, after its keys were compared with those that `T` knows.
    fn table<T: Deserialize<'a>>(
        &mut self,
        mut value: Spanned<DeValue<'a>>,
        place: &str,
    ) -> Option<T> {
        let known = fields::of::<T>();
        if let DeValue::Table(table) = value.get_mut() {
            let keys: Vec<Spanned<DeString<'a>>> = table.keys().cloned().collect();
            for key in keys {
                if !known.contains(&key.get_ref().as_ref()) {
                    self.unknown(&key, place, known);
                    table.remove(&key);
                }
            }
        }
        self.value(value, place)
    }

    fn value<T: Deserialize<'a>>(&mut self, value: Spanned<DeValue<'a>>, place: &str) -> Option<T> {
        let whole = value.span().start;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let at = error.span().map_or(whole, |span| span.start);
                self.refuse(error.message(), Some(at), place);
                None
            }
        }
    }

    fn unknown(&mut self, key: &Spanned<DeString<'a>>, place: &str, known: &[&str]) {
        let word = key.get_ref().as_ref();
        let problem = Problem::new(format!("unknown key `{word}`"))
            .at(self.locate(Some(key.span().start), place))
            .hint(match spelling::nearest(word, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            });
        self.problems.push(problem);
    }

    fn refuse(&mut self, what: &str, at: Option<usize>, place: &str) {
        let what = what.trim().replace('\n', ", ");
        let mut place = self.locate(at, place);
        if let Some(line) = at.and_then(|at| self.line_text(at)) {
            place = format!("{place}: `{line}`");
        }
        self.problems.push(Problem::new(what).at(place));
    }

    fn locate(&self, at: Option<usize>, place: &str) -> String {
        let path = self.path.display();
        match at {
            Some(at) => format!("{place}, line {} of {path}", self.line_number(at)),
            None => format!("{place} in {path}"),
        }
    }

    fn line_number(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn line_text(&self, at: usize) -> Option<&str> {
        let line = self.text.lines().nth(self.line_number(at) - 1)?.trim();
        (!line.is_empty()).then_some(line)
    }
}

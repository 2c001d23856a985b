//! Errors as the operator reads them: what, where, why, and what to do next.

use std::error::Error;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The result of a command.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

/// Why a command did not succeed: one problem, or all that were found at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// At least one.
    pub(crate) problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// What is wrong, in one line.
    pub(crate) what: String,
    /// The file, key, device or volume that it is about.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// The errors beneath, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// A problem that says what is wrong.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// Says where.
    #[must_use]
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(place.to_string());
        self
    }

    /// Says why: an error and all that it came from.
    #[must_use]
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // libraries that print their source as well would say it twice
            if !self.causes.iter().any(|said| said.ends_with(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Says what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the command with this problem.
    pub(crate) fn exit(self, exit: Exit) -> Failure {
        Failure {
            exit,
            problems: vec![self],
        }
    }

    /// Ends the command because of an operating-system error, whose kind gives the exit code.
    pub(crate) fn io(self, error: &io::Error) -> Failure {
        let exit = exit_of(error.kind());
        self.because(error).exit(exit)
    }
}

/// An error and all that it came from on one line; a cause that the text ends with already is
/// not repeated.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

/// The exit code that fits an operating-system error.
pub(crate) fn exit_of(kind: io::ErrorKind) -> Exit {
    match kind {
        io::ErrorKind::NotFound => Exit::NotFound,
        io::ErrorKind::ResourceBusy | io::ErrorKind::AddrInUse => Exit::Busy,
        _ => Exit::Failed,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "error")
    }
}

/// A problem that is no reason to stop.
#[derive(Debug)]
pub(crate) struct Warning<'a>(&'a Problem);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "warning")
    }
}

impl Problem {
    /// As it is shown where it is no reason to stop.
    pub(crate) fn as_warning(&self) -> Warning<'_> {
        Warning(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        write!(f, "{word}: {}", self.what)?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        for cause in &self.causes {
            write!(f, "\n  because: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Failure {
    /// The first problem on one line, for logs and status.
    pub(crate) fn brief(&self) -> String {
        let Some(problem) = self.problems.first() else {
            return "failed".to_owned();
        };
        let mut text = problem.what.clone();
        if let Some(place) = &problem.place {
            text.push_str(&format!(" ({place})"));
        }
        for cause in &problem.causes {
            text.push_str(&format!(": {cause}"));
        }
        text
    }

    /// From what another aim printed with `--json`; `None` if it is something else.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line {
            exit: Exit,
            problems: Vec<Problem>,
        }
        let Line { exit, problems } = serde_json::from_str(text).ok()?;
        (!problems.is_empty()).then_some(Self { exit, problems })
    }

    /// One line of JSON for `--json`.
    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            message_type: &'static str,
            exit_code: u8,
            exit: Exit,
            problems: &'a [Problem],
        }
        let line = Line {
            message_type: "error",
            exit_code: self.exit.number(),
            exit: self.exit,
            problems: &self.problems,
        };
        serde_json::to_string(&line).unwrap_or_else(|error| format!("{{\"message_type\":\"error\",\"exit_code\":1,\"problems\":[{{\"what\":\"{error}\"}}]}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_where_why_and_next() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        let failure = Problem::new("can't open the device")
            .at("/dev/vdb")
            .hint("check the name with lsblk")
            .io(&error);
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(
            failure.to_string(),
            "error: can't open the device (/dev/vdb)\n  because: entity not found\nhint: check the name with lsblk"
        );
    }

    #[test]
    fn json_is_one_object() {
        let failure = Problem::new("no").at("here").exit(Exit::Busy);
        let value: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
        assert_eq!(value["exit_code"], 11);
        assert_eq!(value["exit"], "busy");
        assert_eq!(value["problems"][0]["where"], "here");
        assert_eq!(Failure::from_json(&failure.to_json()), Some(failure));
        assert_eq!(Failure::from_json("Segmentation fault"), None);
    }
}

//! One thing that was looked at, and what was found.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Problem};

/// How good it is. In order: the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and could be better or worse than it looks.
    Warning,
    /// It does not work, or data is at risk.
    Problem,
}

/// A finding about the host, a volume or a mirror.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// `host`, `volume.NAME`, `volume.NAME.targets.NAME` or `mirror.NAME`.
    about: String,
    /// Which check it comes from; does not change between versions.
    check: &'static str,
    pub(crate) verdict: Verdict,
    /// In words.
    what: String,
    /// The errors beneath, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// What was measured: names end in their unit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    figures: BTreeMap<&'static str, Value>,
}

impl Finding {
    /// Adds a figure, whose name ends in its unit.
    pub(crate) fn figure(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.figures.insert(name, value.into());
        self
    }

    /// As one or more lines of text.
    pub(crate) fn render(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        let mut text = format!("  {verdict:<8} {}: {}", self.check, self.what);
        for cause in &self.causes {
            text.push_str(&format!("\n           because: {cause}"));
        }
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("\n           remedy: {remedy}"));
        }
        text
    }
}

/// All findings about one thing.
#[derive(Debug)]
pub(crate) struct Section {
    /// `host`, `volume.NAME`, `volume.NAME.targets.NAME` or `mirror.NAME`.
    pub(crate) about: String,
    /// In the order in which they were made.
    pub(crate) findings: Vec<Finding>,
}

impl Section {
    pub(crate) fn new(about: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            findings: Vec::new(),
        }
    }

    /// It is as it should be.
    pub(super) fn ok(&mut self, check: &'static str, what: impl Into<String>) -> &mut Finding {
        self.add(check, Verdict::Ok, Problem::new(what))
    }

    /// It could be better.
    pub(super) fn warn(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Finding {
        self.add(check, Verdict::Warning, Problem::new(what).hint(remedy))
    }

    /// It does not work.
    pub(super) fn problem(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Finding {
        self.add(check, Verdict::Problem, Problem::new(what).hint(remedy))
    }

    /// What a failure says.
    pub(super) fn failed(&mut self, check: &'static str, failure: Failure) {
        for problem in failure.problems {
            self.add(check, Verdict::Problem, problem);
        }
    }

    /// A problem, as good or bad as the verdict.
    pub(super) fn add(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        problem: Problem,
    ) -> &mut Finding {
        let what = match &problem.place {
            Some(place) => format!("{} ({place})", problem.what),
            None => problem.what,
        };
        let index = self.findings.len();
        self.findings.push(Finding {
            about: self.about.clone(),
            check,
            verdict,
            what,
            causes: problem.causes,
            remedy: problem.hint,
            figures: BTreeMap::new(),
        });
        &mut self.findings[index]
    }
}

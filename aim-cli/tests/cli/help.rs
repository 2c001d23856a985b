//! The help texts, word by word.

use std::path::PathBuf;

use crate::program::aim;

const PAGES: &[&[&str]] = &[
    &[],
    &["init"],
    &["run"],
    &["status"],
    &["doctor"],
    &["upgrade"],
    &["abandon"],
    &["wait"],
    &["sync"],
    &["verify"],
    &["journal"],
    &["journal", "ls"],
    &["journal", "inspect"],
    &["journal", "verify"],
    &["journal", "apply"],
    &["journal", "export"],
    &["journal", "import"],
    &["config", "check"],
];

/// Set `AIM_BLESS=1` to write the golden file anew.
#[test]
fn help_is_as_agreed() {
    let mut all = String::new();
    for page in PAGES {
        let mut arguments = page.to_vec();
        arguments.push("--help");
        let ran = aim(&arguments).exits(0);
        all.push_str(&format!("$ aim {}\n{}\n", arguments.join(" "), ran.stdout));
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden/help.txt");
    if std::env::var_os("AIM_BLESS").is_some() {
        std::fs::write(&path, &all).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(
        all == golden,
        "help differs from {}; if that is meant, run with AIM_BLESS=1\n{all}",
        path.display()
    );
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    aim(&["statsu"]).exits(2).says("status");
    let ran = aim(&["--json", "wait"]).exits(2);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["exit"], "usage");
    assert_eq!(ran.stdout, "");
}

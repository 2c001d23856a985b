//! The walls between the crates: which packages may stand behind each, at any depth.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crate, the crates of this workspace that it may use, and the packages that it must never reach.
const WALLS: &[(&str, &[&str], &[&str])] = &[
    (
        "aim-core",
        &[],
        &["tokio", "libublk", "russh", "clap", "serde"],
    ),
    ("aim-ublk", &["aim-core"], &["tokio", "russh", "clap"]),
    ("aim-remote", &["aim-core"], &["libublk", "clap"]),
    ("aim-cli", &["aim-core", "aim-ublk", "aim-remote"], &[]),
    ("aim-bench", &[], &["tokio", "libublk", "russh"]),
    ("aim-nbd", &[], &["tokio", "libublk", "russh"]),
    ("aim-vm", &[], &["tokio", "libublk", "russh"]),
    (
        "xtask",
        &["aim-bench", "aim-nbd", "aim-vm"],
        &["tokio", "libublk", "russh"],
    ),
];

#[test]
fn no_crate_reaches_over_its_wall() {
    let graph = Graph::read();
    for (name, allowed, banned) in WALLS {
        let reached = graph.reached_from(name);
        let own: BTreeSet<&str> = graph.members.iter().map(String::as_str).collect();
        for package in &reached {
            assert!(
                !banned.contains(&package.as_str()),
                "{name} reaches {package}"
            );
            let foreign_member = own.contains(package.as_str())
                && package != name
                && !allowed.contains(&package.as_str());
            assert!(!foreign_member, "{name} must not use {package}");
        }
    }
}

/// The normal and build dependencies between packages, by name.
struct Graph {
    members: BTreeSet<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        // packages for other platforms may never have been downloaded
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .args(["--filter-platform", &platform])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names: BTreeMap<&str, &str> = array(&metadata["packages"])
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let members = array(&metadata["workspace_members"])
            .map(|id| names[text(id)].to_owned())
            .collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in array(&metadata["resolve"]["nodes"]) {
            let from = edges
                .entry(names[text(&node["id"])].to_owned())
                .or_default();
            for dependency in array(&node["deps"]) {
                let kinds = array(&dependency["dep_kinds"]);
                if kinds.into_iter().any(|kind| kind["kind"] != "dev") {
                    from.insert(names[text(&dependency["pkg"])].to_owned());
                }
            }
        }
        Self { members, edges }
    }

    fn reached_from(&self, name: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(package) = open.pop() {
            if reached.insert(package.clone()) {
                open.extend(self.edges[&package].iter().cloned());
            }
        }
        reached
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

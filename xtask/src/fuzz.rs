//! `cargo xtask fuzz`: the fuzz targets, built as cargo-fuzz would, without needing it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;

use crate::cargo::{cargo, must, workspace};
use crate::outcome::{Outcome, Result};
use crate::progress::{complain, detail};
use crate::setup;

const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// What cargo-fuzz gives the compiler: coverage counters, the address sanitizer, checks kept.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Zsanitizer=address \
    -Cdebug-assertions -Ccodegen-units=1";

/// How long, and which.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Seconds in all, shared evenly
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Names of targets; all of them if none is given
    targets: Vec<String>,
}

/// Fuzzes; a finding is a failure.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let targets = if options.targets.is_empty() {
        targets()?
    } else {
        options.targets.clone()
    };
    let passed = fuzz(&targets, options.seconds)?;
    Ok(if passed {
        Outcome::Success
    } else {
        Outcome::Failure
    })
}

/// Fuzzes all targets for `seconds` in all; true if nothing was found.
pub(crate) fn smoke(seconds: u32) -> Result<bool> {
    fuzz(&targets()?, seconds)
}

fn folder() -> PathBuf {
    workspace().join("fuzz")
}

/// The targets by name, sorted: a file each in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let list = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names = Vec::new();
    for entry in list {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(
                path.file_stem()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    if names.is_empty() {
        Err(format!("no target in {}", folder.display()).into())
    } else {
        Ok(names)
    }
}

fn fuzz(targets: &[String], seconds: u32) -> Result<bool> {
    let share = (seconds / u32::try_from(targets.len().max(1))?).max(1);
    let mut passed = true;
    let mut executions = 0;
    for target in targets {
        build(target)?;
        detail(&format!("{target}: {share} s"));
        match fuzz_one(target, share)? {
            Some(count) => executions += count,
            None => passed = false,
        }
    }
    println!(
        "fuzzing: {executions} executions of {} targets",
        targets.len()
    );
    Ok(passed)
}

fn build(target: &str) -> Result<()> {
    let manifest = folder().join("Cargo.toml").display().to_string();
    let mut build = cargo(["build", "--release", "--locked", "--target", PLATFORM]);
    build.args(["--manifest-path", &manifest, "--bin", target]);
    build
        .env("CARGO_TARGET_DIR", folder().join("target"))
        .env("RUSTFLAGS", FLAGS);
    // The sanitizer's flag is not stable; this allows it in any compiler.
    must(build.env("RUSTC_BOOTSTRAP", "1"))
}

/// Runs one target; the number of its executions, or `None` if it found something.
fn fuzz_one(target: &str, seconds: u32) -> Result<Option<u64>> {
    let corpus = folder().join("corpus").join(target);
    let artifacts = folder().join("artifacts").join(target);
    let seeds = folder().join("seeds").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let program = folder()
        .join("target")
        .join(PLATFORM)
        .join("release")
        .join(target);
    let mut fuzzer = Command::new(program);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1");
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzzer.arg(&corpus);
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    let output = fuzzer.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| {
        line.strip_prefix("stat::number_of_executed_units:")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    match count {
        Some(count) if output.status.success() && count > 0 => {
            detail(&format!("{target}: {count} executions, nothing found"));
            Ok(Some(count))
        }
        _ => {
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            complain(&format!("{target} ended with {}:\n{tail}", output.status));
            Ok(None)
        }
    }
}

//! Calling cargo, the one that called us.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::outcome::Result;

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap_or(root)
}

/// `cargo WORDS`, run in the root of the workspace.
pub(crate) fn cargo<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(workspace())
        .stdin(Stdio::null());
    command
}

/// Runs cargo to its end; an error if it fails.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed ({status})", words_of(command)).into())
    }
}

/// Runs `command` and passes its stdout to `to` as it comes.
pub(crate) fn stream(command: &mut Command, mut to: impl Write) -> Result<ExitStatus> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdout) = child.stdout.take() {
        copy(&mut stdout, &mut to)?;
    }
    Ok(child.wait()?)
}

/// What an executable is for: a program and the tests inside of it bear the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Program,
    Tests,
}

/// Builds everything in the workspace once, and returns the paths of the programs and examples `names`.
pub(crate) fn build_all<const N: usize>(names: [&str; N]) -> Result<[PathBuf; N]> {
    // All targets, so that the tests find the dependencies built with the features that they ask.
    executables(
        &["build", "--workspace", "--all-targets", "--locked"],
        names,
    )
}

/// Builds the programs of the workspace, no tests, and returns the path of the one called `name`.
pub(crate) fn build_binaries(name: &str) -> Result<PathBuf> {
    executable(
        &["build", "--workspace", "--bins", "--locked"],
        name,
        Purpose::Program,
    )
}

/// Builds the example `name` of `package` as it would be used, and returns its path.
pub(crate) fn build_example(package: &str, name: &str) -> Result<PathBuf> {
    let words = [
        "build",
        "--release",
        "--locked",
        "-p",
        package,
        "--example",
        name,
    ];
    executable(&words, name, Purpose::Program)
}

/// Builds programs and examples of some packages as they would be used, all at once, and returns
/// their paths in the order of `names`.
pub(crate) fn build_optimized<const N: usize>(
    words: &[&str],
    names: [&str; N],
) -> Result<[PathBuf; N]> {
    let mut all = vec!["build", "--release", "--locked"];
    all.extend(words);
    executables(&all, names)
}

/// Builds the test program `name`, which plain `cargo test` leaves out.
pub(crate) fn build_tests(name: &str) -> Result<PathBuf> {
    let words = [
        "test",
        "--workspace",
        "--locked",
        "--no-run",
        "--test",
        name,
    ];
    executable(&words, name, Purpose::Tests)
}

fn executable(words: &[&str], name: &str, purpose: Purpose) -> Result<PathBuf> {
    executable_in(&messages_of(words)?, name, purpose)
        .ok_or_else(|| format!("cargo {} built no executable {name}", words.join(" ")).into())
}

fn executables<const N: usize>(words: &[&str], names: [&str; N]) -> Result<[PathBuf; N]> {
    let messages = messages_of(words)?;
    let mut paths = [const { PathBuf::new() }; N];
    for (path, name) in paths.iter_mut().zip(names) {
        *path = executable_in(&messages, name, Purpose::Program)
            .ok_or_else(|| format!("cargo {} built no executable {name}", words.join(" ")))?;
    }
    Ok(paths)
}

/// Runs cargo, and returns what it says of what it has built.
fn messages_of(words: &[&str]) -> Result<String> {
    let mut command = cargo(words.iter().copied());
    command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", words_of(&command), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Finds the message of the artifact `name`. The fields looked for hold plain text.
fn executable_in(messages: &str, name: &str, purpose: Purpose) -> Option<PathBuf> {
    let named = format!(r#""name":"{name}""#);
    let tests = format!(r#""test":{}}}"#, purpose == Purpose::Tests);
    let mut lines = messages.lines();
    lines.find_map(|message| {
        let (_, rest) = message.split_once(r#""executable":""#)?;
        let (path, _) = rest.split_once('"')?;
        let wanted = message.contains(&named) && message.contains(&tests);
        wanted.then(|| PathBuf::from(path))
    })
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = [0; 8192];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            length => {
                to.write_all(&piece[..length])?;
                to.flush()?;
            }
        }
    }
}

fn words_of(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy());
    format!("cargo {}", words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_of_the_right_artifact_is_found() {
        let message = |name: &str, tests: bool, executable: &str| {
            format!(
                r#"{{"target":{{"name":"{name}"}},"profile":{{"test":{tests}}},"executable":{executable}}}"#
            )
        };
        let messages = [
            message("it", true, r#""/a""#),
            message("aim", false, "null"),
            message("aim", true, r#""/b""#),
            message("aim", false, r#""/c""#),
        ]
        .join("\n");
        let found = |name, purpose| executable_in(&messages, name, purpose);
        assert_eq!(found("aim", Purpose::Program), Some(PathBuf::from("/c")));
        assert_eq!(found("aim", Purpose::Tests), Some(PathBuf::from("/b")));
        assert_eq!(found("it", Purpose::Program), None);
    }
}

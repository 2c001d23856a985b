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

/// Runs `command` to its end; an error if it fails.
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

/// Builds the workspace and returns the path of the program `name`.
pub(crate) fn build_program(name: &str) -> Result<PathBuf> {
    must(&mut cargo(["build", "--workspace", "--locked"]))?;
    executable(
        &["build", "--locked", "--package", "aim-cli", "--bin", name],
        name,
    )
}

/// Builds with cargo's `words` and returns the path of the executable of the target `name`.
pub(crate) fn executable(words: &[&str], name: &str) -> Result<PathBuf> {
    let mut command = cargo(words.iter().copied());
    command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", words_of(&command), output.status).into());
    }
    let messages = String::from_utf8(output.stdout)?;
    executable_in(&messages, name)
        .ok_or_else(|| format!("{} built no executable {name}", words_of(&command)).into())
}

/// Finds the message of the artifact `name`. The two fields looked for hold plain text.
fn executable_in(messages: &str, name: &str) -> Option<PathBuf> {
    let named = format!(r#""name":"{name}""#);
    let mut artifacts = messages.lines().filter(|message| message.contains(&named));
    artifacts.find_map(|message| {
        let (_, rest) = message.split_once(r#""executable":""#)?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
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
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"it"},"executable":"/a"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"guest"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"guest"},"executable":"/b"}"#,
        );
        assert_eq!(executable_in(messages, "guest"), Some(PathBuf::from("/b")));
        assert_eq!(executable_in(messages, "other"), None);
    }
}

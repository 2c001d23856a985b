//! What a guest is to be.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::accel::Accel;
use crate::disk::Disk;
use crate::error::VmError;
use crate::kernel::KernelImage;
use crate::link::LinkEnd;
use crate::running::{Exit, Running};

/// A guest to be started: one command, run as root, on a machine of its own.
///
/// The command has the environment and the working folder of this process.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(crate) kernel: KernelImage,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) name: String,
    pub(crate) processors: u32,
    pub(crate) memory_mib: u32,
    pub(crate) timeout: Duration,
    pub(crate) accel: Accel,
    pub(crate) disks: Vec<Disk>,
    pub(crate) links: Vec<LinkEnd>,
    pub(crate) run_folder: Option<PathBuf>,
}

impl Guest {
    /// A guest with two processors, 1 GiB, no disk and ten minutes to live.
    pub fn new<W: Into<String>>(
        kernel: &KernelImage,
        command: impl IntoIterator<Item = W>,
    ) -> Self {
        Self {
            kernel: kernel.clone(),
            command: command.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            name: "vm".to_owned(),
            processors: 2,
            memory_mib: 1024,
            timeout: Duration::from_secs(600),
            accel: Accel::Auto,
            disks: Vec::new(),
            links: Vec::new(),
            run_folder: None,
        }
    }

    /// Its host name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Its number of processors.
    #[must_use]
    pub fn processors(mut self, processors: u32) -> Self {
        self.processors = processors;
        self
    }

    /// Its memory, MiB. Three quarters of it hold what the guest writes outside of its disks.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// How long it may live, from its start.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What runs its instructions.
    #[must_use]
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = accel;
        self
    }

    /// Adds a disk, the next of `/dev/vda`, `/dev/vdb`, ...
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Adds a network card, the next of `eth0`, `eth1`, ...
    #[must_use]
    pub fn link(mut self, end: LinkEnd) -> Self {
        self.links.push(end);
        self
    }

    /// Keeps its run folder at `folder`: console.log, the scratch disks, and whatever host and
    /// guest (there it is `/run/vm`) put into it for each other. Else it is thrown away.
    #[must_use]
    pub fn run_folder(mut self, folder: &Path) -> Self {
        self.run_folder = Some(folder.to_owned());
        self
    }

    /// Sets a variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts it; the command's stdout and stderr are copied to the two writers as they come.
    ///
    /// # Errors
    ///
    /// Any [`VmError`] about QEMU and its files. What happens in the guest is the [`Exit`].
    pub fn spawn(
        self,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Result<Running, VmError> {
        let machine = self.accel.decide(&self.kernel)?;
        Running::start(self, machine, stdout, stderr)
    }

    /// Runs it to its end with this process's stdout and stderr.
    ///
    /// # Errors
    ///
    /// As [`Guest::spawn`].
    pub fn run(self) -> Result<Exit, VmError> {
        self.spawn(io::stdout(), io::stderr())?.wait()
    }

    /// The script that the guest's second stage runs.
    pub(crate) fn script(&self) -> String {
        let mut script = String::new();
        let inherited = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let mut environment: BTreeMap<String, String> = inherited.collect();
        let path = environment.entry("PATH".to_owned()).or_default();
        path.push_str(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        environment.extend(self.environment.clone());
        for (name, value) in environment.iter().filter(|(name, _)| is_identifier(name)) {
            let _ = writeln!(script, "export {name}={}", quoted(value)); // a String takes all
        }
        if let Ok(folder) = env::current_dir() {
            let _ = writeln!(script, "cd {}", quoted(&folder.to_string_lossy()));
        }
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        // `exec`: signals and exit status are the command's own
        let _ = writeln!(script, "exec {}", words.join(" "));
        script
    }

    /// What the second stage has to know, as assignments of a shell.
    pub(crate) fn settings(&self) -> String {
        let addresses: Vec<&str> = self.links.iter().map(LinkEnd::address).collect();
        let modules = self.kernel.modules();
        format!(
            "name={}\nmodules={}\naddresses={}\n",
            quoted(&self.name),
            quoted(&modules.as_os_str().to_string_lossy()),
            quoted(&addresses.join(" ")),
        )
    }
}

/// `word` as the shell reads it back whole.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn is_identifier(name: &str) -> bool {
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.chars().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && OsStr::new(name) != "_"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_the_shell() {
        let word = "it's $HOME \"and\" \\ `more`\n";
        let mut shell = std::process::Command::new("sh");
        let script = format!("printf %s {}", quoted(word));
        let said = crate::command::output_of(shell.args(["-c", &script])).expect("a shell");
        assert_eq!(String::from_utf8_lossy(&said), word);
    }
}

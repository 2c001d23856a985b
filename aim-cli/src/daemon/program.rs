//! The program file that this process executes, and how to execute it anew.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// How this process was started, so that it can be started like that again.
#[derive(Debug)]
pub(crate) struct Program {
    /// By which name; whatever has this name by then is executed.
    path: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
    /// What was mounted where.
    mounts: File,
}

impl Program {
    /// To be called before the process takes a namespace of its own.
    ///
    /// # Errors
    ///
    /// Where /proc is not mounted, or the current folder is gone.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let folder = env::current_dir()?;
        let path = arguments
            .next()
            .and_then(|word| find(&word, &folder))
            .map_or_else(env::current_exe, Ok)?;
        Ok(Self {
            path,
            arguments: arguments.collect(),
            folder,
            mounts: File::open("/proc/self/ns/mnt")?,
        })
    }

    /// By which name it is executed.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs the program from where it was started. For threads that have
    /// [gone back](Self::go_back) there.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Takes the calling thread, alone, back to the mounts and the folder that the program was
    /// started with.
    ///
    /// # Errors
    ///
    /// Where it is not allowed to (CAP_SYS_ADMIN and CAP_SYS_CHROOT), or the folder is gone.
    pub(crate) fn go_back(&self) -> io::Result<()> {
        // SAFETY: root and current folder are no longer shared with other threads: no file
        // descriptor, which is what the function is marked unsafe for.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
        let kind = Some(LinkNameSpaceType::Mount);
        rustix::thread::move_into_link_name_space(self.mounts.as_fd(), kind)?;
        env::set_current_dir(&self.folder)
    }

    /// Executes the program in this process, which keeps its number: every other thread ends,
    /// every file is closed. Returns only if that fails.
    pub(crate) fn execute(&self) -> io::Error {
        self.command().args(&self.arguments).exec()
    }
}

/// The file that the first word of the command line stands for, if that is what is executed: the
/// word is only what whoever started us chose to say.
fn find(word: &OsString, folder: &Path) -> Option<PathBuf> {
    let word = Path::new(word);
    let candidates = match word.components().count() {
        1 if word.parent() == Some(Path::new("")) => {
            let folders = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&folders)
                .map(|at| folder.join(at).join(word))
                .collect()
        }
        _ => vec![folder.join(word)],
    };
    let own = fs::metadata("/proc/self/exe").ok()?;
    candidates.into_iter().find(|path| {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_kept_and_a_false_one_is_not_believed() {
        let temp = tempfile::tempdir().unwrap();
        let link = temp.path().join("aim");
        std::os::unix::fs::symlink(env::current_exe().unwrap(), &link).unwrap();
        let found = |word: &str| find(&OsString::from(word), temp.path());
        assert_eq!(found("./aim"), Some(temp.path().join("./aim")));
        assert_eq!(found(link.to_str().unwrap()), Some(link));
        assert_eq!(found("sh"), None);
        assert_eq!(found("/bin/sh"), None);
        let program = Program::of_this_process().unwrap();
        assert_eq!(
            fs::canonicalize(program.path()).unwrap(),
            fs::canonicalize(env::current_exe().unwrap()).unwrap()
        );
    }
}

//! The end of a process, and what it took.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Waits for the end of a process. The time is that of all its threads, in the program and in the
/// kernel, and of those of its children for which it has waited.
pub(super) fn wait(child: &Child) -> io::Result<(ExitStatus, Duration)> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: both are written to while the call lasts, and live longer.
    while unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: the call has succeeded, so it has written all of it.
    let usage = unsafe { usage.assume_init() };
    let time = in_full(usage.ru_utime) + in_full(usage.ru_stime);
    Ok((ExitStatus::from_raw(status), time))
}

fn in_full(time: libc::timeval) -> Duration {
    // neither is ever negative
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_of_a_child_count() {
        let spin = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let measure = |script: String| {
            let mut command = Command::new("sh");
            command.args(["-c", &script]).stdin(Stdio::null());
            wait(&command.spawn().unwrap()).unwrap()
        };
        let (status, nothing) = measure("exit 3".to_owned());
        assert_eq!(status.code(), Some(3));
        let (status, time) = measure(format!("({spin})"));
        assert!(status.success() && time > nothing);
    }
}

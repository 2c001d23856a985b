//! The signals that ask something of `aim run`, also while one program makes room for another.
//!
//! A program that is executed anew has no handlers at first: a signal would end it, and leave its devices
//! to nobody. Which signals are blocked, and which have come meanwhile, outlives `exec`. One to end
//! that came before is not known to the new program: then it is not executed.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};

/// To stop, to stop, to hand over, and to leave the devices to a successor.
pub(crate) const SIGNALS: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGUSR2];

/// Whether a signal has asked this program to end, whoever has yet to hear of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndAsked(Arc<AtomicBool>);

impl EndAsked {
    /// Takes note of such signals from here on.
    ///
    /// # Errors
    ///
    /// If there can be no handlers.
    pub(crate) fn listen() -> io::Result<Self> {
        let asked = Self::default();
        for signal in [SIGTERM, SIGINT, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::clone(&asked.0))?;
        }
        Ok(asked)
    }

    pub(crate) fn is_true(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// From here on signals to this thread wait, also in the program that it executes, until that
/// [lets them through](release).
///
/// # Errors
///
/// None that a kernel is known for.
pub(crate) fn hold() -> io::Result<()> {
    change(libc::SIG_BLOCK)
}

/// Lets signals through to this thread, those first that have waited. To be called once there are
/// handlers, whoever has executed this program.
///
/// # Errors
///
/// As for [`hold`].
pub(crate) fn release() -> io::Result<()> {
    change(libc::SIG_UNBLOCK)
}

fn change(how: libc::c_int) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` makes a set of what it is given, and can't fail; the others are then
    // given a set, and the numbers of signals that exist. Only this thread's mask changes.
    let code = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut())
    };
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

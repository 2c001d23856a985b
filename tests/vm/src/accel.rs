//! Whether the processor or software runs the guest.

use std::fs::{self, OpenOptions};
use std::io;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Doing, VmError};
use crate::guest::Guest;
use crate::kernel::KernelImage;
use crate::qemu::Machine;
use crate::running::{Exit, Running};

/// How the guest's instructions are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// By KVM where it boots the guest's kernel, else emulated. Tried once per host kernel.
    #[default]
    Auto,
    /// By KVM.
    Kvm,
    /// Emulated, one host thread per processor.
    Tcg,
    /// Emulated on one thread, with a clock that counts instructions: what a benchmark shows
    /// repeats, whatever else the host does. Such a figure is cost, not time.
    Icount,
}

/// A guest that works at all has ended by then; a KVM that does not work hangs.
const PATIENCE: Duration = Duration::from_secs(20);

impl Accel {
    /// Decides [`Accel::Auto`]; the answer is kept beside the kernel.
    pub(crate) fn decide(self, kernel: &KernelImage) -> Result<Machine, VmError> {
        match self {
            Self::Kvm => Ok(Machine::Kvm),
            Self::Tcg => Ok(Machine::Tcg),
            Self::Icount => Ok(Machine::Icount),
            Self::Auto if !kvm_is_there() => Ok(Machine::Tcg),
            Self::Auto => {
                let host = rustix::system::uname();
                let name = format!("kvm-{}", host.release().to_string_lossy());
                let answer = kernel.folder().join(name);
                let works = match fs::read_to_string(&answer) {
                    Ok(known) => known == "works",
                    Err(_) => {
                        let works = kvm_boots(kernel)?;
                        let word = if works { "works" } else { "fails" };
                        fs::write(&answer, word).doing("write", &answer)?;
                        works
                    }
                };
                Ok(if works { Machine::Kvm } else { Machine::Tcg })
            }
        }
    }
}

impl FromStr for Accel {
    type Err = VmError;

    fn from_str(word: &str) -> Result<Self, VmError> {
        match word {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            "icount" => Ok(Self::Icount),
            _ => Err(VmError::Word {
                value: word.to_owned(),
                expected: "one of auto, kvm, tcg, icount",
            }),
        }
    }
}

fn kvm_is_there() -> bool {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok()
}

fn kvm_boots(kernel: &KernelImage) -> Result<bool, VmError> {
    let guest = Guest::new(kernel, ["true"])
        .accel(Accel::Kvm)
        .timeout(PATIENCE);
    let exit = Running::start(guest, Machine::Kvm, io::sink(), io::sink())?.wait()?;
    Ok(exit == Exit::Status(0))
}

//! When things go wrong: one counter of steps for all doubles of a test.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts every changing or syncing step of the doubles that share it, and makes a chosen one go
/// wrong. Steps are counted from 1.
///
/// A machine has one; a disk of it that shall be able to fail alone has a [part](Self::part).
#[derive(Debug, Default)]
pub struct Power {
    whole: Option<Arc<Self>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    labels: Vec<&'static str>,
    cut_at: Option<u64>,
    fail_at: Option<(u64, io::ErrorKind)>,
    fail_soon: Option<FailSoon>,
    broken: Option<io::ErrorKind>,
    off: bool,
}

/// A failure that waits for its step.
#[derive(Debug)]
struct FailSoon {
    /// Steps of that kind until then, itself included.
    left: u64,
    among: fn(&'static str) -> bool,
    kind: io::ErrorKind,
}

/// What a double does in a step.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// All is well: do it.
    Go,
    /// Do a part of it or nothing, then fail with this error; later steps may succeed.
    Fail(io::Error),
    /// The power goes now: what was under way may or may not reach the medium.
    Cut(io::Error),
    /// The power is off: do nothing.
    Off(io::Error),
}

impl Power {
    /// Nothing goes wrong until it is said.
    pub fn steady() -> Arc<Self> {
        Arc::default()
    }

    /// The power of a part of this machine: it goes with the machine's, and has failures of its
    /// own. Its steps count here too.
    pub fn part(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            whole: Some(Arc::clone(self)),
            state: Mutex::default(),
        })
    }

    /// Cuts the power at step `step` from the beginning; every later step fails until
    /// [`restore`](Self::restore).
    pub fn cut_at(&self, step: u64) {
        self.lock().cut_at = Some(step);
    }

    /// Lets step `step` from the beginning fail once.
    pub fn fail_at(&self, step: u64, kind: io::ErrorKind) {
        self.lock().fail_at = Some((step, kind));
    }

    /// Lets the `after`-th step from here on fail once, counted among those with the labels that
    /// are `among` them. It takes the place of an earlier wish.
    pub fn fail_soon(&self, after: u64, among: fn(&'static str) -> bool, kind: io::ErrorKind) {
        let left = after;
        self.lock().fail_soon = Some(FailSoon { left, among, kind });
    }

    /// Lets every step fail, and reading too, until [`mend`](Self::mend).
    pub fn break_down(&self, kind: io::ErrorKind) {
        self.lock().broken = Some(kind);
    }

    /// Ends [`break_down`](Self::break_down), and forgets a step that was to fail.
    pub fn mend(&self) {
        let mut state = self.lock();
        state.broken = None;
        state.fail_at = None;
        state.fail_soon = None;
    }

    /// How every step fails, if it does.
    pub fn broken(&self) -> Option<io::ErrorKind> {
        self.lock().broken
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.lock().off = true;
    }

    /// The power is back, for good. The doubles must have been told to forget
    /// (`power_cut`, `crash`) before.
    pub fn restore(&self) {
        let mut state = self.lock();
        state.off = false;
        state.cut_at = None;
        state.fail_at = None;
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        self.whole.as_ref().is_none_or(|whole| whole.is_on()) && !self.lock().off
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.lock().labels.len() as u64
    }

    /// What each step so far was.
    pub fn labels(&self) -> Vec<&'static str> {
        self.lock().labels.clone()
    }

    /// For doubles: enters the next step.
    pub fn step(&self, label: &'static str) -> Step {
        let of_whole = self.whole.as_ref().map(|whole| whole.step(label));
        match of_whole {
            None | Some(Step::Go) => self.own_step(label),
            Some(otherwise) => otherwise,
        }
    }

    fn own_step(&self, label: &'static str) -> Step {
        let mut state = self.lock();
        if state.off {
            return Step::Off(power_is_off());
        }
        state.labels.push(label);
        let now = state.labels.len() as u64;
        if state.cut_at == Some(now) {
            state.off = true;
            return Step::Cut(power_is_off());
        }
        let failing = state.fail_at.filter(|(at, _)| *at == now);
        let failing = failing.map(|(_, kind)| kind);
        match failing.or_else(|| state.fails_now(label)).or(state.broken) {
            Some(kind) => Step::Fail(io::Error::new(
                kind,
                format!("injected at step {now}, {label}"),
            )),
            None => Step::Go,
        }
    }

    /// For doubles: an error if the power is off or nothing works; reading is no step.
    pub fn require_on(&self) -> io::Result<()> {
        if !self.is_on() {
            return Err(power_is_off());
        }
        match self.lock().broken {
            Some(kind) => Err(io::Error::new(kind, "injected, while reading")),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fails_now(&mut self, label: &'static str) -> Option<io::ErrorKind> {
        let soon = self.fail_soon.as_mut().filter(|soon| (soon.among)(label))?;
        soon.left -= 1;
        match soon.left {
            0 => self.fail_soon.take().map(|soon| soon.kind),
            _ => None,
        }
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_with_the_machine_and_fails_alone() {
        let machine = Power::steady();
        let (disk, other) = (machine.part(), machine.part());
        disk.break_down(io::ErrorKind::StorageFull);
        assert!(matches!(disk.step("write"), Step::Fail(_)));
        assert!(disk.require_on().is_err());
        assert!(matches!(other.step("write"), Step::Go));
        disk.mend();
        assert!(matches!(disk.step("write"), Step::Go));
        assert_eq!((machine.steps(), disk.steps(), other.steps()), (3, 2, 1));
        disk.fail_soon(2, |label| label == "sync", io::ErrorKind::Other);
        let failed = ["sync", "write", "sync", "sync"].map(|label| match disk.step(label) {
            Step::Fail(_) => 1,
            _ => 0,
        });
        assert_eq!(failed, [0, 0, 1, 0]);
        machine.cut_at(8);
        assert!(matches!(other.step("sync"), Step::Cut(_)));
        assert!(matches!(disk.step("sync"), Step::Off(_)));
        assert!(!disk.is_on());
        machine.restore();
        assert!(disk.is_on() && other.is_on());
    }
}

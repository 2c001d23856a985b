//! What happened in a run, to be read by people and compared by machines.

use std::collections::VecDeque;

/// Events that a report shows.
const SHOWN: usize = 60;

/// The events of a run. Two runs with the same [`digest`](Self::digest) were the same.
#[derive(Debug)]
pub(crate) struct Log {
    last: VecDeque<String>,
    step: u64,
    digest: u64,
    prints: bool,
}

impl Log {
    /// An empty log; with `prints` each event is printed when it happens.
    pub(crate) fn new(prints: bool) -> Self {
        Self {
            last: VecDeque::with_capacity(SHOWN),
            step: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            prints,
        }
    }

    /// Begins the next step.
    pub(crate) fn begin_step(&mut self) {
        self.step += 1;
    }

    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// Notes an event of this step.
    pub(crate) fn note(&mut self, event: &str) {
        self.mix(event.as_bytes());
        let line = format!("{:>5}  {event}", self.step);
        if self.prints {
            println!("{line}");
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Notes what is too much to be read.
    pub(crate) fn mix(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}

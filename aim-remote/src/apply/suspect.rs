//! Files that are wrong, but may still be being written.
//!
//! AIM's own transports bring a file under another name and rename it. Other movers may write under
//! the final name, so a file that is not whole may only be on its way: it is wrong for good when it
//! stays as it is for a while.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use aim_core::format::checksum::PayloadHasher;
use aim_core::format::limits::MAX_FILE_BYTES;
use aim_core::fs::DirFile;

/// What a file looks like at one moment: its length, and a hash of as much as a journal file can
/// have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    len: u64,
    hash: u64,
}

impl Look {
    /// What can be told of a file without reading it.
    pub(super) fn of_length(len: u64) -> Self {
        Self { len, hash: 0 }
    }

    /// Looks at a file. One that is cut meanwhile looks empty from there on.
    pub(super) fn at(file: &dyn DirFile) -> io::Result<Self> {
        let len = file.len()?;
        let end = len.min(MAX_FILE_BYTES);
        let mut hasher = PayloadHasher::default();
        let mut piece = vec![0; PIECE_BYTES.min(end) as usize];
        let mut done = 0;
        while done < end {
            let now = &mut piece[..(end - done).min(PIECE_BYTES) as usize];
            match file.read_exact_at(now, done) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            hasher.update(now);
            done += now.len() as u64;
        }
        Ok(Self {
            len,
            hash: hasher.finish(),
        })
    }
}

const PIECE_BYTES: u64 = 1 << 20;

/// What was seen of the files that are wrong, by name.
#[derive(Debug, Default)]
pub(super) struct Suspects(HashMap<String, (Look, Instant)>);

impl Suspects {
    /// Whether a file that is wrong has looked the same for `settle`, and at an earlier look.
    pub(super) fn is_wrong_for_good(
        &mut self,
        name: &str,
        look: Look,
        now: Instant,
        settle: Duration,
    ) -> bool {
        match self.0.get(name) {
            Some((before, since)) if *before == look => now.duration_since(*since) >= settle,
            _ => {
                self.0.insert(name.to_owned(), (look, now));
                false
            }
        }
    }

    /// Forgets all but those with a name for which this holds.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(len: u64, hash: u64) -> Look {
        Look { len, hash }
    }

    #[test]
    fn a_file_is_wrong_for_good_when_it_stays_as_it_is() {
        let mut suspects = Suspects::default();
        let start = Instant::now();
        let settle = Duration::from_secs(10);
        let mut is_wrong = |name: &str, look, seconds| {
            let now = start + Duration::from_secs(seconds);
            suspects.is_wrong_for_good(name, look, now, settle)
        };
        assert!(!is_wrong("a", look(10, 1), 0));
        assert!(!is_wrong("a", look(10, 1), 9));
        // it grows, then the same length holds something else
        assert!(!is_wrong("a", look(20, 1), 11));
        assert!(!is_wrong("a", look(20, 2), 30));
        assert!(!is_wrong("b", look(20, 2), 40));
        assert!(is_wrong("a", look(20, 2), 40));
        assert!(!is_wrong("b", look(20, 2), 41));
        suspects.retain(|name| name == "b");
        let now = start + Duration::from_secs(90);
        assert!(suspects.is_wrong_for_good("b", look(20, 2), now, settle));
        assert!(!suspects.is_wrong_for_good("a", look(20, 2), now, settle));
    }

    #[test]
    fn the_first_look_never_decides() {
        let mut suspects = Suspects::default();
        let (now, settle) = (Instant::now(), Duration::ZERO);
        assert!(!suspects.is_wrong_for_good("a", look(1, 1), now, settle));
        assert!(suspects.is_wrong_for_good("a", look(1, 1), now, settle));
    }
}

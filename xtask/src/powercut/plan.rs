//! What a round does, chosen by its seed.

use std::fmt;
use std::ops::Range;

use aim_nbd::{Cut, Rng};

/// Either machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Source,
    Mirror,
}

/// What writes to the device while the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// fio on the raw device; blocks are verified.
    Fio,
    /// Files of ext4, each synced.
    Files,
    /// Rows of an SQLite database, each committed.
    Rows,
    /// All of them at once.
    Mixed,
}

/// The cut of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blow {
    pub(super) host: Host,
    /// The request to a disk of the machine that meets the cut, counted from the load's first
    /// promise.
    pub(super) request: u64,
    /// What each of its two disks keeps.
    pub(super) cuts: [Cut; 2],
    /// A second cut while it recovers from the first: at this request after the boot.
    pub(super) again: Option<(u64, [Cut; 2])>,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) number: u64,
    pub(super) load: Load,
    pub(super) load_seed: u64,
    pub(super) blows: Vec<Blow>,
}

impl Plan {
    /// The round `number`, from 1, of those that belong to `seed`. It depends on nothing else.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng::branch(seed, number);
        let load = match rng.below(4) {
            0 => Load::Fio,
            1 => Load::Files,
            2 => Load::Rows,
            _ => Load::Mixed,
        };
        let load_seed = rng.below(1 << 31);
        // The first two rounds are one for each host: a short run has seen both.
        let hosts: &[Host] = match (number, rng.below(5)) {
            (1, _) => &[Host::Source],
            (2, _) => &[Host::Mirror],
            (_, 0 | 1) => &[Host::Source],
            (_, 2 | 3) => &[Host::Mirror],
            _ => &[Host::Source, Host::Mirror],
        };
        let blows = hosts
            .iter()
            .map(|host| Blow::new(*host, &mut rng))
            .collect();
        Self {
            seed,
            number,
            load,
            load_seed,
            blows,
        }
    }

    /// Whether `host` loses its power.
    pub(super) fn cuts(&self, host: Host) -> bool {
        self.blows.iter().any(|blow| blow.host == host)
    }
}

impl Blow {
    fn new(host: Host, rng: &mut Rng) -> Self {
        // a mirror's disks have little to do: its requests come by the file
        let most = match host {
            Host::Source => 12,
            Host::Mirror => 7,
        };
        let request = skewed(rng, 0..most);
        let mut cuts = || [Cut::random(rng), Cut::random(rng)];
        let (first, second) = (cuts(), cuts());
        let again = rng.chance(3).then(|| (skewed(rng, 0..8), second));
        Self {
            host,
            request,
            cuts: first,
            again,
        }
    }
}

/// A number of as many bits as `bits` has in it, each equally often: small ones are as likely as
/// large ones.
fn skewed(rng: &mut Rng, bits: Range<u64>) -> u64 {
    let magnitude = 1 << (bits.start + rng.below(bits.end - bits.start));
    magnitude + rng.below(magnitude)
}

impl Host {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Mirror => "mirror",
        }
    }
}

impl Load {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fio => "fio",
            Self::Files => "files",
            Self::Rows => "rows",
            Self::Mixed => "mixed",
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [disk, spool] = &self.cuts;
        let (host, request) = (self.host.name(), self.request);
        write!(
            f,
            "{host} at request {request} (disk {disk}, journal {spool})"
        )?;
        match &self.again {
            Some((request, [disk, spool])) => write!(
                f,
                ", again at request {request} of its recovery (disk {disk}, journal {spool})"
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blows: Vec<String> = self.blows.iter().map(Blow::to_string).collect();
        let (load, blows) = (self.load.name(), blows.join("; "));
        write!(f, "load {load}, cut {blows}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_rounds_have_one_host_each() {
        for seed in 0..8 {
            let hosts = |number| -> Vec<Host> {
                let plan = Plan::new(seed, number);
                plan.blows.iter().map(|blow| blow.host).collect()
            };
            assert_eq!(hosts(1), [Host::Source]);
            assert_eq!(hosts(2), [Host::Mirror]);
        }
    }

    #[test]
    fn a_round_depends_on_its_seed_and_number_alone() {
        assert_eq!(Plan::new(7, 12), Plan::new(7, 12));
        assert_ne!(Plan::new(7, 12).to_string(), Plan::new(8, 12).to_string());
    }
}

//! Source and mirror, and what a round does to them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aim_nbd::Cut;
use aim_vm::{KernelImage, Link};

use super::machine::{Machine, Trouble};
use super::plan::{Blow, Host, Plan};
use super::site::{ADDRESSES, Site};
use crate::progress::detail;

/// How long one script may take in an emulated machine on a busy host.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long a planned cut is waited for: a load need not make so many requests.
const MOMENT: Duration = Duration::from_secs(10);
/// How much longer the second of two machines may live than the first.
const BETWEEN: Duration = Duration::from_secs(1);
/// The status by which check.sh says that a promise was broken.
const BROKEN_PROMISE: u8 = 3;

/// What was wrong after a round.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something is gone that was said to be durable.
    Lost(String),
    /// The mirror is not what the source is, or was.
    Diverged(String),
    /// The pair did not come back, or did not come to rest.
    Stuck(Trouble),
}

/// Two machines with their disks.
#[derive(Debug)]
pub(super) struct Pair {
    source: Machine,
    mirror: Machine,
    site: Site,
}

impl Pair {
    /// A fresh pair, off.
    pub(super) fn new(image: &KernelImage, aim: &Path) -> Result<Self, Trouble> {
        let site = Site::create().map_err(Trouble::Host)?;
        let link = Link::new().map_err(|error| Trouble::Host(error.into()))?;
        let [source_end, mirror_end] = link.ends(ADDRESSES);
        Ok(Self {
            source: Machine::new(Host::Source, image, &site, aim, source_end)?,
            mirror: Machine::new(Host::Mirror, image, &site, aim, mirror_end)?,
            site,
        })
    }

    /// Switches both on and pairs them.
    pub(super) fn begin(&mut self) -> Result<(), Trouble> {
        self.mirror.boot()?;
        self.source.boot()?;
        self.start()
    }

    /// One round: a load, the cut, the recovery, and everything that has to hold then. The pair is
    /// ready for the next one.
    pub(super) fn round(&mut self, plan: &Plan) -> Result<(), Failure> {
        self.start_load(plan)?;
        self.strike(plan)?;
        if !plan.cuts(Host::Source) {
            self.source.shell("bash $SCRIPTS/stop-load.sh", PATIENCE)?;
        }
        if !plan.cuts(Host::Mirror) {
            self.check_mirror()?;
        }
        self.recover(plan)?;
        self.compare()?;
        self.source.shell("bash $SCRIPTS/run.sh source", PATIENCE)?;
        Ok(())
    }

    /// Keeps disks and logs under this name.
    pub(super) fn keep(mut self, name: &str) -> Result<PathBuf, Trouble> {
        for machine in [&mut self.source, &mut self.mirror] {
            machine.end()?;
        }
        self.site.keep(name).map_err(Trouble::Host)
    }

    /// Has the load begin, and waits until something has been promised to it.
    fn start_load(&mut self, plan: &Plan) -> Result<(), Trouble> {
        let before = self.promises()?;
        let (load, seed) = (plan.load.name(), plan.load_seed);
        let script = format!("bash $SCRIPTS/load.sh {load} {seed}");
        self.source.shell(&script, PATIENCE)?;
        let deadline = Instant::now() + PATIENCE;
        while self.promises()? == before {
            if Instant::now() > deadline {
                return Err(Trouble::Late(format!("the load {load}; see load-*.log")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// All that loads have been promised so far; what they announce is left out.
    fn promises(&self) -> Result<Vec<String>, Trouble> {
        let mut promises = Vec::new();
        for name in ["fio", "files", "rows.0", "rows.1"] {
            match fs::read_to_string(self.source.file("acks").join(name)) {
                Ok(said) => promises.extend(said.lines().map(str::to_owned)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        promises.retain(|line| !line.starts_with("start") && !line.starts_with("gone"));
        Ok(promises)
    }

    /// Cuts the power as planned.
    fn strike(&mut self, plan: &Plan) -> Result<(), Trouble> {
        let start = Instant::now();
        for blow in &plan.blows {
            self.of(blow.host).power().cut_at(blow.request);
        }
        let mut patience = MOMENT;
        for blow in &plan.blows {
            if self.of(blow.host).power().wait_off(patience) {
                patience = BETWEEN;
            }
        }
        let took = start.elapsed().as_secs_f32();
        detail(&format!("{took:.1} s after the load's first promise:"));
        for blow in &plan.blows {
            self.cut(blow.host, blow.cuts)?;
        }
        Ok(())
    }

    fn cut(&mut self, host: Host, cuts: [Cut; 2]) -> Result<(), Trouble> {
        let machine = self.of(host);
        let requests = machine.power().requests();
        let left = machine.cut(cuts)?;
        let name = host.name();
        detail(&format!(
            "the {name} is off after {requests} requests; sectors newest/older/lost: {left}"
        ));
        Ok(())
    }

    /// Brings back what is off, through the second cuts of the plan, until the pair is at rest.
    fn recover(&mut self, plan: &Plan) -> Result<(), Failure> {
        for blow in &plan.blows {
            self.of(blow.host).boot()?;
            if let Some((request, _)) = blow.again {
                self.of(blow.host).power().cut_at(request);
            }
        }
        let mut again: Vec<&Blow> = plan.blows.iter().collect();
        loop {
            let outcome = self.settle();
            if matches!(outcome, Err(Failure::Lost(_))) {
                return outcome;
            }
            let is_off = |blow: &&Blow| !self.of_ref(blow.host).power().is_on();
            let Some(place) = again.iter().position(is_off) else {
                for machine in [&self.source, &self.mirror] {
                    machine.power().restore();
                }
                return outcome;
            };
            let blow = again.swap_remove(place);
            if let Some((_, cuts)) = blow.again {
                self.cut(blow.host, cuts)?;
                self.of(blow.host).boot()?;
            }
        }
    }

    /// Starts whatever has been booted, sees whether all promises were kept, and waits until the
    /// mirror has everything.
    fn settle(&mut self) -> Result<(), Failure> {
        self.start()?;
        match self.source.shell("bash $SCRIPTS/check.sh", PATIENCE) {
            Ok(said) => detail(&format!("kept: {}", said.trim().replace('\n', ", "))),
            Err(Trouble::Failed(_, BROKEN_PROMISE, said)) => return Err(Failure::Lost(said)),
            Err(trouble) => return Err(trouble.into()),
        }
        Ok(self.drain()?)
    }

    /// Has `aim` run on each machine where it does not yet.
    fn start(&mut self) -> Result<(), Trouble> {
        let script = |host: Host| {
            let name = host.name();
            format!("set -e; [ -e /run/up ] || bash $SCRIPTS/{name}.sh; touch /run/up")
        };
        let source = self.source.ask(&script(Host::Source))?;
        let mirror = self.mirror.ask(&script(Host::Mirror))?;
        self.mirror.answer(&mirror, PATIENCE)?;
        self.source.answer(&source, PATIENCE)?;
        Ok(())
    }

    /// Waits until the mirror has all that the source captured, and nothing is being healed.
    fn drain(&mut self) -> Result<(), Trouble> {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            // asked first: what heals is captured as it goes on, and waited for below
            let healing = busy(&self.status(Host::Source)?, "resync");
            let wait = "$AIM wait data --timeout 10s --config $SITE/source.toml";
            let behind = match self.source.shell(wait, PATIENCE) {
                Ok(_) => None,
                Err(Trouble::Failed(_, _, said)) => Some(said),
                Err(trouble) => return Err(trouble),
            };
            let open = busy(&self.status(Host::Mirror)?, "open_group_lsn");
            if !healing && behind.is_none() && !open {
                return Ok(());
            }
            if Instant::now() > deadline {
                let source = self.status(Host::Source)?;
                let mirror = self.status(Host::Mirror)?;
                let said = behind.unwrap_or_default();
                return Err(Trouble::Late(format!(
                    "the pair, which does not come to rest: {said}\n{source}\n{mirror}"
                )));
            }
        }
    }

    fn status(&mut self, host: Host) -> Result<String, Trouble> {
        // its own exit status tells of trouble, which may pass
        let name = host.name();
        let script = format!("$AIM status data --json --config $SITE/{name}.toml || true");
        self.of(host).shell(&script, PATIENCE)
    }

    /// While the source is off: what the mirror holds, durably, is a past of the source. To a file
    /// system that is a disk after a power cut: its own journal must make it clean.
    fn check_mirror(&mut self) -> Result<(), Failure> {
        // stopped, it is between two files; running, it may be in one
        self.mirror.shell("bash $SCRIPTS/stop.sh", PATIENCE)?;
        let copy = self.site.path().join("mirror-past.img");
        fs::copy(self.mirror.disk().path(), &copy).map_err(Trouble::from)?;
        let started = self.mirror.ask("bash $SCRIPTS/run.sh mirror")?;
        for words in [&["-y", "-E", "journal_only"][..], &["-f", "-n"]] {
            let output = Command::new("e2fsck")
                .args(words)
                .arg(&copy)
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .output()
                .map_err(Trouble::from)?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                return Err(Failure::Diverged(format!(
                    "the mirror is no past of the source, e2fsck {words:?} says {}:\n{said}",
                    output.status
                )));
            }
        }
        fs::remove_file(&copy).map_err(Trouble::from)?;
        self.mirror.answer(&started, PATIENCE)?;
        Ok(())
    }

    /// Stops the source in order and compares: its disk as it reads, the mirror's as it is durable.
    fn compare(&mut self) -> Result<(), Failure> {
        let uncertain = busy(&self.status(Host::Source)?, "uncertain");
        self.source.shell("bash $SCRIPTS/stop.sh", PATIENCE)?;
        let mut source = vec![0; self.source.disk().size() as usize];
        self.source
            .disk()
            .read(0, &mut source)
            .map_err(Trouble::from)?;
        let mirror = fs::read(self.mirror.disk().path()).map_err(Trouble::from)?;
        let Some(words) = differences(&source, &mirror) else {
            return Ok(());
        };
        let said = if uncertain {
            "and the source says so"
        } else {
            "and nobody says so"
        };
        Err(Failure::Diverged(format!("{words}, {said}")))
    }

    fn of(&mut self, host: Host) -> &mut Machine {
        match host {
            Host::Source => &mut self.source,
            Host::Mirror => &mut self.mirror,
        }
    }

    fn of_ref(&self, host: Host) -> &Machine {
        match host {
            Host::Source => &self.source,
            Host::Mirror => &self.mirror,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(words) => write!(f, "lost, though it was durable:\n{}", words.trim_end()),
            Self::Diverged(words) => write!(f, "divergence: {words}"),
            Self::Stuck(trouble) => write!(f, "stuck: {trouble}"),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Stuck(trouble)
    }
}

/// Whether a field of this name in `json` is there and not null.
fn busy(json: &str, field: &str) -> bool {
    let named = format!("\"{field}\":");
    let mut values = json.match_indices(&named);
    values.any(|(place, _)| {
        let value = json[place + named.len()..].trim_start();
        !value.starts_with("null")
    })
}

/// Where two disks differ, in words.
fn differences(source: &[u8], mirror: &[u8]) -> Option<String> {
    const SECTOR: usize = 512;
    if source.len() != mirror.len() {
        return Some(format!(
            "{} bytes here, {} there",
            source.len(),
            mirror.len()
        ));
    }
    let pairs = source.chunks(SECTOR).zip(mirror.chunks(SECTOR));
    let differ: Vec<usize> = pairs
        .enumerate()
        .filter(|(_, (here, there))| here != there)
        .map(|(sector, _)| sector)
        .collect();
    let (first, last) = (differ.first()?, differ.last()?);
    let count = differ.len();
    Some(format!("{count} sectors differ, {first} to {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_busy_unless_it_is_null_or_missing() {
        let json = r#"{"volumes":[{"resync": {"done":1}, "uncertain":null}]}"#;
        assert!(busy(json, "resync"));
        assert!(!busy(json, "uncertain"));
        assert!(!busy(json, "open_group_lsn"));
    }

    #[test]
    fn each_sector_that_differs_is_counted() {
        let source = vec![0; 4096];
        let mut mirror = source.clone();
        assert_eq!(differences(&source, &mirror), None);
        mirror[513] = 1;
        mirror[700] = 1;
        mirror[4095] = 1;
        let words = differences(&source, &mirror);
        assert_eq!(words.as_deref(), Some("2 sectors differ, 1 to 7"));
        assert!(differences(&source, &mirror[512..]).is_some());
    }
}

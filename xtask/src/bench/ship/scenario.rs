//! All tools over one line, in turn.

use std::io::Read;
use std::time::{Duration, Instant};

use super::lines::{Line, Reached};
use super::process;
use super::proxy::Quality;
use super::site::{Cargo, Content, Site};
use super::tool::Tool;
use crate::outcome::Result;
use crate::progress::{detail, step};

/// Name of the line without a line.
pub(super) const LOOPBACK: &str = "loopback";
/// Name of the long line.
pub(super) const LONG: &str = "50 ms";
/// Name of the narrow line.
pub(super) const NARROW: &str = "20 MB/s";

const PLAIN: &[Tool] = &[Tool::Aim, Tool::Scp, Tool::Sftp, Tool::Rsync, Tool::Cat];
const PACKED: &[Tool] = &[
    Tool::AimPacked,
    Tool::Aim,
    Tool::Scp,
    Tool::ScpPacked,
    Tool::RsyncPacked,
];

/// One line, what goes over it, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    line: Line,
    content: Content,
    /// Of payload.
    bytes: u64,
    tools: &'static [Tool],
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) content: Content,
    pub(super) files: usize,
    /// Of all files.
    pub(super) bytes: u64,
    pub(super) tools: Vec<(Tool, Vec<Sample>)>,
}

/// One tool in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) took: Duration,
    /// Time of processors.
    pub(super) client: Duration,
    pub(super) server: Duration,
}

impl Scenario {
    pub(super) fn all(bytes: u64, narrow_bytes: u64) -> [Self; 4] {
        let long = Duration::from_millis(50);
        let plain = |name, line| Self {
            name,
            line,
            content: Content::Random,
            bytes,
            tools: PLAIN,
        };
        let delayed = Line::Proxy(Quality {
            round_trip: long,
            bandwidth: None,
        });
        let lossy = Line::Netem {
            round_trip: long,
            loss: "0.1%",
        };
        let narrow = Line::Proxy(Quality {
            round_trip: Duration::ZERO,
            bandwidth: Some(20_000_000),
        });
        [
            plain(LOOPBACK, Line::Loopback),
            plain(LONG, delayed),
            plain("50 ms, loss 0.1 %", lossy),
            Self {
                content: Content::Text,
                bytes: narrow_bytes,
                tools: PACKED,
                ..plain(NARROW, narrow)
            },
        ]
    }

    /// Has every tool ship in each round. Gives a reason where there can't be such a line here.
    pub(super) fn run(
        &self,
        site: &Site,
        rounds: usize,
    ) -> Result<std::result::Result<Measured, String>> {
        // a network belongs to a thread
        std::thread::scope(|scope| {
            let run = || match self.line.enter() {
                Ok(()) => self.measure(site, rounds).map(Ok),
                Err(reason) => Ok(Err(reason)),
            };
            let ran = scope.spawn(run).join();
            ran.unwrap_or_else(|_| Err("a measurement panicked".into()))
        })
    }

    fn measure(&self, site: &Site, rounds: usize) -> Result<Measured> {
        let cargo = site.seal(self.content, self.bytes)?;
        let reached = self.line.reach(site)?;
        step(&format!(
            "{}: {} MB in {} files",
            self.name,
            cargo.bytes / 1_000_000,
            cargo.files.len()
        ));
        let mut tools: Vec<_> = self.tools.iter().map(|tool| (*tool, Vec::new())).collect();
        for round in 0..rounds {
            let in_turn: Box<dyn Iterator<Item = &mut (Tool, Vec<Sample>)>> = match round % 2 {
                0 => Box::new(tools.iter_mut()),
                _ => Box::new(tools.iter_mut().rev()),
            };
            for (tool, samples) in in_turn {
                let sample = ship(*tool, site, &cargo, &reached, round == 0)
                    .map_err(|error| format!("{}, {}: {error}", self.name, tool.name()))?;
                detail(&format!(
                    "{}, round {} of {rounds}: {} {:.0} MB/s",
                    self.name,
                    round + 1,
                    tool.name(),
                    cargo.bytes as f64 / 1e6 / sample.took.as_secs_f64()
                ));
                samples.push(sample);
            }
        }
        Ok(Measured {
            name: self.name,
            content: self.content,
            files: cargo.files.len(),
            bytes: cargo.bytes,
            tools,
        })
    }
}

/// Has one tool ship everything once.
fn ship(
    tool: Tool,
    site: &Site,
    cargo: &Cargo,
    reached: &Reached,
    in_full: bool,
) -> Result<Sample> {
    site.clear()?;
    let mut command = tool.command(site, cargo, reached.port())?;
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint)?;
    }
    let (status, client) = process::wait(&child)?;
    let took = begun.elapsed();
    let server = reached.server.usage()?;
    if !status.success() {
        let log = reached.server.log();
        return Err(format!("{status}\n{complaint}\nof the server:\n{log}").into());
    }
    site.check(cargo, tool.leaves_packed(), in_full)?;
    Ok(Sample {
        took,
        client,
        server,
    })
}

//! A program that serves a device.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::Result;

/// An emulated machine is slow; what takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running program. Killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    name: &'static str,
    lines: Receiver<String>,
}

impl Process {
    /// Starts it with a pipe for its input.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            // goes on to the end: a program whose output nobody takes would stand still
            thread::spawn(move || {
                for line in BufReader::new(stream)
                    .lines()
                    .map_while(std::result::Result::ok)
                {
                    let _ = sender.send(line); // nobody may wait for it any more
                }
            });
        }
        Ok(Self { child, name, lines })
    }

    /// Waits for a line with these words and returns it.
    pub(crate) fn until(&self, words: &str) -> Result<String> {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(words) {
                return Ok(line);
            }
            said.push(line);
        }
        let said = said.join("\n");
        Err(format!("{} does not say `{words}`, but\n{said}", self.name).into())
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn wait(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if status.success() {
            return Ok(());
        }
        let said: Vec<String> = self.lines.try_iter().collect();
        Err(format!("{} ended with {status}\n{}", self.name, said.join("\n")).into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // after a good end there is nothing to kill
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

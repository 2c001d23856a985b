//! The lines that are measured, and the server at their far ends.

use std::process::Command;
use std::time::Duration;

use rustix::thread::UnshareFlags;

use super::proxy::{Proxy, Quality};
use super::server::Server;
use super::site::Site;
use crate::outcome::Result;

/// What is between the tools and the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    /// Nothing.
    Loopback,
    /// A program that delays.
    Proxy(Quality),
    /// The kernel's own network emulation, in a network of its own.
    Netem {
        round_trip: Duration,
        loss: &'static str,
    },
}

/// A server that can be reached at a port.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) server: Server,
    proxy: Option<Proxy>,
}

impl Reached {
    pub(super) fn port(&self) -> u16 {
        match &self.proxy {
            Some(proxy) => proxy.port(),
            None => self.server.port(),
        }
    }
}

impl Line {
    /// Starts a server, and what is on the way to it, in the network of the calling thread.
    pub(super) fn reach(self, site: &Site) -> Result<Reached> {
        let server = Server::start(site.folder())?;
        let proxy = match self {
            Self::Proxy(quality) => Some(Proxy::start(server.port(), quality)?),
            Self::Loopback | Self::Netem { .. } => None,
        };
        let reached = Reached { server, proxy };
        site.know(reached.port())?;
        Ok(reached)
    }

    /// Takes the calling thread, with what it starts from here on, into a network that is such a
    /// line, where that needs one. Else gives what is missing.
    pub(super) fn enter(self) -> std::result::Result<(), String> {
        let Self::Netem { round_trip, loss } = self else {
            return Ok(());
        };
        // SAFETY: only the network namespace is no longer shared with other threads: no file
        // descriptor, which is what the function is marked unsafe for.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
            .map_err(|error| format!("no network of its own: {error}"))?;
        // each packet passes the loopback device once; packets as on an Ethernet, so that one
        // that is lost is no more than that
        let delay = format!("{}us", round_trip.as_micros() / 2);
        for words in [
            "ip link set lo up mtu 1500 gso_max_segs 1",
            &format!("tc qdisc add dev lo root netem delay {delay} loss {loss} limit 1000000"),
        ] {
            let mut parts = words.split(' ');
            let output = Command::new(parts.next().unwrap_or_default())
                .args(parts)
                .output()
                .map_err(|error| format!("`{words}`: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or_default().to_owned();
                return Err(format!("`{words}`: {last}"));
            }
        }
        Ok(())
    }
}

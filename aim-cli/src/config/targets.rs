//! The places that a volume is shipped to: one, or several by name.

use std::collections::BTreeMap;

use aim_core::cursor::TARGETS_MAX;
use aim_remote::ship::MaxLag;

use super::check::Check;
use super::line::RawLine;
use super::login::RawLogin;
use super::quantity::{Size, Span};
use super::raw::RawTarget;
use super::target::Target;
use super::typed::TargetConfig;

/// Name of the only target, where it has none.
pub(super) const ONLY: &str = "target";

const LAG_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 50);
const LAG_TIME: std::ops::RangeInclusive<Span> =
    Span(std::time::Duration::from_secs(1))..=Span(std::time::Duration::from_secs(366 * 86_400));

impl Check<'_> {
    /// The targets of a volume: `only`, from the keys of its own table, or those of `several`.
    pub(super) fn targets(
        &mut self,
        only: RawTarget,
        several: Option<BTreeMap<String, RawTarget>>,
    ) -> Vec<TargetConfig> {
        let Some(several) = several else {
            return vec![self.one_target(ONLY, only, "target")];
        };
        let table = self.table().to_owned();
        let place = table.trim_end_matches(']').to_owned() + ".targets.NAME]";
        for key in only.given() {
            let key = if key == "url" { "target" } else { key };
            self.wrong(format!(
                "`{key}` stands beside `targets`: say it in {place}, for each of them"
            ));
        }
        if several.is_empty() || several.len() > TARGETS_MAX {
            self.wrong(format!(
                "`targets` has {} tables, must have 1 to {TARGETS_MAX}",
                several.len()
            ));
        }
        let mut all = Vec::new();
        for (name, raw) in several {
            self.set_table(place.replace("NAME", &name));
            self.name(&name);
            all.push(self.one_target(&name, raw, "url"));
        }
        self.set_table(table);
        self.same_twice(&all);
        all
    }

    /// Where a mirror fetches from.
    pub(super) fn fetch(&mut self, raw: RawTarget) -> TargetConfig {
        for key in ["compression", "bandwidth", "max_lag_bytes", "max_lag_time"] {
            if raw.given().contains(&key) {
                self.wrong(format!("`{key}` has no meaning where files are fetched"));
            }
        }
        let fetch = self.one_target("fetch", raw, "url");
        if let Target::Ssh(_) = fetch.target {
            self.wrong("`url` must be s3://bucket/prefix, or a directory".to_owned());
        }
        fetch
    }

    fn one_target(&mut self, name: &str, raw: RawTarget, url: &str) -> TargetConfig {
        let target = self.target(url, raw.url);
        let bytes = raw
            .max_lag_bytes
            .map(|given: Size| self.in_range("max_lag_bytes", given, LAG_BYTES));
        let age = raw
            .max_lag_time
            .map(|given| self.bounded("max_lag_time", given, LAG_TIME).0);
        let login = RawLogin {
            key: raw.key,
            key_passphrase_file: raw.key_passphrase_file,
            agent_socket: raw.agent_socket,
            known_hosts: raw.known_hosts,
            ssh_program: raw.ssh_program,
            ssh_config: raw.ssh_config,
            endpoint: raw.endpoint,
            region: raw.region,
            credentials_file: raw.credentials_file,
            allow_http: raw.allow_http,
        };
        let line = RawLine {
            channels: raw.channels,
            compression: raw.compression,
            bandwidth: raw.bandwidth,
        };
        TargetConfig {
            login: self.login(&target, login),
            line: self.line(&target, line),
            name: name.to_owned(),
            target,
            max_lag: MaxLag { bytes, age },
        }
    }

    /// Two names for one directory would take each other's files for their own.
    fn same_twice(&mut self, all: &[TargetConfig]) {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for target in all {
            let url = target.target.to_string();
            if let Some(first) = seen.insert(url.clone(), &target.name) {
                let second = &target.name;
                self.wrong(format!("targets `{first}` and `{second}` are both {url}"));
            }
        }
    }
}

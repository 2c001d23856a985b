//! Who makes the connection to an SSH target, and with which key.

use std::path::PathBuf;

use super::check::Check;
use super::target::Target;
use super::typed::{Key, Login};

/// The keys of a table that are about the login, as typed.
pub(super) struct RawLogin {
    pub(super) key: Option<String>,
    pub(super) key_passphrase_file: Option<PathBuf>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) ssh_program: Option<PathBuf>,
    pub(super) ssh_config: Option<PathBuf>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials_file: Option<PathBuf>,
    pub(super) allow_http: Option<bool>,
}

/// The word that stands for an agent in the place of a key file.
const AGENT: &str = "agent";

/// What only an object store needs.
const OF_STORES: [&str; 4] = ["endpoint", "region", "credentials_file", "allow_http"];

/// What Amazon's programs take, and most other stores are set to.
const REGION: &str = "us-east-1";

impl Check<'_> {
    /// The login of a target; `None` for a directory, which needs none.
    pub(super) fn login(&mut self, target: &Target, raw: RawLogin) -> Option<Login> {
        let uses_agent = raw.key.as_deref() == Some(AGENT);
        let with_program = raw.ssh_program.is_some();
        let given = [
            ("key", raw.key.is_some()),
            ("key_passphrase_file", raw.key_passphrase_file.is_some()),
            ("agent_socket", raw.agent_socket.is_some()),
            ("known_hosts", raw.known_hosts.is_some()),
            ("ssh_program", with_program),
            ("ssh_config", raw.ssh_config.is_some()),
            ("endpoint", raw.endpoint.is_some()),
            ("region", raw.region.is_some()),
            ("credentials_file", raw.credentials_file.is_some()),
            ("allow_http", raw.allow_http.is_some()),
        ];
        for (name, is_given) in given {
            let reason = match (target, name) {
                (Target::Directory(_), _) => "for a target that is a directory",
                (Target::Store(_), name) if OF_STORES.contains(&name) => continue,
                (Target::Store(_), _) => "for a target that is an object store",
                (Target::Ssh(_), name) if OF_STORES.contains(&name) => "for a target over ssh",
                (_, "ssh_program") => continue,
                (_, "ssh_config") if !with_program => "without `ssh_program`",
                (_, "ssh_config") => continue,
                _ if with_program => "with `ssh_program`, whose own configuration says it",
                (_, "key_passphrase_file") if uses_agent => "with `key = \"agent\"`",
                (_, "agent_socket") if !uses_agent => "without `key = \"agent\"`",
                _ => continue,
            };
            if is_given {
                self.wrong(format!("`{name}` has no meaning {reason}"));
            }
        }
        match target {
            Target::Directory(_) => None,
            Target::Ssh(_) if with_program => Some(self.program(raw)),
            Target::Ssh(_) => Some(self.built_in(raw, uses_agent)),
            Target::Store(_) => Some(self.at_store(raw)),
        }
    }

    fn at_store(&mut self, raw: RawLogin) -> Login {
        let allow_http = raw.allow_http.unwrap_or(false);
        let endpoint = raw.endpoint;
        let scheme = endpoint.as_ref().and_then(|text| text.split_once("://"));
        match scheme {
            Some(("http", _)) if !allow_http => self.wrong(
                "`endpoint` is not encrypted: use https, or say `allow_http = true`".to_owned(),
            ),
            Some(("http" | "https", host)) if !host.is_empty() => {}
            None if endpoint.is_none() => {}
            _ => self.wrong("`endpoint` must be https://HOST or https://HOST:PORT".to_owned()),
        }
        Login::Store {
            endpoint,
            region: raw.region.unwrap_or_else(|| REGION.to_owned()),
            credentials: self.absolute_if_given("credentials_file", raw.credentials_file),
            allow_http,
        }
    }

    fn program(&mut self, raw: RawLogin) -> Login {
        Login::Program {
            path: self.absolute("ssh_program", raw.ssh_program),
            config: self.absolute_if_given("ssh_config", raw.ssh_config),
        }
    }

    fn built_in(&mut self, raw: RawLogin, uses_agent: bool) -> Login {
        let key = match uses_agent {
            true => Key::Agent {
                socket: self.absolute_if_given("agent_socket", raw.agent_socket),
            },
            false => Key::File {
                path: self.absolute("key", raw.key.map(PathBuf::from)),
                passphrase: self.absolute_if_given("key_passphrase_file", raw.key_passphrase_file),
            },
        };
        let known_hosts = self.absolute("known_hosts", raw.known_hosts);
        Login::BuiltIn { key, known_hosts }
    }

    fn absolute_if_given(&mut self, key: &str, path: Option<PathBuf>) -> Option<PathBuf> {
        path.map(|path| self.absolute(key, Some(path)))
    }
}

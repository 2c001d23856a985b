//! Logging in with key files and agents.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{
    Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key,
};

use super::certificate_signer::CertificateSigner;
use super::connect::{HostKeyCheck, lost};
use super::secret::{self, Passphrase};
use super::target::{Credential, SshTarget};
use crate::transport::TransportError;

type DynAgent = AgentClient<Box<dyn AgentStream + Send + Unpin>>;

/// Tries the credentials in order until one is accepted, and says which.
pub(super) async fn log_in(
    handle: &mut Handle<HostKeyCheck>,
    target: &SshTarget,
    credentials: &[Credential],
) -> Result<String, TransportError> {
    let rsa_hash = match handle.best_supported_rsa_hash().await {
        Ok(hash) => hash.flatten(),
        Err(error) => return Err(lost(&target.address(), &error)),
    };
    let mut login = LogIn {
        handle,
        user: &target.user,
        // a server that names no algorithm still takes SHA-2 if it is younger than 2016
        rsa_hash: rsa_hash.or(Some(HashAlg::Sha256)),
        tried: Vec::new(),
        accepted: String::new(),
    };
    for credential in credentials {
        let accepted = match credential {
            Credential::KeyFile { path, passphrase } => {
                login.key_file(path, passphrase.as_ref()).await
            }
            Credential::Agent { socket } => login.agent(socket.as_ref()).await,
        };
        if accepted {
            return Ok(login.accepted);
        }
        // after too many refusals the server hangs up
        if login.handle.is_closed() {
            login
                .tried
                .push("the server closed the connection".to_owned());
            break;
        }
    }
    if login.tried.is_empty() {
        login.tried.push("there was none to try".to_owned());
    }
    Err(TransportError::AuthenticationRefused {
        host: target.address(),
        user: target.user.clone(),
        tried: login.tried,
    })
}

struct LogIn<'a> {
    handle: &'a mut Handle<HostKeyCheck>,
    user: &'a str,
    rsa_hash: Option<HashAlg>,
    /// What was tried without success.
    tried: Vec<String>,
    /// What was accepted.
    accepted: String,
}

impl LogIn<'_> {
    async fn key_file(&mut self, path: &Path, passphrase: Option<&Passphrase>) -> bool {
        let shown = path.display();
        let key = match unlock(path, passphrase) {
            Ok(key) => Arc::new(key),
            Err(reason) => {
                self.tried.push(format!("key file {shown} {reason}"));
                return false;
            }
        };
        // as OpenSSH does: the certificate first, then the bare key
        if self.certificate(path, &key).await {
            return true;
        }
        if self.handle.is_closed() {
            return false;
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), self.hash_for(key.algorithm()));
        let result = self.handle.authenticate_publickey(self.user, key).await;
        self.note(result, || format!("key file {shown} ({fingerprint})"))
    }

    /// Tries the certificate that lies beside a key, if there is one.
    async fn certificate(&mut self, key_path: &Path, key: &Arc<PrivateKey>) -> bool {
        let path = beside(key_path);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                let shown = path.display();
                self.tried
                    .push(format!("certificate {shown} can't be read: {error}"));
                return false;
            }
        };
        let shown = format!("certificate {}", path.display());
        let certificate = match Certificate::from_openssh(&text) {
            Ok(certificate) if certificate.public_key() == key.public_key().key_data() => {
                certificate
            }
            Ok(_) => {
                self.tried.push(format!("{shown} is for another key"));
                return false;
            }
            Err(error) => {
                self.tried.push(format!("{shown} is none: {error}"));
                return false;
            }
        };
        let hash = self.hash_for(key.algorithm());
        let shown = format!("{shown} (id {})", certificate.key_id());
        let mut signer = CertificateSigner(Arc::clone(key));
        let handle = &mut *self.handle;
        let result = handle
            .authenticate_certificate_with(self.user, certificate, hash, &mut signer)
            .await;
        self.note(result, || shown)
    }

    /// The hash to sign with, where the algorithm leaves a choice.
    fn hash_for(&self, algorithm: Algorithm) -> Option<HashAlg> {
        algorithm.is_rsa().then_some(self.rsa_hash).flatten()
    }

    async fn agent(&mut self, socket: Option<&PathBuf>) -> bool {
        let connected = match socket {
            Some(path) => AgentClient::connect_uds(path).await,
            None => AgentClient::connect_env().await,
        };
        let mut agent: DynAgent = match connected {
            Ok(agent) => agent.dynamic(),
            Err(error) => {
                self.tried.push(format!("no agent was reached: {error}"));
                return false;
            }
        };
        if let Some(binding) = self.handle.agent_session_binding()
            && let Err(error) = agent.bind_session(binding, false).await
        {
            // older agents can't; they know no keys that need it either
            tracing::debug!(%error, "the agent does not bind sessions");
        }
        let identities = match agent.request_identities().await {
            Ok(identities) => identities,
            Err(error) => {
                self.tried
                    .push(format!("the agent did not list its keys: {error}"));
                return false;
            }
        };
        if identities.is_empty() {
            self.tried.push("the agent holds no key".to_owned());
        }
        for identity in identities {
            // a second attempt after success would never return
            if self.identity(&mut agent, identity).await {
                return true;
            }
            if self.handle.is_closed() {
                break;
            }
        }
        false
    }

    async fn identity(&mut self, agent: &mut DynAgent, identity: AgentIdentity) -> bool {
        let key = identity.public_key();
        let shown = format!(
            "agent key {} ({})",
            identity.comment(),
            key.fingerprint(HashAlg::Sha256)
        );
        let hash = self.hash_for(key.algorithm());
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let handle = &mut *self.handle;
                handle
                    .authenticate_publickey_with(self.user, key, hash, agent)
                    .await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let handle = &mut *self.handle;
                handle
                    .authenticate_certificate_with(self.user, certificate, hash, agent)
                    .await
            }
        };
        self.note(result, || shown)
    }

    /// Keeps what was accepted, and what was refused for the message.
    fn note<E: std::fmt::Display>(
        &mut self,
        result: Result<AuthResult, E>,
        shown: impl FnOnce() -> String,
    ) -> bool {
        match result {
            Ok(AuthResult::Success) => {
                self.accepted = shown();
                return true;
            }
            Ok(AuthResult::Failure {
                partial_success: true,
                remaining_methods,
            }) => self.tried.push(format!(
                "{} was accepted, but the server wants more: {remaining_methods:?}",
                shown()
            )),
            Ok(AuthResult::Failure { .. }) => self.tried.push(format!("{} refused", shown())),
            Err(error) => self.tried.push(format!("{} failed: {error}", shown())),
        }
        false
    }
}

/// Reads a private key, or says why it can't be used.
fn unlock(path: &Path, passphrase: Option<&Passphrase>) -> Result<PrivateKey, String> {
    let text = secret::read(path).map_err(|error| format!("can't be used: {error}"))?;
    let passphrase = match passphrase.map(Passphrase::reveal) {
        None => None,
        Some(Ok(passphrase)) => Some(passphrase),
        Some(Err(error)) => return Err(format!("can't be unlocked: {error}")),
    };
    decode_secret_key(&text, passphrase.as_deref()).map_err(|error| match error {
        russh::keys::Error::KeyIsEncrypted => "is encrypted and no passphrase was given".to_owned(),
        error if passphrase.is_some() => {
            format!("can't be read with this passphrase: {error}")
        }
        error => format!("can't be read: {error}"),
    })
}

/// `KEY-cert.pub`, as `ssh-keygen -s` names it.
fn beside(key: &Path) -> PathBuf {
    let mut name = OsString::from(key);
    name.push("-cert.pub");
    PathBuf::from(name)
}

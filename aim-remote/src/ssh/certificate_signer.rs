//! Proving that a user certificate is ours, with the private key that it certifies.

use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey, signature, ssh_encoding, ssh_key};

/// Signs with a private key in memory. russh does that for certificates by itself too, but for
/// RSA with SHA-1, which servers refuse.
pub(super) struct CertificateSigner(pub(super) Arc<PrivateKey>);

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the connection ended")]
    Ended,
    #[error(transparent)]
    Key(#[from] ssh_key::Error),
    #[error(transparent)]
    Encoding(#[from] ssh_encoding::Error),
    #[error(transparent)]
    Signature(#[from] signature::Error),
}

impl From<russh::SendError> for SignError {
    fn from(_: russh::SendError) -> Self {
        Self::Ended
    }
}

impl russh::Signer for CertificateSigner {
    type Error = SignError;

    /// Appends the signature to what is signed.
    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let signature: Signature = match self.0.key_data() {
            KeypairData::Rsa(key) => (key, hash).try_sign(&data)?,
            key => key.try_sign(&data)?,
        };
        let mut encoded = Vec::new();
        signature.encode(&mut encoded)?;
        encoded.encode(&mut data)?;
        Ok(data)
    }
}

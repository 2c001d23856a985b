//! Which store, which bucket, and who we are there.

use std::path::PathBuf;
use std::time::Duration;

/// A place in a bucket.
#[derive(Clone, Debug)]
pub struct StoreTarget {
    /// Name of the bucket, which must exist.
    pub bucket: String,
    /// What the names of all objects begin with, without a `/` at either end; may be empty.
    pub prefix: String,
    /// Address of the server, `https://HOST:PORT`; `None`: Amazon's in the region. One that is
    /// given is asked for `/BUCKET/OBJECT`.
    pub endpoint: Option<String>,
    /// Region of the bucket. It is part of what is signed.
    pub region: String,
    /// Who we are.
    pub credentials: StoreCredentials,
    /// Whether the way there may be without encryption.
    pub allow_http: bool,
    /// When it is given up.
    pub limits: StoreLimits,
}

/// Where the access key is. It is read again after the store has refused it.
#[derive(Clone, Debug)]
pub enum StoreCredentials {
    /// In a file that nobody else may read, as Amazon's programs have it: lines
    /// `aws_access_key_id = ...`, `aws_secret_access_key = ...`, and maybe `aws_session_token = ...`.
    File(PathBuf),
    /// In `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and maybe `AWS_SESSION_TOKEN`.
    Environment,
}

/// How long a store may take.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// To make a connection, and to answer a request besides the time of its content.
    pub answer: Duration,
    /// The slowest line that is waited for, in bytes a second, all requests together.
    pub slowest: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            slowest: 64 << 10,
        }
    }
}

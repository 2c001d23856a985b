//! Files with secrets, and what they hold.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More than any private key or passphrase takes.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// What unlocks a private key. It is not shown.
#[derive(Clone)]
pub struct Passphrase(Kept);

#[derive(Clone)]
enum Kept {
    Here(String),
    In(PathBuf),
}

impl Passphrase {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Kept::Here(secret.into()))
    }

    /// The first line of a file that nobody else may read; it is read at each login.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self(Kept::In(path.into()))
    }

    pub(super) fn reveal(&self) -> Result<String, SecretError> {
        match &self.0 {
            Kept::Here(secret) => Ok(secret.clone()),
            Kept::In(path) => {
                let text = read(path)?;
                Ok(text.lines().next().unwrap_or_default().to_owned())
            }
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Here(_) => f.write_str("Passphrase(..)"),
            Kept::In(path) => write!(f, "Passphrase(in {})", path.display()),
        }
    }
}

/// Why a file with a secret is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{} can't be read: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} has mode {mode:03o}: others than its owner may use it", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{} belongs to user {owner}, not to root nor to user {own}", path.display())]
    Foreign { path: PathBuf, owner: u32, own: u32 },
}

/// Reads a file that holds a secret, if only its owner can use it.
pub(crate) fn read(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // asked of the open file: the name may lead elsewhere by now
    let metadata = file.metadata().map_err(failed)?;
    check(path, &metadata)?;
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), SecretError> {
    let path = path.to_owned();
    let own = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != 0 && owner != own {
        return Err(SecretError::Foreign { path, owner, own });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn only_what_nobody_else_can_read_is_a_secret() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret");
        fs::write(&path, "open sesame\nsecond line\n").unwrap();
        for (mode, is_secret) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o610, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let revealed = Passphrase::in_file(&path).reveal();
            match is_secret {
                true => assert_eq!(revealed.unwrap(), "open sesame"),
                false => {
                    let refused = revealed.unwrap_err().to_string();
                    assert!(refused.contains(&format!("mode {mode:03o}")), "{refused}");
                }
            }
        }
    }

    #[test]
    fn a_secret_that_somebody_else_could_exchange_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(65_534), None).unwrap();
        let refused = Passphrase::in_file(&path).reveal().unwrap_err();
        assert!(matches!(
            refused,
            SecretError::Foreign { owner: 65_534, .. }
        ));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", Passphrase::new("sesame")).contains("sesame"));
    }
}

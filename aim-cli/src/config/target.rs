//! Where the journal files of a volume are shipped to.

use std::fmt;
use std::path::PathBuf;

/// The mirror's directory, as the source reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A directory on a mounted file system.
    Directory(PathBuf),
    /// A directory behind an SSH server that offers SFTP.
    Ssh(SshTarget),
    /// A place in a bucket of an object store.
    Store(StorePlace),
}

/// `s3://bucket/prefix`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorePlace {
    /// Name of the bucket.
    pub(crate) bucket: String,
    /// What the names of its objects begin with, without a `/` at either end.
    pub(crate) prefix: String,
}

/// `ssh://user@host:port/path`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshTarget {
    /// Account on the mirror host.
    pub(crate) user: String,
    /// Name or address.
    pub(crate) host: String,
    /// `None`: 22, or what the configuration of the ssh program says.
    pub(crate) port: Option<u16>,
    /// Absolute, as the SFTP server shows it (in a chroot: from there).
    pub(crate) path: String,
}

/// A target that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTarget {
    #[error("`{0}` is neither ssh://user@host:port/path, s3://bucket/prefix nor an absolute path")]
    Form(String),
    #[error(
        "`{0}` names no bucket: write s3://bucket/prefix, with 3 to 63 of a-z, 0-9, `.` and `-`"
    )]
    Bucket(String),
    #[error(
        "`{0}` names no prefix: write s3://bucket/prefix, of letters, digits, `_`, `-` and `.`"
    )]
    Prefix(String),
    #[cfg(not(feature = "s3"))]
    #[error("`{0}` is in an object store, and this aim was built without them")]
    NoStores(String),
    #[error("`{0}` names no user: write ssh://user@host/path")]
    User(String),
    #[error("`{0}` names no host: write ssh://user@host/path")]
    Host(String),
    #[error("`{text}`: `{port}` is not a port number")]
    Port { text: String, port: String },
    #[error("`{0}` names no directory: write ssh://user@host/path")]
    Path(String),
    #[error("`{0}` holds a password: only keys are used")]
    Password(String),
}

impl std::str::FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if let Some(rest) = text.strip_prefix("ssh://") {
            return ssh(text, rest).map(Self::Ssh);
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            return store(text, rest).map(Self::Store);
        }
        if text.starts_with('/') {
            return Ok(Self::Directory(PathBuf::from(text)));
        }
        Err(InvalidTarget::Form(text.to_owned()))
    }
}

impl Target {
    /// Whether somebody there says what is held, and how far it is.
    pub(crate) fn answers(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

#[cfg(not(feature = "s3"))]
fn store(text: &str, _: &str) -> Result<StorePlace, InvalidTarget> {
    Err(InvalidTarget::NoStores(text.to_owned()))
}

#[cfg(feature = "s3")]
fn store(text: &str, rest: &str) -> Result<StorePlace, InvalidTarget> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fits) {
        return Err(InvalidTarget::Bucket(text.to_owned()));
    }
    let prefix = prefix.trim_end_matches('/');
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(fits);
    if !prefix.split('/').all(is_name) {
        return Err(InvalidTarget::Prefix(text.to_owned()));
    }
    Ok(StorePlace {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn ssh(text: &str, rest: &str) -> Result<SshTarget, InvalidTarget> {
    let (authority, path) = match rest.find('/') {
        Some(slash) if rest.len() > slash + 1 => rest.split_at(slash),
        _ => return Err(InvalidTarget::Path(text.to_owned())),
    };
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) if !user.is_empty() => (user, place),
        _ => return Err(InvalidTarget::User(text.to_owned())),
    };
    if user.contains(':') {
        let shown = text.replacen(user, "user:...", 1);
        return Err(InvalidTarget::Password(shown));
    }
    let (host, port) = host_and_port(place);
    // none begins with a dash, and programs would take it for an option
    if host.is_empty() || host.starts_with('-') {
        return Err(InvalidTarget::Host(text.to_owned()));
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse() {
            Ok(number) if number != 0 => Some(number),
            _ => {
                return Err(InvalidTarget::Port {
                    text: text.to_owned(),
                    port: port.to_owned(),
                });
            }
        },
    };
    Ok(SshTarget {
        user: user.to_owned(),
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(place: &str) -> (&str, Option<&str>) {
    if let Some(rest) = place.strip_prefix('[')
        && let Some((host, after)) = rest.split_once(']')
    {
        return (host, after.strip_prefix(':'));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Ssh(ssh) => ssh.fmt(f),
            Self::Store(store) => write!(f, "s3://{}/{}", store.bucket, store.prefix),
        }
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "ssh://{}@{open}{}{close}", self.user, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_targets_read_back() {
        for (text, shown) in [
            ("ssh://aim@mirror/srv/aim", "ssh://aim@mirror/srv/aim"),
            ("ssh://aim@mirror:2222/m", "ssh://aim@mirror:2222/m"),
            ("ssh://aim@[fd00::1]:99/m", "ssh://aim@[fd00::1]:99/m"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown);
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn places_in_stores_read_back() {
        for (text, shown) in [
            ("s3://aim.backup-1/data", "s3://aim.backup-1/data"),
            ("s3://aim/volumes/data/", "s3://aim/volumes/data"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown);
        }
        let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert!(error("s3://Aim/data").contains("no bucket"));
        assert!(error("s3:///data").contains("no bucket"));
        assert!(error("s3://aim").contains("no prefix"));
        assert!(error("s3://aim/a/../b").contains("no prefix"));
    }

    #[test]
    fn each_missing_part_is_named() {
        let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert!(error("mirror:/srv").contains("neither"));
        assert!(error("ssh://mirror/srv").contains("no user"));
        assert!(error("ssh://aim@:22/srv").contains("no host"));
        assert!(error("ssh://aim@-oProxyCommand=x/srv").contains("no host"));
        assert!(error("ssh://aim@mirror:0/srv").contains("`0` is not a port"));
        assert!(error("ssh://aim@mirror").contains("no directory"));
        let password = error("ssh://aim:secret@mirror/srv");
        assert!(password.contains("password") && !password.contains("secret"));
    }
}

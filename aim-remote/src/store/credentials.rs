//! The access key of a store.

use std::env;

use super::StoreCredentials;
use crate::ssh::read_secret;

/// An access key. The secret is not shown.
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl AccessKey {
    /// Reads it, or says why that is not possible.
    pub(super) fn read(from: &StoreCredentials) -> Result<Self, String> {
        match from {
            StoreCredentials::Environment => {
                Self::complete(|key| env::var(key.to_uppercase()).ok())
                    .map_err(|key| format!("the variable {} is not set", key.to_uppercase()))
            }
            StoreCredentials::File(path) => {
                let text = read_secret(path).map_err(|error| error.to_string())?;
                let lines = parse(&text).map_err(|line| {
                    format!("{}, line {line}, is not understood", path.display())
                })?;
                let find = |key: &str| {
                    let found = lines.iter().find(|(name, _)| *name == key);
                    found.map(|(_, value)| (*value).to_owned())
                };
                Self::complete(find).map_err(|key| format!("{} has no {key}", path.display()))
            }
        }
    }

    /// The error is the key that is missing.
    fn complete(find: impl Fn(&str) -> Option<String>) -> Result<Self, &'static str> {
        let find = |key| find(key).filter(|value| !value.is_empty());
        Ok(Self {
            id: find(ID).ok_or(ID)?,
            secret: find(SECRET).ok_or(SECRET)?,
            token: find(TOKEN),
        })
    }
}

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const TOKEN: &str = "aws_session_token";

/// Keys and values, in order; else the number of a line that is neither. Of several sections it is
/// not known which is meant, so there may be only one.
fn parse(text: &str) -> Result<Vec<(&str, &str)>, usize> {
    let mut values = Vec::new();
    let mut sections = 0;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') && sections == 0 && values.is_empty() {
            sections += 1;
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(index + 1)?;
        values.push((key.trim(), value.trim()));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<AccessKey, String> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("credentials");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = AccessKey::read(&StoreCredentials::File(path.clone()));
        read.map_err(|error| error.replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_file_of_amazons_programs_is_understood() {
        let text = "[default]\n# mine\naws_access_key_id = AK\naws_secret_access_key=a/b=c\n";
        let key = read(text, 0o600).unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("AK", "a/b=c"));
        assert_eq!(key.token, None);
        let text = format!("{text}aws_session_token = T\nregion = eu\n");
        assert_eq!(read(&text, 0o600).unwrap().token.as_deref(), Some("T"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let error = |text, mode| read(text, mode).err().unwrap();
        let good = "aws_access_key_id = AK\naws_secret_access_key = S\n";
        assert!(error(good, 0o640).contains("FILE has mode 640"));
        assert_eq!(
            error("aws_access_key_id = AK\n", 0o600),
            "FILE has no aws_secret_access_key"
        );
        assert_eq!(error("AK:S\n", 0o600), "FILE, line 1, is not understood");
        let two = format!("[a]\n{good}[b]\n{good}");
        assert_eq!(error(&two, 0o600), "FILE, line 4, is not understood");
    }
}

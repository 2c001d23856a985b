//! Files, and what is made of them.

mod apart;
mod line;
mod login;
mod parse;
mod resolve;
#[cfg(feature = "s3")]
mod stores;
mod targets;

use super::load;
use crate::exit::Exit;

const GOOD: &str = r#"
[volume.data]
device = "/dev/vdb"
journal = "/var/lib/aim/data"
target = "ssh://aim@mirror/srv/aim/data"
key = "/etc/aim/key"
known_hosts = "/etc/aim/known_hosts"
"#;

fn problems(text: &str) -> String {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    std::fs::write(&path, text).unwrap();
    match load(&path) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(failure) => {
            assert_eq!(failure.exit, Exit::Usage);
            let shown = failure.to_string();
            shown.replace(&path.display().to_string(), "FILE")
        }
    }
}

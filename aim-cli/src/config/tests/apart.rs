//! What must not be the same, nor lie inside of each other.

use super::{GOOD, problems};
use crate::config::load;

#[test]
fn two_tables_must_not_share_a_device_or_a_directory() {
    let shown = problems(&format!(
        "{GOOD}{}",
        GOOD.replace("volume.data", "volume.two")
    ));
    assert!(
        shown.contains("/dev/vdb is used by [volume.data] and [volume.two]"),
        "{shown}"
    );
    assert!(shown.contains("/var/lib/aim/data is used by"), "{shown}");
}

#[test]
fn journal_and_state_do_not_lie_in_each_other() {
    for (state, is_refused) in [
        ("/var/lib/aim", true),
        ("/var/lib/aim/data", true),
        ("/var/lib/aim/data/state", true),
        ("/var/lib/aim/database", false),
    ] {
        let text = format!("state_dir = \"{state}\"\n{GOOD}");
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.toml");
        std::fs::write(&path, &text).unwrap();
        assert_eq!(load(&path).is_err(), is_refused, "{state}");
        if is_refused {
            let shown = problems(&text);
            assert!(shown.contains("lie in each other"), "{shown}");
        }
    }
}

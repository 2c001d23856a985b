//! A store as the target of a volume, and as the place from where a mirror fetches.

use std::path::PathBuf;

use super::{GOOD, problems};
use crate::config::{Login, load};

#[test]
fn a_store_has_a_login_of_its_own() {
    let at_store = |more: &str| {
        let volume = "[volume.data]\ndevice = \"/dev/vdb\"\njournal = \"/j\"\n";
        format!("{volume}target = \"s3://bucket/data\"\n{more}")
    };
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    let login = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let config = load(&path).unwrap();
        let target = &config.volumes["data"].targets[0];
        assert!(!target.target.answers());
        target.login.clone()
    };
    let given = "endpoint = \"https://store:9000\"\nregion = \"eu-1\"\n\
                 credentials_file = \"/etc/aim/store\"\n";
    let expected = Login::Store {
        endpoint: Some("https://store:9000".to_owned()),
        region: "eu-1".to_owned(),
        credentials: Some(PathBuf::from("/etc/aim/store")),
        allow_http: false,
    };
    assert_eq!(login(&at_store(given)), Some(expected));
    let expected = Login::Store {
        endpoint: None,
        region: "us-east-1".to_owned(),
        credentials: None,
        allow_http: false,
    };
    assert_eq!(login(&at_store("")), Some(expected));
    login(&at_store(
        "endpoint = \"http://store\"\nallow_http = true\n",
    ));
    for (more, expected) in [
        (
            "endpoint = \"http://store\"\n",
            "`endpoint` is not encrypted",
        ),
        ("endpoint = \"store\"\n", "`endpoint` must be https://HOST"),
        (
            "key = \"/k\"\n",
            "`key` has no meaning for a target that is an object store",
        ),
    ] {
        let shown = problems(&at_store(more));
        assert!(shown.contains(expected), "{shown}");
    }
    let shown = problems(&format!("{GOOD}region = \"x\"\n"));
    assert!(
        shown.contains("`region` has no meaning for a target over ssh"),
        "{shown}"
    );
}

#[test]
fn a_mirror_fetches_from_a_store() {
    let mirror = "[mirror.data]\ndevice = \"/dev/vdb\"\ndirectory = \"/d\"\n";
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    let text = format!("{mirror}[mirror.data.fetch]\nurl = \"s3://bucket/data\"\n");
    std::fs::write(&path, text).unwrap();
    let config = load(&path).unwrap();
    let fetch = config.mirrors["data"].fetch.as_ref().unwrap();
    assert_eq!(fetch.target.to_string(), "s3://bucket/data");
    assert!(config.mirrors["data"].targets.is_empty());
    for (more, expected) in [
        (
            "[mirror.data.fetch]\nurl = \"s3://bucket/data\"\nbandwidth = \"1MB\"\n",
            "`bandwidth` has no meaning where files are fetched ([mirror.data.fetch]",
        ),
        (
            "[mirror.data.fetch]\nurl = \"ssh://a@b/c\"\nkey = \"/k\"\nknown_hosts = \"/h\"\n",
            "`url` must be s3://bucket/prefix, or a directory",
        ),
        (
            "target = \"s3://bucket/data\"\n",
            "s3://bucket/data is an object store: a mirror passes on to mirrors only",
        ),
    ] {
        let shown = problems(&format!("{mirror}{more}"));
        assert!(shown.contains(expected), "{shown}");
    }
}

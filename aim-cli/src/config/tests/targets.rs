//! One target or several, of a volume and of a mirror.

use std::num::NonZeroU64;
use std::path::PathBuf;

use aim_core::packed::Level;
use aim_remote::transport::Bandwidth;

use super::{GOOD, problems};
use crate::config::{Key, Login, load};

/// A volume with these tables of targets instead of the one target.
fn with_targets(tables: &str) -> String {
    format!("[volume.data]\ndevice = \"/dev/vdb\"\njournal = \"/var/lib/aim/data\"\n{tables}")
}

#[test]
fn a_volume_has_one_target_or_several_with_names() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    let targets = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let config = load(&path).unwrap();
        let targets = config.volumes["data"].targets.iter();
        let shown = targets.map(|t| (t.name.clone(), t.target.to_string(), t.max_lag));
        shown.collect::<Vec<_>>()
    };
    let only = targets(&format!("{GOOD}max_lag_bytes = \"1GiB\"\n"));
    assert_eq!(only.len(), 1);
    assert_eq!(
        (only[0].0.as_str(), only[0].2.bytes),
        ("target", Some(1 << 30))
    );
    let two = targets(&with_targets(
        "[volume.data.targets.near]\nurl = \"/srv/near\"\n\
         bandwidth = \"1MB\"\n\
         [volume.data.targets.far]\nurl = \"ssh://aim@far/srv\"\nkey = \"/k\"\n\
         key_passphrase_file = \"/p\"\nchannels = 2\ncompression = 3\n\
         known_hosts = \"/h\"\nmax_lag_time = \"2h\"\n",
    ));
    assert_eq!((two[0].0.as_str(), two[1].0.as_str()), ("far", "near"));
    assert!(two[0].1.starts_with("ssh://aim@far") && two[1].1 == "/srv/near");
    let config = load(&path).unwrap();
    let [far, near] = &config.volumes["data"].targets[..] else {
        panic!()
    };
    assert_eq!(far.line.options.compression, Level::new(3));
    assert_eq!(far.line.channels.get(), 2);
    assert_eq!(near.line.options.compression, None);
    let rate = NonZeroU64::new(1_000_000).unwrap();
    assert_eq!(near.line.options.bandwidth, Bandwidth::always(rate));
    let Some(Login::BuiltIn { key, .. }) = &far.login else {
        panic!()
    };
    let passphrase = Some(PathBuf::from("/p"));
    let path = PathBuf::from("/k");
    assert_eq!(*key, Key::File { path, passphrase });
    assert_eq!(near.login, None);
    let age = std::time::Duration::from_secs(7200);
    assert_eq!((two[0].2.age, two[1].2.age), (Some(age), None));
}

#[test]
fn what_is_wrong_with_targets_is_named_with_its_table() {
    let near = "[volume.data.targets.near]\nurl = \"/srv/near\"\n";
    for (text, expected) in [
        (
            format!("{GOOD}{near}"),
            "`target` stands beside `targets`: say it in [volume.data.targets.NAME]",
        ),
        (format!("{GOOD}{near}"), "`key` stands beside `targets`"),
        (
            with_targets(&format!("max_lag_bytes = \"1GiB\"\n{near}")),
            "`max_lag_bytes` stands beside `targets`",
        ),
        (
            with_targets(&format!("ssh_program = \"/usr/bin/ssh\"\n{near}")),
            "`ssh_program` stands beside `targets`",
        ),
        (
            with_targets(&format!("bandwidth = \"1MB\"\n{near}")),
            "`bandwidth` stands beside `targets`",
        ),
        (
            with_targets(&format!("{near}ssh_config = \"/c\"\n")),
            "`ssh_config` has no meaning for a target that is a directory \
             ([volume.data.targets.near]",
        ),
        (
            with_targets(&format!(
                "{near}[volume.data.targets.two]\nurl = \"/srv/near\"\n"
            )),
            "targets `near` and `two` are both /srv/near ([volume.data]",
        ),
        (
            with_targets("[volume.data.targets.near]\n"),
            "`url` is missing ([volume.data.targets.near]",
        ),
        (
            with_targets(&format!("{near}uri = \"x\"\n")),
            "unknown key `uri` ([volume.data.targets.near], line 6",
        ),
        (
            with_targets(&near.replace("near]", "\"a b\"]")),
            "`a b` can't be a name",
        ),
        (
            with_targets("targets = 3\n"),
            "must be followed by a name: `[volume.data.targets.NAME]`",
        ),
        (
            with_targets("[volume.data.targets]\n"),
            "`targets` has 0 tables, must have 1 to 16",
        ),
        (
            with_targets(&format!("{near}max_lag_time = \"1ms\"\n")),
            "`max_lag_time` is 1 ms, must be from 1 s",
        ),
    ] {
        let shown = problems(&text);
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

const MIRROR: &str = "[mirror.data]\ndevice = \"/dev/vdb\"\ndirectory = \"/srv/aim/data\"\n";

#[test]
fn a_mirror_passes_on_to_nobody_or_to_targets_like_those_of_a_volume() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    let load = |more: &str| {
        std::fs::write(&path, format!("{MIRROR}{more}")).unwrap();
        load(&path)
    };
    let places = |more: &str| {
        let config = load(more).unwrap();
        let targets = config.mirrors["data"].targets.iter();
        let shown = targets.map(|target| format!("{} {}", target.name, target.target));
        shown.collect::<Vec<_>>()
    };
    assert!(places("").is_empty());
    assert_eq!(places("target = \"/srv/third\"\n"), ["target /srv/third"]);
    let two = "[mirror.data.targets.b]\nurl = \"/srv/b\"\nmax_lag_bytes = \"1GiB\"\n\
               [mirror.data.targets.a]\nurl = \"/srv/a\"\n";
    assert_eq!(places(two), ["a /srv/a", "b /srv/b"]);
    for (wrong, expected) in [
        ("max_lag_time = \"1h\"\n", "`target` is missing"),
        (
            "[mirror.data.targets.a]\nurll = \"/srv/a\"\n",
            "did you mean `url`",
        ),
        (
            "target = \"/srv/b\"\n[mirror.data.targets.a]\nurl = \"/srv/a\"\n",
            "say it in [mirror.data.targets.NAME]",
        ),
    ] {
        let failure = load(wrong).unwrap_err();
        let shown = format!("{failure:?}");
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

//! From a file to a configuration, or to everything that is wrong with it.

use std::path::Path;

use super::typed::Config;
use super::{parse, resolve};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// Read when `--config` is not given.
pub(crate) const DEFAULT_PATH: &str = "/etc/aim/aim.toml";

/// Reads and understands a configuration, without looking at the devices that it names.
///
/// # Errors
///
/// All mistakes at once, each with its table and line.
pub(crate) fn load(path: &Path) -> Outcome<Config> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Problem::new("can't read the configuration")
            .at(path.display())
            .hint("name the file with --config FILE; docs/operations.md has an example")
            .io(&error)
    })?;
    let (tables, problems) = parse::parse(path, &text);
    // a misspelt key is also a missing one: to name both would mislead
    refuse(problems)?;
    let (config, problems) = resolve::resolve(path, tables);
    refuse(problems)?;
    Ok(config)
}

fn refuse(problems: Vec<Problem>) -> Outcome<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure {
        exit: Exit::Usage,
        problems,
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::path::PathBuf;

    use aim_core::packed::Level;
    use aim_remote::ship::LineOptions;
    use aim_remote::transport::Bandwidth;

    use super::*;
    use crate::config::{Key, Login, OnJournalFull, ReadPath};

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

    const GOOD: &str = r#"
[volume.data]
device = "/dev/vdb"
journal = "/var/lib/aim/data"
target = "ssh://aim@mirror/srv/aim/data"
key = "/etc/aim/key"
known_hosts = "/etc/aim/known_hosts"
"#;

    #[test]
    fn defaults_fill_what_is_left_out() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.toml");
        std::fs::write(&path, GOOD).unwrap();
        let config = load(&path).unwrap();
        let volume = &config.volumes["data"];
        assert_eq!(config.run_dir, Path::new("/run/aim"));
        assert_eq!((volume.depth, volume.request_bytes), (64, 128 << 10));
        assert_eq!(
            (volume.threads_per_queue, volume.read_path),
            (1, ReadPath::Copy)
        );
        assert_eq!(
            (volume.seal_bytes, volume.max_hot_bytes),
            (16 << 20, 4 << 30)
        );
        assert_eq!(volume.state, Path::new("/var/lib/aim/state/data"));
        assert_eq!(volume.on_journal_full, OnJournalFull::Track);
        assert_eq!((volume.journal_bytes, volume.verify_every), (None, None));
    }

    #[test]
    fn what_is_given_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.toml");
        let more = "on_journal_full = \"block\"\njournal_bytes = \"1GiB\"\n\
            resync_rate = \"20MiB\"\nverify_rate = \"1MiB\"\nverify_every = \"7d\"\n\
            threads_per_queue = 2\nread_path = \"zero-copy\"\nmax_hot_bytes = \"1GiB\"\n";
        let text = format!("state_dir = \"/var/lib/state\"\n{GOOD}{more}");
        std::fs::write(&path, text).unwrap();
        let config = load(&path).unwrap();
        let volume = &config.volumes["data"];
        assert_eq!(volume.state, Path::new("/var/lib/state/data"));
        assert_eq!(volume.on_journal_full, OnJournalFull::Block);
        assert_eq!(volume.journal_bytes, Some(1 << 30));
        assert_eq!(
            (volume.threads_per_queue, volume.read_path),
            (2, ReadPath::ZeroCopy)
        );
        assert_eq!(volume.max_hot_bytes, 1 << 30);
        let rates = (volume.resync_rate, volume.verify_rate);
        assert_eq!(rates, (Some(20 << 20), Some(1 << 20)));
        let week = std::time::Duration::from_secs(7 * 86_400);
        assert_eq!(volume.verify_every, Some(week));
    }

    #[test]
    fn a_line_is_as_it_is_given() {
        let line = |more: &str| {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("aim.toml");
            std::fs::write(&path, format!("{GOOD}{more}")).unwrap();
            load(&path).unwrap().volumes["data"].targets[0].line.clone()
        };
        let default = line("");
        assert_eq!(default.options, LineOptions::default());
        assert_eq!(line("compression = \"off\"\n"), default);
        let given = line("channels = 3\ncompression = 5\nbandwidth = \"20MB\"\n");
        assert_eq!((given.channels.get(), given.options.files.get()), (3, 6));
        let given = given.options;
        assert_eq!(given.compression, Level::new(5));
        let rate = NonZeroU64::new(20_000_000).unwrap();
        assert_eq!(given.bandwidth, Bandwidth::always(rate));
        let by_hours = line(
            "bandwidth = [{ from = \"08:00\", to = \"18:00\", rate = \"2MB\" }, \
             { from = \"02:00\", to = \"03:00\", rate = \"none\" }, { rate = \"20MB\" }]\n",
        );
        let at = |text: &str| by_hours.options.bandwidth.at(text.parse().unwrap());
        assert_eq!(at("12:00"), NonZeroU64::new(2_000_000));
        assert_eq!((at("02:30"), at("18:00")), (None, Some(rate)));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_table_and_a_near_spelling() {
        let text = GOOD.replace("device =", "devcie =");
        assert_eq!(
            problems(&text),
            "error: unknown key `devcie` ([volume.data], line 3 of FILE)\nhint: did you mean `device`?"
        );
    }

    #[test]
    fn a_foreign_key_lists_the_known_ones() {
        let text = format!("{GOOD}colour = 3\n[log]\nlevel = \"info\"\nfile = \"x\"\n");
        let shown = problems(&text);
        assert!(
            shown.contains("unknown key `colour` ([volume.data], line 8"),
            "{shown}"
        );
        assert!(
            shown.contains("hint: known keys: device, journal, target"),
            "{shown}"
        );
        assert!(
            shown.contains("unknown key `file` ([log], line 11"),
            "{shown}"
        );
        let top = problems("[volumes.data]\ndevice = \"/dev/vdb\"\n");
        assert!(
            top.contains("unknown key `volumes` (the top of the file, line 1"),
            "{top}"
        );
        assert!(top.contains("did you mean `volume`?"), "{top}");
    }

    #[test]
    fn wrong_types_and_units_show_their_line() {
        let shown = problems(&format!("{GOOD}seal_bytes = \"64M\"\n"));
        assert!(shown.contains("`64M` needs a unit"), "{shown}");
        assert!(
            shown.contains("line 8 of FILE: `seal_bytes = \"64M\"`"),
            "{shown}"
        );
        let shown = problems(&format!("{GOOD}queues = \"two\"\n"));
        assert!(shown.contains("invalid type: string \"two\""), "{shown}");
        let shown = problems("[volume.data\n");
        assert!(shown.contains("line 1 of FILE"), "{shown}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (line, expected) in [
            ("queues = 0", "`queues` is 0, must be from 1 to 32"),
            ("depth = 9999", "`depth` is 9999"),
            (
                "threads_per_queue = 0",
                "`threads_per_queue` is 0, must be from 1 to 64",
            ),
            (
                "read_path = \"direct\"",
                "unknown variant `direct`, expected `copy` or `zero-copy`",
            ),
            (
                "seal_bytes = \"2GiB\"",
                "`seal_bytes` is 2 GiB, must be from 1 MiB to 512 MiB",
            ),
            (
                "seal_after = \"0s\"",
                "`seal_after` is 0 s, must be from 10 ms to 1 h",
            ),
            (
                "on_journal_full = \"drop\"",
                "unknown variant `drop`, expected `track` or `block`",
            ),
            (
                "journal_bytes = \"1MiB\"",
                "`journal_bytes` is 1 MiB, must be from 4 MiB",
            ),
            (
                "journal_bytes = \"63MiB\"",
                "must be at least 4 times `seal_bytes`, which is 16 MiB",
            ),
            ("resync_rate = \"1B\"", "`resync_rate` is 1 B, must be from"),
            (
                "verify_rate = 0",
                "`verify_rate` is 0 B, must be from 64 KiB",
            ),
            (
                "verify_every = \"30s\"",
                "`verify_every` is 30 s, must be from 1 m to 366 d",
            ),
            (
                "request_bytes = \"5000B\"",
                "`request_bytes` is 5000 bytes, must be a multiple",
            ),
            ("channels = 0", "`channels` is 0, must be from 1 to 64"),
            (
                "compression = 20",
                "expected \"off\" or a level from 1 to 19",
            ),
            ("compression = \"fast\"", "\"fast\", expected \"off\""),
            (
                "bandwidth = \"1kB\"",
                "`bandwidth` is 1000 B, must be from 64 KiB",
            ),
            (
                "bandwidth = \"fast\"",
                "`fast` does not begin with a whole number",
            ),
            (
                "bandwidth = [{ from = \"08:00\", rate = \"1MB\" }]",
                "`bandwidth`: `from` and `to` go together",
            ),
            (
                "bandwidth = [{ from = \"8\", to = \"9\", rate = \"1MB\" }]",
                "`8` is not a time of day",
            ),
            (
                "bandwidth = [{ form = \"08:00\", rate = \"1MB\" }]",
                "unknown field `form`",
            ),
            ("max_hot_bytes = \"1MiB\"", "`max_hot_bytes` is 1 MiB"),
            ("staging_bytes = \"1KiB\"", "`staging_bytes` is 1 KiB"),
        ] {
            let shown = problems(&format!("{GOOD}{line}\n"));
            assert!(shown.contains(expected), "{line}: {shown}");
        }
    }

    #[test]
    fn what_is_missing_or_relative_is_named() {
        let shown = problems("[mirror.m]\ndevice = \"vdb\"\n");
        assert!(
            shown.contains("`device` is `vdb`, must be an absolute path ([mirror.m]"),
            "{shown}"
        );
        assert!(
            shown.contains("`directory` is missing ([mirror.m]"),
            "{shown}"
        );
        let shown = problems("");
        assert!(shown.contains("neither a volume nor a mirror"), "{shown}");
        let shown = problems(&GOOD.replace("volume.data", "volume.\"a/b\""));
        assert!(shown.contains("`a/b` can't be a name"), "{shown}");
    }

    #[test]
    fn login_belongs_to_ssh_and_only_there() {
        let shown = problems(&GOOD.replace("key = \"/etc/aim/key\"\n", ""));
        assert!(shown.contains("`key` is missing"), "{shown}");
        let shown = problems(&GOOD.replace("ssh://aim@mirror/srv", "/srv"));
        assert!(
            shown.contains("`key` has no meaning for a target that is a directory"),
            "{shown}"
        );
    }

    #[cfg(feature = "s3")]
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

    #[cfg(feature = "s3")]
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

    #[test]
    fn each_way_to_log_in_has_its_keys() {
        let login = |lines: &str| {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("aim.toml");
            let old = "key = \"/etc/aim/key\"\nknown_hosts = \"/etc/aim/known_hosts\"\n";
            let text = GOOD.replace(old, lines);
            std::fs::write(&path, &text).unwrap();
            match load(&path) {
                Ok(config) => config.volumes["data"].targets[0].login.clone().unwrap(),
                Err(_) => panic!("{}", problems(&text)),
            }
        };
        let file = |passphrase: Option<&str>| Key::File {
            path: "/k".into(),
            passphrase: passphrase.map(Into::into),
        };
        let agent = |socket: Option<&str>| Key::Agent {
            socket: socket.map(Into::into),
        };
        for (lines, expected) in [
            ("key = \"/k\"\n", file(None)),
            (
                "key = \"/k\"\nkey_passphrase_file = \"/p\"\n",
                file(Some("/p")),
            ),
            ("key = \"agent\"\n", agent(None)),
            (
                "key = \"agent\"\nagent_socket = \"/s\"\n",
                agent(Some("/s")),
            ),
        ] {
            let known_hosts = "/h".into();
            let key = expected;
            let expected = Login::BuiltIn { key, known_hosts };
            assert_eq!(login(&format!("{lines}known_hosts = \"/h\"\n")), expected);
        }
        for (lines, config) in [
            ("ssh_program = \"/usr/bin/ssh\"\n", None),
            (
                "ssh_program = \"/usr/bin/ssh\"\nssh_config = \"/c\"\n",
                Some("/c".into()),
            ),
        ] {
            let path = "/usr/bin/ssh".into();
            assert_eq!(login(lines), Login::Program { path, config });
        }
    }

    #[test]
    fn keys_of_another_way_to_log_in_are_refused() {
        for (line, expected) in [
            (
                "key_passphrase_file = \"p\"",
                "`key_passphrase_file` is `p`, must be an absolute",
            ),
            (
                "agent_socket = \"/s\"",
                "`agent_socket` has no meaning without `key = \"agent\"`",
            ),
            (
                "ssh_config = \"/c\"",
                "`ssh_config` has no meaning without `ssh_program`",
            ),
            (
                "ssh_program = \"/usr/bin/ssh\"",
                "`key` has no meaning with `ssh_program`",
            ),
            (
                "ssh_program = \"/usr/bin/ssh\"",
                "`known_hosts` has no meaning with `ssh_program`",
            ),
        ] {
            let shown = problems(&format!("{GOOD}{line}\n"));
            assert!(shown.contains(expected), "{line}: {shown}");
        }
        let agent = GOOD.replace("/etc/aim/key\"", "agent\"\nkey_passphrase_file = \"/p\"");
        let shown = problems(&agent);
        let expected = "`key_passphrase_file` has no meaning with `key = \"agent\"`";
        assert!(shown.contains(expected), "{shown}");
    }

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
}

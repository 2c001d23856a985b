//! Defaults, ranges, names.

use std::path::Path;

use super::{GOOD, problems};
use crate::config::{OnJournalFull, ReadPath, load};

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

//! A mirror that reads from a store, for which a folder stands here.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use aim_core::cursor::{StoreCursor, StoredFile};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::ParsedFile;
use aim_core::state_file::StateFile;

use crate::run::{Daemon, Host};
use crate::series::Series;

/// Puts the last file of the series into the store, as a source does.
fn store_last(series: &Series, store: &Path) {
    let file = series.files.last().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    std::fs::create_dir_all(store.join("incoming")).unwrap();
    std::fs::copy(file, store.join("incoming").join(name)).unwrap();
    let folder = HostDirectory::open(file.parent().unwrap()).unwrap();
    let parsed = ParsedFile::open(folder.open(name, false).unwrap()).unwrap();
    let (header, position) = (parsed.header(), parsed.position().unwrap());
    let root: Arc<dyn Directory> = HostDirectory::open(store).unwrap();
    let cursor = StoreCursor::load(&*root).unwrap();
    let mut cursor = cursor.unwrap_or_else(|| StoreCursor::new(header.volume.id));
    let stored = StoredFile::new(position, header.created, &header.seal.unwrap());
    assert!(cursor.take(&stored));
    cursor.store(&*root).unwrap();
}

#[test]
fn a_running_mirror_fetches_what_is_in_the_store() {
    let mut series = Series::new();
    series.add_baseline_file();
    let host = Host::bare();
    let store = host.path("store");
    // an object store needs no folders to be made
    std::fs::create_dir_all(store.join("readers")).unwrap();
    series.store_identity(&store);
    let mut config = std::fs::OpenOptions::new()
        .append(true)
        .open(host.path("aim.toml"))
        .unwrap();
    let table = format!("[mirror.data.fetch]\nurl = \"{}\"\n", store.display());
    config.write_all(table.as_bytes()).unwrap();
    host.aim(&["init", "data"]).exits(0);
    store_last(&series, &store);

    let daemon = Daemon::start(&host);
    let report = loop {
        let report = host.aim(&["status", "--json"]).json()["mirrors"][0].clone();
        if report["applied_lsn"] == 13 && report["fetch"]["waiting_files"] == 0 {
            break report;
        }
        std::thread::yield_now();
    };
    assert_eq!(report["waits_for_baseline"], false, "{report}");
    assert_eq!(report["last_error"], serde_json::Value::Null, "{report}");
    let disk = std::fs::read(host.path("disk.img")).unwrap();
    let (first, rest) = disk.split_at(512);
    assert!(first.iter().all(|byte| *byte == 5) && rest.iter().all(|byte| *byte == 0));
    host.aim(&["wait", "data", "--timeout", "60s"]).exits(0);
    assert_eq!(daemon.stop(), 0);
    // whoever tidies the store up sees that it follows
    let readers = std::fs::read_dir(store.join("readers")).unwrap();
    assert_eq!(readers.count(), 1);
}

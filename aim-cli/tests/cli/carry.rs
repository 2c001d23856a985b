//! `aim journal export` and `import`: a series in a directory that travels.

use std::fs;
use std::path::{Path, PathBuf};

use crate::journal::flip;
use crate::program::{Ran, aim, text};
use crate::run::{Daemon, Host};
use crate::series::Series;

/// A source whose journal is that of a series, and a directory that travels.
struct Source {
    series: Series,
    usb: PathBuf,
}

impl Source {
    fn new() -> Self {
        let series = Series::new();
        series.store_identity(Path::new(series.root()));
        let usb = series.path("usb");
        fs::create_dir(&usb).unwrap();
        let config = format!(
            "[volume.data]\ndevice = \"/nonexistent\"\njournal = \"{}\"\ntarget = \"/nonexistent\"\n",
            series.root()
        );
        fs::write(series.path("aim.toml"), config).unwrap();
        Self { series, usb }
    }

    fn export(&self, more: &[&str]) -> Ran {
        let config = self.series.path("aim.toml");
        let export = ["journal", "export", "data", text(&self.usb), "--json"];
        aim(&[&export, more, &["-c", text(&config)]].concat())
    }

    /// The names that journal files have in the directory.
    fn exported(&self) -> Vec<String> {
        names(&self.usb)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let all = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = all.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn import(host: &Host, directory: &Path) -> Ran {
    host.aim(&["journal", "import", "data", text(directory), "--json"])
}

#[test]
fn what_is_still_there_is_exported_and_gone_on_with() {
    let source = Source::new();
    let files = &source.series.files;
    // cut off in the middle of the second file
    let leftover = source.usb.join(format!("{}.copy.tmp", name(&files[1])));
    fs::write(&leftover, b"half").unwrap();
    fs::copy(&files[0], source.usb.join(name(&files[0]))).unwrap();
    let done = source.export(&[]).exits(0).json();
    assert_eq!(
        (&done["files"], &done["already_there"]),
        (&2.into(), &1.into())
    );
    assert_eq!(done["missing"], serde_json::json!([]));
    let expected: Vec<String> = files.iter().map(|file| name(file)).collect();
    let expected = [&expected[..], &["volume.id".to_owned()]].concat();
    assert_eq!(source.exported(), expected);
    for file in files {
        assert!(fs::read(file).unwrap() == fs::read(source.usb.join(name(file))).unwrap());
    }
    aim(&["journal", "verify", text(&source.usb)]).exits(0);
    let again = source.export(&[]).exits(0).json();
    assert_eq!(
        (&again["files"], &again["already_there"]),
        (&0.into(), &3.into())
    );
}

#[test]
fn what_the_series_no_longer_has_is_said() {
    let source = Source::new();
    let files = source.series.files.clone();
    fs::remove_file(&files[0]).unwrap();
    // that the oldest ones are gone is the rule
    let done = source.export(&[]).exits(0).json();
    assert_eq!(
        done["missing"],
        serde_json::json!([{"first": 1, "last": 1}])
    );
    let done = source.export(&["--from", "1"]).exits(15).json();
    assert_eq!(
        done["missing"],
        serde_json::json!([{"first": 1, "last": 1}])
    );
    let done = source.export(&["--from", "2"]).exits(0).json();
    assert_eq!(
        (&done["already_there"], &done["missing"]),
        (&2.into(), &serde_json::json!([]))
    );
    // one in the middle is not
    let second = source.usb.join(name(&files[1]));
    fs::rename(&second, source.usb.join(name(&files[0]))).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let done = source.export(&[]).exits(15).json();
    assert_eq!(
        done["missing"],
        serde_json::json!([{"first": 2, "last": 2}])
    );
}

#[test]
fn a_damaged_file_is_not_exported_and_the_others_are() {
    let source = Source::new();
    let files = &source.series.files;
    flip(&files[1], files[1].metadata().unwrap().len() - 1);
    let done = source.export(&[]).exits(14).json();
    assert_eq!(done["files"], 2);
    assert!(
        done["damaged"][0]["file"]
            .as_str()
            .unwrap()
            .ends_with(&name(&files[1]))
    );
    let expected = [name(&files[0]), name(&files[2]), "volume.id".to_owned()];
    assert_eq!(source.exported(), expected);
    // what lies there under its name and is not whole is replaced
    flip(&files[1], files[1].metadata().unwrap().len() - 1);
    fs::write(source.usb.join(name(&files[1])), b"cut").unwrap();
    assert_eq!(source.export(&[]).exits(0).json()["files"], 1);
    aim(&["journal", "verify", text(&source.usb)]).exits(0);
}

#[test]
fn the_directory_must_be_there_and_of_this_volume() {
    let source = Source::new();
    fs::remove_dir(&source.usb).unwrap();
    source.export(&[]).exits(10).says("mount what it is on");
    fs::create_dir(&source.usb).unwrap();
    Series::new().store_identity(&source.usb);
    source.export(&[]).exits(15).says("belongs to volume");
    assert_eq!(source.exported(), ["volume.id"]);
    // another one at the same time
    let lock = fs::File::create(source.usb.join(".aim-journal.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    source.export(&[]).exits(11);
}

#[test]
fn a_running_mirror_applies_what_is_imported() {
    let mut source = Source::new();
    source.series.pack(1);
    let host = Host::new(&source.series);
    let daemon = Daemon::start(&host);
    let bring = |index: usize| {
        let file = &source.series.files[index];
        fs::copy(file, source.usb.join(name(file))).unwrap();
    };
    bring(1);
    let done = import(&host, &source.usb).exits(15).json();
    let first = serde_json::json!([{"first": 1, "last": 1}]);
    assert_eq!((&done["files"], &done["missing"]), (&1.into(), &first));
    // what waits is packed, and is counted and dated as any other
    let waiting = loop {
        let report = host.aim(&["status", "--json"]).json();
        if report["mirrors"][0]["waiting_files"] == 1 {
            break report["mirrors"][0].clone();
        }
    };
    assert!(
        waiting["latency_seconds"].as_f64().unwrap() > 1e6,
        "{waiting}"
    );
    assert!(waiting["seconds_left"].is_null(), "{waiting}");
    bring(2);
    let done = import(&host, &source.usb).exits(15).json();
    assert_eq!(
        (&done["files"], &done["already_there"]),
        (&1.into(), &1.into())
    );
    // the folder of a journal will do as well
    import(&host, Path::new(source.series.root())).exits(0);
    host.aim(&["wait", "data", "--timeout", "60s"]).exits(0);
    let done = import(&host, Path::new(source.series.root()))
        .exits(0)
        .json();
    assert_eq!(
        (&done["files"], &done["already_applied"]),
        (&0.into(), &3.into())
    );
    assert_eq!(daemon.stop(), 0);
    source.series.assert_applied(&host.path("disk.img"));
}

#[test]
fn nothing_damaged_or_foreign_is_imported() {
    let source = Source::new();
    let files = &source.series.files;
    let host = Host::new(&source.series);
    let other = Series::new();
    for file in files.iter().chain([&other.files[0]]) {
        fs::copy(file, source.usb.join(name(file))).unwrap();
    }
    let first = source.usb.join(name(&files[0]));
    flip(&first, first.metadata().unwrap().len() - 1);
    // whole, and another one than its name says
    fs::copy(&files[0], source.usb.join(name(&files[1]))).unwrap();
    let done = import(&host, &source.usb).exits(14).json();
    let refused: Vec<_> = (done["refused"].as_array().unwrap().iter())
        .map(|refused| {
            (
                refused["error"].as_str().unwrap(),
                refused["is_foreign"] == true,
            )
        })
        .collect();
    assert_eq!(refused.len(), 3, "{done}");
    for (because, is_foreign) in [
        ("checksum", false),
        ("inside it is", false),
        ("of volume", true),
    ] {
        let found = refused
            .iter()
            .any(|(why, foreign)| why.contains(because) && *foreign == is_foreign);
        assert!(found, "{because}: {done}");
    }
    assert_eq!(names(&host.path("mirror/incoming")), [name(&files[2])]);
    assert_eq!(
        done["missing"],
        serde_json::json!([{"first": 1, "last": 2}])
    );
    other.store_identity(&source.usb);
    import(&host, &source.usb)
        .exits(15)
        .says("belongs to volume");
    host.aim(&["journal", "import", "nobody", text(&source.usb)])
        .exits(10);
}

/// Who exports from a mirror gets what it has not applied.
#[test]
fn a_mirror_hands_on_what_waits() {
    let mut source = Source::new();
    source.series.pack(2);
    let host = Host::new(&source.series);
    import(&host, Path::new(source.series.root())).exits(0);
    let report = host.aim(&["status", "--json"]).exits(3).json();
    assert_eq!(report["mirrors"][0]["waiting_files"], 3);
    let next = host.path("next");
    fs::create_dir(&next).unwrap();
    let done = host
        .aim(&["journal", "export", "data", text(&next), "--json"])
        .exits(0);
    assert_eq!(done.json()["files"], 3);
    aim(&["journal", "verify", text(&next)]).exits(0);
}

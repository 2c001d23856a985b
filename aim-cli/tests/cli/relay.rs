//! A mirror host that passes on what it receives to a third one.

use std::io::Write;

use serde_json::Value;

use crate::program::Ran;
use crate::run::{Daemon, Host};
use crate::series::Series;

/// Has `host` pass on what it receives to `third`.
fn pass_on(host: &Host, third: &Host) {
    let mut config = std::fs::OpenOptions::new()
        .append(true)
        .open(host.path("aim.toml"))
        .unwrap();
    let table = format!(
        "[mirror.data.targets.third]\nurl = \"{}\"\n",
        third.path("mirror").display()
    );
    config.write_all(table.as_bytes()).unwrap();
}

fn init(host: &Host) -> Ran {
    host.aim(&["init", "data", "--json"])
}

fn mirror(host: &Host) -> Value {
    let report = host.aim(&["status", "--json"]).json();
    report["mirrors"][0].clone()
}

fn until(host: &Host, is_there: impl Fn(&Value) -> bool) -> Value {
    loop {
        let report = mirror(host);
        if is_there(&report) {
            return report;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_third_waits_for_a_baseline_and_follows_from_there_on() {
    let mut series = Series::new();
    let (relay, third) = (Host::new(&series), Host::bare());
    let disk = third.path("disk.img");
    let blocks = std::fs::metadata(&disk).unwrap().len();
    std::fs::write(&disk, vec![7; blocks as usize]).unwrap();
    pass_on(&relay, &third);
    third.aim(&["init", "data"]).exits(10);
    assert_eq!(init(&relay).exits(0).json()["status"], "completed");
    assert_eq!(
        init(&relay).exits(0).json()["status"],
        "already_initialized"
    );
    assert_eq!(init(&third).exits(0).json()["status"], "initialized");
    third
        .aim(&["status"])
        .exits(3)
        .prints("WAITS: nobody asks what this disk holds");
    let daemons = [Daemon::start(&relay), Daemon::start(&third)];
    (0..3).for_each(|file| relay.bring(&series.files[file]));
    let report = until(&relay, |mirror| mirror["targets"][0]["standing"] == "joins");
    assert!(report["baseline_wanted_lsn"].as_u64().is_some(), "{report}");
    until(&relay, |mirror| mirror["applied_lsn"] == 9);
    relay
        .aim(&["status"])
        .exits(3)
        .prints("target third: joins");
    assert_eq!(mirror(&third)["waits_for_baseline"], true);
    series.assert_applied(&relay.path("disk.img"));
    let before = std::fs::read(third.path("disk.img")).unwrap();
    assert!(before.iter().all(|byte| *byte == 7));

    // what the source does then
    series.add_baseline_file();
    relay.bring(&series.files[3]);
    until(&third, |mirror| mirror["applied_lsn"] == 13);
    until(&relay, |mirror| {
        mirror["targets"][0]["standing"] == "follows"
    });
    let wait = [
        "wait",
        "data",
        "--target",
        "third",
        "--json",
        "--timeout",
        "60s",
    ];
    assert_eq!(relay.aim(&wait).exits(0).json()["applied_lsn"], 13);
    let wait = ["wait", "data", "--target", "fourth"];
    relay.aim(&wait).exits(10).says("it has: third");
    let report = mirror(&relay);
    assert_eq!(report["baseline_wanted_lsn"], Value::Null, "{report}");
    for host in [&relay, &third] {
        let disk = std::fs::read(host.path("disk.img")).unwrap();
        let (first, rest) = disk.split_at(512);
        assert!(first.iter().all(|byte| *byte == 5) && rest.iter().all(|byte| *byte == 0));
        host.aim(&["status"]).exits(0);
    }
    let doctor = relay.aim(&["doctor", "data", "--json"]).json();
    let pairing =
        doctor["findings"].as_array().unwrap().iter().find(|found| {
            found["about"] == "mirror.data.targets.third" && found["check"] == "pairing"
        });
    assert_eq!(pairing.unwrap()["verdict"], "ok", "{doctor}");
    for daemon in daemons {
        assert_eq!(daemon.stop(), 0);
    }
}

#[test]
fn a_mirror_that_the_source_ships_to_is_not_taken_for_one_behind_a_relay() {
    let series = Series::new();
    let (relay, third) = (Host::new(&series), Host::new(&series));
    pass_on(&relay, &third);
    init(&relay)
        .exits(2)
        .says("made to be shipped to by the source");
    // and if it is not asked, nothing is shipped
    let daemon = Daemon::start(&relay);
    relay.bring(&series.files[0]);
    let report = until(&relay, |mirror| mirror["state"] == "retrying");
    let error = report["last_error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("does not know that it stands behind a relay"),
        "{error}"
    );
    let incoming = third.path("mirror/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
    assert_eq!(daemon.stop(), 0);
}

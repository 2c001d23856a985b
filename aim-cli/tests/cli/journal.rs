//! `aim journal`: on files that a writer made, whole, damaged and incomplete.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::program::{aim, text};
use crate::series::{SIZE, Series};

pub(crate) fn flip(path: &PathBuf, at: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn ls_shows_the_series_in_order() {
    let series = Series::new();
    let rows = aim(&["journal", "ls", series.root(), "--json"])
        .exits(0)
        .json();
    let states: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["sealed", "sealed", "sealed", "open"]);
    assert_eq!(rows[2]["first_lsn"], 7);
    assert_eq!(rows[2]["last_lsn"], 9);
    let shown = aim(&["journal", "ls", series.root()]).exits(0).stdout;
    assert!(
        shown.contains("2023-11-14T22:13:20.000000Z outgoing/"),
        "{shown}"
    );
    flip(&series.files[1], 100);
    let shown = aim(&["journal", "ls", series.root()]).exits(14).stdout;
    assert!(
        shown.contains("damaged") && shown.contains("checksum"),
        "{shown}"
    );
    aim(&["journal", "ls", "/nonexistent"]).exits(10);
}

#[test]
fn inspect_shows_header_and_records() {
    let series = Series::new();
    let file = text(&series.files[1]);
    let all = aim(&["journal", "inspect", file, "--json"]).exits(0).json();
    assert_eq!(all["header"]["file_number"], 2);
    assert_eq!(all["header"]["devices"][0]["size"], SIZE);
    let operations: Vec<&str> = all["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["operation"].as_str().unwrap())
        .collect();
    assert_eq!(operations, ["write", "write_zeroes", "flush"]);
    assert_eq!(all["records"][0]["offset"], 1024);
    let shown = aim(&["journal", "inspect", file]).exits(0).stdout;
    assert!(shown.contains("digest before"), "{shown}");
    aim(&["journal", "inspect", text(&series.path("disk.img"))])
        .exits(14)
        .says("not a journal file");
    aim(&["journal", "inspect", "/nonexistent.aim"]).exits(10);
}

#[test]
fn verify_tells_damage_from_gaps() {
    let series = Series::new();
    aim(&["journal", "verify", series.root()]).exits(0);
    let without_second = [text(&series.files[0]), text(&series.files[2])];
    let ran = aim(&[
        "journal",
        "verify",
        without_second[0],
        without_second[1],
        "--json",
    ])
    .exits(15);
    assert_eq!(ran.json()["files"][1]["result"], "gap");
    let other = Series::new();
    aim(&["journal", "verify", series.root(), other.root()]).exits(15);
    let length = series.files[1].metadata().unwrap().len();
    flip(&series.files[1], length - 1);
    let ran = aim(&["journal", "verify", series.root(), "--json"]).exits(14);
    let results = ran.json();
    assert_eq!(results["files"][0]["result"], "ok");
    assert_eq!(results["files"][1]["result"], "damaged");
    assert_eq!(results["files"][2]["result"], "ok");
}

#[test]
fn apply_gives_the_disk_and_a_dry_run_leaves_it() {
    let series = Series::new();
    let disk = series.path("disk.img");
    let run = |more: &[&str]| {
        let mut arguments = vec![
            "journal",
            "apply",
            series.root(),
            "--device",
            text(&disk),
            "--json",
        ];
        arguments.extend(more);
        aim(&arguments)
    };
    let dry = run(&["--dry-run"]).exits(0).json();
    assert_eq!((&dry["files"], &dry["last_lsn"]), (&3.into(), &9.into()));
    assert!(std::fs::read(&disk).unwrap().iter().all(|byte| *byte == 0));
    let done = run(&[]).exits(0).json();
    assert_eq!(done["bytes_written"], 3 * 512);
    series.assert_applied(&disk);
}

#[test]
fn apply_wants_the_start_of_the_series_or_the_word_of_the_operator() {
    let series = Series::new();
    let disk = series.path("disk.img");
    let (second, third) = (text(&series.files[1]), text(&series.files[2]));
    let rest = ["journal", "apply", second, third, "--device", text(&disk)];
    aim(&rest).exits(15).says("say --after 1");
    aim(&[&rest[..], &["--after", "1"]].concat()).exits(0);
    let gap = [
        "journal",
        "apply",
        text(&series.files[0]),
        third,
        "--device",
        text(&disk),
    ];
    aim(&gap).exits(15).says("file 2");
}

#[test]
fn apply_refuses_a_damaged_file_and_a_wrong_disk() {
    let series = Series::new();
    let disk = series.path("disk.img");
    flip(&series.files[0], 5000);
    let apply = ["journal", "apply", series.root(), "--device", text(&disk)];
    aim(&apply)
        .exits(14)
        .says("a damaged file is never applied");
    assert!(std::fs::read(&disk).unwrap().iter().all(|byte| *byte == 0));
    flip(&series.files[0], 5000);
    std::fs::File::options()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(SIZE * 2)
        .unwrap();
    aim(&apply)
        .exits(2)
        .says("has 2097152 bytes, on the source it has 1048576");
    aim(&[
        "journal",
        "apply",
        series.root(),
        "--device",
        "/nonexistent",
    ])
    .exits(10);
}

#[test]
fn groups_and_verify_records_are_shown() {
    let mut series = Series::new();
    series.add_group();
    let more = series.path("more");
    let rows = aim(&["journal", "ls", text(&more), "--json"])
        .exits(0)
        .json();
    let groups = |at: usize| {
        let row = &rows[at];
        (
            row["open_group_lsn"].as_u64(),
            row["open_group_at_end_lsn"].as_u64(),
        )
    };
    assert_eq!(
        [groups(0), groups(1), groups(2)],
        [(None, Some(10)), (Some(10), None), (None, None)]
    );
    aim(&["journal", "ls", text(&more)])
        .exits(0)
        .prints("ends in the group of LSN 10");
    let file = text(&series.files[4]);
    let all = aim(&["journal", "inspect", file, "--json"]).exits(0).json();
    assert_eq!(all["header"]["open_group_lsn"], 10);
    assert_eq!(all["records"][1]["operation"], "verify");
    assert_eq!(all["records"][1]["digest"].as_str().unwrap().len(), 16);
    assert_eq!(all["records"][2]["operation"], "group_end");
    aim(&["journal", "inspect", file])
        .exits(0)
        .prints("at its start, of LSN 10");
    let first = text(&series.files[3]);
    aim(&["journal", "verify", first])
        .exits(0)
        .prints("the group of LSN 10 has no end yet");
}

#[test]
fn apply_takes_a_group_whole_and_says_what_differs() {
    let mut series = Series::new();
    series.add_group();
    let disk = series.path("disk.img");
    let apply = |files: &[PathBuf], more: &[&str]| {
        let mut arguments = vec!["journal", "apply", "--device", text(&disk), "--json"];
        arguments.extend(files.iter().map(|file| text(file)));
        arguments.extend(more);
        aim(&arguments)
    };
    let block = |number: usize| std::fs::read(&disk).unwrap()[number * 512];
    let done = apply(&series.files[..4], &[]).exits(3).json();
    assert_eq!((&done["files"], &done["last_file"]), (&3.into(), &3.into()));
    assert_eq!(done["files_left_out"], 1);
    assert_eq!(done["open_group_lsn"], 10);
    assert_eq!((block(3), block(10)), (3, 0));
    // not from the middle on
    apply(&series.files[4..], &["--after", "4"])
        .exits(15)
        .says("in the group of LSN 10");
    let rest = &series.files[3..];
    let told = apply(rest, &["--after", "3", "--dry-run"]).exits(0).json();
    assert_eq!((&told["files"], &told["verifies"]), (&3.into(), &2.into()));
    assert_eq!(block(10), 0);
    let done = apply(rest, &["--after", "3"]).exits(14).json();
    assert_eq!(
        (&done["groups"], &done["mismatches"]),
        (&1.into(), &1.into())
    );
    assert_eq!(done["bytes_mismatched"], 3 * 512);
    assert_eq!((block(10), block(11)), (10, 10));
}

/// All of the disk comes by in a baseline: what it follows need not be there.
#[test]
fn apply_goes_on_at_a_baseline_where_files_are_missing() {
    let mut series = Series::new();
    series.add_baseline();
    let disk = series.path("disk.img");
    let apply = |files: &[&PathBuf], more: &[&str]| {
        let mut arguments = vec!["journal", "apply", "--device", text(&disk), "--json"];
        arguments.extend(files.iter().map(|file| text(file)));
        arguments.extend(more);
        aim(&arguments)
    };
    let block = |number: usize| std::fs::read(&disk).unwrap()[number * 512];
    let all: Vec<&PathBuf> = series.files.iter().collect();
    aim(&[
        "journal",
        "verify",
        text(all[2]),
        text(all[4]),
        text(all[5]),
    ])
    .exits(15)
    .prints("but file 4 is next; it begins with a baseline");
    // without its end it is of no use, and nothing of it is applied
    let done = apply(&all[3..5], &[]).exits(3).json();
    assert_eq!(
        (&done["files"], &done["files_left_out"]),
        (&0.into(), &1.into())
    );
    assert_eq!((&done["files_passed_over"], block(1)), (&1.into(), 0));
    // the first ones are applied, then two are missing; the fourth is of no use
    let some = [all[0], all[3], all[4], all[5], all[6]];
    let told = apply(&some, &["--dry-run"]).exits(0).json();
    assert_eq!((&told["files"], block(1)), (&4.into(), 0));
    let done = apply(&some, &[]).exits(0).json();
    assert_eq!((&done["files"], &done["last_file"]), (&4.into(), &7.into()));
    assert_eq!(done["baseline_files"], serde_json::json!([5]));
    assert_eq!(done["files_passed_over"], 1);
    assert_eq!([block(9), block(11), block(1024)], [0, 4, 5]);
    series.assert_applied(&disk);
    // from the baseline on, also where more is there than the device is said to hold
    std::fs::write(&disk, vec![0xee; SIZE as usize]).unwrap();
    aim(&[
        "journal",
        "apply",
        text(&series.path("more")),
        "--device",
        text(&disk),
    ])
    .exits(0)
    .prints("files before file 5 are missing");
    series.assert_applied(&disk);
    apply(&all, &["--after", "2"])
        .exits(15)
        .says("say --after 0");
    let first = text(all[4]);
    let rows = aim(&["journal", "ls", text(&series.path("more")), "--json"])
        .exits(0)
        .json();
    assert_eq!(rows[1]["baseline_begun_lsn"], 11, "{first}");
}

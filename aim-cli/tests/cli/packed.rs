//! `aim journal` on packed files.

use crate::journal::flip;
use crate::program::{aim, text};
use crate::series::Series;

/// The second of three is packed, the third is there in both forms.
fn mixed() -> Series {
    let mut series = Series::new();
    let both = series.packed(2);
    std::fs::write(format!("{}.zst", text(&series.files[2])), both).unwrap();
    series.pack(1);
    series
}

#[test]
fn they_are_listed_inspected_and_verified() {
    let series = mixed();
    let rows = aim(&["journal", "ls", series.root(), "--json"])
        .exits(0)
        .json();
    let told: Vec<_> = (rows.as_array().unwrap().iter())
        .map(|row| {
            (
                row["file_number"].as_u64(),
                row["packed"].as_bool().unwrap(),
            )
        })
        .collect();
    let numbers = [(1, false), (2, true), (3, false), (4, false)];
    assert_eq!(told, numbers.map(|(number, packed)| (Some(number), packed)));
    let length = series.files[1].metadata().unwrap().len();
    assert_eq!(
        (&rows[1]["bytes"], &rows[1]["state"]),
        (&length.into(), &"sealed".into())
    );
    let packed = text(&series.files[1]);
    let all = aim(&["journal", "inspect", packed, "--json"])
        .exits(0)
        .json();
    assert_eq!(all["header"]["file_number"], 2);
    assert_eq!(all["records"].as_array().unwrap().len(), 3);
    let checked = aim(&["journal", "verify", series.root(), "--json"])
        .exits(0)
        .json();
    assert_eq!(checked["files"].as_array().unwrap().len(), 4);
    // one that is arriving
    std::fs::write(format!("{packed}.part"), b"x").unwrap();
    let rows = aim(&["journal", "ls", series.root(), "--json"])
        .exits(0)
        .json();
    assert_eq!(rows[2]["state"], "arriving");
}

#[test]
fn they_are_applied() {
    let series = mixed();
    let disk = series.path("disk.img");
    aim(&["journal", "apply", series.root(), "--device", text(&disk)]).exits(0);
    series.assert_applied(&disk);
}

#[test]
fn a_damaged_one_is_said_and_never_applied() {
    let series = mixed();
    let disk = series.path("disk.img");
    let packed = &series.files[1];
    flip(packed, packed.metadata().unwrap().len() - 1);
    let found = aim(&["journal", "verify", series.root(), "--json"])
        .exits(14)
        .json();
    assert_eq!(found["files"][1]["result"], "damaged");
    assert!(
        found["files"][1]["error"]
            .as_str()
            .unwrap()
            .contains("checksum")
    );
    aim(&["journal", "inspect", text(packed)])
        .exits(14)
        .says("piece 0 has checksum");
    aim(&["journal", "apply", series.root(), "--device", text(&disk)])
        .exits(14)
        .says("a damaged file is never applied");
    aim(&["journal", "ls", series.root()])
        .exits(14)
        .prints("checksum");
}

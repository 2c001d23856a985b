//! Keys that nobody knows, and values that are none.

use super::{GOOD, problems};

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

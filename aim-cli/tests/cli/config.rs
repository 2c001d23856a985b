//! `aim config check`.

use crate::program::{aim, text};

#[test]
fn a_missing_file_is_not_found() {
    aim(&["config", "check", "--config", "/nonexistent/aim.toml"])
        .exits(10)
        .says("error: can't read the configuration (/nonexistent/aim.toml)")
        .says("hint: name the file with --config");
}

#[test]
fn a_good_file_is_ok_and_a_typo_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    let good = "[mirror.data]\ndevice = \"/nonexistent/disk\"\ndirectory = \"/nonexistent/m\"\n";
    std::fs::write(&path, good).unwrap();
    let ran = aim(&["config", "check", "--json", "-c", text(&path)]).exits(0);
    assert_eq!(ran.json()["mirrors"], serde_json::json!(["data"]));

    std::fs::write(&path, good.replace("directory", "direktory")).unwrap();
    aim(&["config", "check", "-c", text(&path)])
        .exits(2)
        .says("unknown key `direktory` ([mirror.data], line 3")
        .says("hint: did you mean `directory`?");
    let ran = aim(&["config", "check", "--json", "-c", text(&path)]).exits(2);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["exit_code"], 2);
    assert_eq!(error["problems"][0]["hint"], "did you mean `directory`?");
}

#[test]
fn a_state_directory_on_the_journals_file_system_is_warned_of() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aim.toml");
    let at = |name: &str| temp.path().join(name).display().to_string();
    let config = |state: &str| {
        format!(
            "state_dir = \"{state}\"\n[volume.data]\ndevice = \"/nonexistent/disk\"\n\
             journal = \"{}\"\ntarget = \"/nonexistent/mirror\"\n",
            at("journal")
        )
    };
    std::fs::write(&path, config(&at("state"))).unwrap();
    let ran = aim(&["config", "check", "-c", text(&path)]).exits(0);
    let warning = "warning: `journal`";
    assert!(ran.stdout.contains(warning), "{}", ran.stdout);
    assert!(ran.stdout.contains("on one file system ([volume.data])"));
    let ran = aim(&["config", "check", "--json", "-c", text(&path)]).exits(0);
    assert_eq!(ran.json()["warnings"].as_array().unwrap().len(), 1);

    std::fs::write(&path, config("/proc/aim")).unwrap();
    let ran = aim(&["config", "check", "-c", text(&path)]).exits(0);
    assert!(!ran.stdout.contains("warning"), "{}", ran.stdout);
}

#[test]
fn an_image_that_is_named_twice_by_different_paths_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    std::fs::write(&image, [0; 4096]).unwrap();
    let link = temp.path().join("link");
    std::fs::hard_link(&image, &link).unwrap();
    let path = temp.path().join("aim.toml");
    let table = |name, device: &std::path::Path| {
        format!(
            "[mirror.{name}]\ndevice = \"{}\"\ndirectory = \"/nonexistent/{name}\"\n",
            device.display()
        )
    };
    let config = table("one", &image) + &table("two", &link);
    std::fs::write(&path, config).unwrap();
    aim(&["config", "check", "-c", text(&path)])
        .exits(2)
        .says("are the same disk ([mirror.one] and [mirror.two])");
}

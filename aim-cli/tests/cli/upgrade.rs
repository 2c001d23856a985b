//! A running aim executes its program file anew. Here with a mirror; the guest tests do it with
//! a device in use.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::program::aim;
use crate::run::{Daemon, Host};
use crate::series::Series;

/// Installs a file as a package manager does: the old one stays what it is, without a name.
///
/// Another process writes it: children that other tests start meanwhile would have a file that
/// we write open, too, and then it can't be executed.
fn install(from: &Path, to: &Path) {
    let fresh = to.with_extension("new");
    let copied = Command::new("cp").args([from, &fresh]).status().unwrap();
    assert!(copied.success());
    std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(fresh, to).unwrap();
}

/// A host, and the program installed on it.
fn installed() -> (Host, PathBuf, Daemon) {
    let host = Host::new(&Series::new());
    let program = host.path("aim");
    install(Path::new(env!("CARGO_BIN_EXE_aim")), &program);
    let daemon = Daemon::start_file(&host, &program);
    (host, program, daemon)
}

/// The file that a process executes.
fn executed(pid: u32) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

#[test]
fn the_new_file_goes_on_in_the_same_process() {
    let (host, program, mut daemon) = installed();
    let before = host.aim(&["status", "--json"]).json();
    install(Path::new(env!("CARGO_BIN_EXE_aim")), &program);
    let said = host.aim(&["upgrade", "--json"]).exits(0).json();
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["version_before"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["pid"], daemon.pid());
    assert_eq!(executed(daemon.pid()), program.metadata().unwrap().ino());
    daemon.until("handing over");
    daemon.until("running");
    let after = host.aim(&["status", "--json"]).exits(0).json();
    assert_ne!(before["daemon"]["started"], after["daemon"]["started"]);
    assert_eq!(after["mirrors"][0]["state"], "running");
    // it can be done again, also by a signal
    daemon.signal(Signal::HUP);
    daemon.until("handing over");
    daemon.until("running");
    assert!(host.aim(&["upgrade"]).exits(0).stdout.starts_with("aim "));
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn what_can_not_run_is_not_executed() {
    let (host, program, mut daemon) = installed();
    let config = host.path("aim.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let old = executed(daemon.pid());

    std::fs::write(&config, format!("speling = 1\n{good}")).unwrap();
    host.aim(&["upgrade"]).exits(2).says("speling");
    daemon.signal(Signal::HUP);
    let said = daemon.until("not handed over: everything goes on as it was");
    assert!(
        said["error"].as_str().unwrap().contains("speling"),
        "{said}"
    );
    std::fs::write(&config, &good).unwrap();

    let script = host.path("script");
    std::fs::write(&script, "#!/bin/sh\necho oh no >&2\nexit 5\n").unwrap();
    install(&script, &program);
    host.aim(&["upgrade"]).exits(1).says("oh no");
    let refusal = r#"{"exit":"mismatch","problems":[{"what":"not this disk"}]}"#;
    let text = format!("#!/bin/sh\necho a warning >&2\necho '{refusal}' >&2\nexit 5\n");
    std::fs::write(&script, text).unwrap();
    install(&script, &program);
    host.aim(&["upgrade", "--json"])
        .exits(14)
        .says("\"what\":\"not this disk\"");
    std::fs::write(&script, "#!/bin/sh\necho hello\n").unwrap();
    install(&script, &program);
    host.aim(&["upgrade"]).exits(1).says("is it aim");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o644)).unwrap();
    host.aim(&["upgrade"]).exits(1).says("can't be executed");
    std::fs::remove_file(&program).unwrap();
    host.aim(&["upgrade"]).exits(10).says("can't be executed");

    assert_eq!(executed(daemon.pid()), old);
    host.aim(&["status"]).exits(0);
    assert_eq!(daemon.stop(), 0);
    host.aim(&["upgrade"]).exits(3).says("no aim is running");
}

#[test]
fn a_program_that_accepts_its_configuration_and_then_ends_is_missed() {
    let (host, program, daemon) = installed();
    let script = host.path("script");
    let text = "#!/bin/sh\n[ \"$1\" = config ] && echo '{\"volumes\": []}' && exit 0\nexit 7\n";
    std::fs::write(&script, text).unwrap();
    install(&script, &program);
    // its parent, which is us, has yet to take note of its end
    let waiting = std::thread::spawn(move || daemon.end());
    host.aim(&["upgrade", "--timeout", "60s"])
        .exits(3)
        .says("the new program has ended");
    assert_eq!(waiting.join().unwrap(), 7);
}

/// It would end a program that has no handlers yet, and leave its devices to nobody.
#[test]
fn a_signal_that_comes_before_the_first_lines_of_the_new_program_waits_for_them() {
    let (host, program, mut daemon) = installed();
    let script = host.path("script");
    let aim = env!("CARGO_BIN_EXE_aim");
    let text = format!("#!/bin/sh\n[ \"$1\" = run ] && kill -TERM $$\nexec {aim} \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    install(&script, &program);
    daemon.signal(Signal::HUP);
    daemon.until("handing over");
    daemon.until("stopping");
    daemon.until("stopped");
    assert_eq!(daemon.end(), 0);
}

/// The new program would not know of it.
#[test]
fn a_signal_to_stop_that_comes_while_the_new_file_is_looked_at_is_obeyed() {
    let (host, program, mut daemon) = installed();
    let [begun, go] = ["begun", "go"].map(|name| {
        let pipe = host.path(name);
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        pipe
    });
    let script = host.path("script");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = config ] || exit 7\necho >{}\ncat {}\necho '{{\"volumes\": []}}'\n",
        begun.display(),
        go.display()
    );
    std::fs::write(&script, text).unwrap();
    install(&script, &program);
    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| host.aim(&["upgrade", "--timeout", "60s"]));
        std::fs::read(&begun).unwrap();
        daemon.signal(Signal::TERM);
        daemon.until("a signal has come");
        std::fs::write(&go, "").unwrap();
        upgrade.join().unwrap().exits(11).says("aim is stopping");
    });
    daemon.until("stopped");
    assert_eq!(daemon.end(), 0);
}

#[test]
fn left_is_as_well_as_stopped_without_devices() {
    let (host, _, daemon) = installed();
    daemon.signal(Signal::USR2);
    assert_eq!(daemon.end(), 0);
    host.aim(&["status"]).exits(3);
}

#[test]
fn only_what_waits_can_be_abandoned() {
    aim(&["abandon", "no-such-volume"])
        .exits(10)
        .says("no device of this name waits");
}

#[test]
fn what_the_program_before_has_started_is_reaped() {
    let host = Host::new(&Series::new());
    let script = host.path("before");
    let pid = host.path("pid");
    // as an upgrade does: the process has a child, and executes another program
    let text = format!(
        "#!/bin/sh\ntrue &\necho $! > {}\nexec {} \"$@\"\n",
        pid.display(),
        env!("CARGO_BIN_EXE_aim")
    );
    std::fs::write(host.path("text"), text).unwrap();
    install(&host.path("text"), &script);
    let daemon = Daemon::start_file(&host, &script);
    let child = std::fs::read_to_string(pid).unwrap();
    let child = Path::new("/proc").join(child.trim());
    while child.exists() {
        std::thread::yield_now();
    }
    assert_eq!(daemon.stop(), 0);
}

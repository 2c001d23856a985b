//! `aim doctor` on a host that has ublk, beside an aim that mirrors.

use serde_json::Value;

use crate::daemon::Daemon;
use crate::pair::Pair;

/// What it says, as `about check verdict: what`.
fn examine(daemon: &Daemon) -> (i32, Vec<String>) {
    let (status, lines) = daemon.json("doctor data");
    let findings = lines.last().unwrap()["findings"].as_array().unwrap();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let said = findings.iter().map(|finding| {
        let [about, check, verdict, what] =
            ["about", "check", "verdict", "what"].map(|field| text(finding, field));
        format!("{about} {check} {verdict}: {what}")
    });
    (status, said.collect())
}

fn problems(said: &[String]) -> Vec<&str> {
    let is_problem = |line: &&String| line.contains(" problem: ");
    said.iter().filter(is_problem).map(String::as_str).collect()
}

#[test]
fn a_pair_that_works_is_well_but_for_what_is_wrong_with_it() {
    let pair = Pair::new();
    let (status, said) = examine(pair.mirror());
    // the clock and the room of a guest are worth a warning
    assert_eq!((status, problems(&said)), (3, vec![]), "{said:#?}");

    let (status, said) = examine(pair.source());
    // where these tests have put it, it does not outlive a power cut
    let lost = "host state_dir problem: /run/aim-state is on tmpfs: a power cut takes it";
    assert_eq!((status, problems(&said)), (1, vec![lost]), "{said:#?}");
    let says = |words: &str| said.iter().any(|line| line.starts_with(words));
    assert!(says("host ublk ok: "), "{said:#?}");
    assert!(says("host daemon ok: aim "), "{said:#?}");
    assert!(says("volume.data target ok: "), "{said:#?}");
    pair.end();
}

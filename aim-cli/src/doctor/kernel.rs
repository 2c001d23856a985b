//! What the running kernel is known for, and what its ublk driver can do.

use std::path::Path;

use aim_ublk::kernel::{Features, features};

use super::finding::Section;

/// `major.minor.patch` of a release, and the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    fn parse(release: &str) -> Option<Self> {
        let number = release
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        Some(Self(next()?, next()?, next().unwrap_or(0)))
    }
}

/// Kernels whose ublk driver others report as broken: the beginning of a release, and what
/// happens there.
const REPORTED: [(&str, &str); 3] = [
    (
        "6.17.0",
        "making a device fails with EINVAL, or panics the kernel",
    ),
    ("7.0.0-28", "starting a device hangs"),
    (
        "6.8",
        "closing a device under load can panic the kernel (CVE-2025-37906), where it is not mended",
    ),
];

/// Before it the driver has no devices that outlive their server.
const RECOVERY: Version = Version(6, 0, 0);
/// Before it a device is lost whose server dies while it takes it over.
const SAFE_RECOVERY: Version = Version(6, 15, 0);

/// What is reported of a release.
fn reported(release: &str) -> Option<&'static str> {
    let begins = |beginning: &str| {
        release.strip_prefix(beginning).is_some_and(|rest| {
            // the number goes on otherwise: 6.8 is not the beginning of 6.80
            !rest.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let found = REPORTED.iter().find(|(beginning, _)| begins(beginning));
    found.map(|(_, what)| *what)
}

/// Judges a release, for a host that serves disks or for one that only has mirrors.
pub(super) fn judge(section: &mut Section, release: &str, serves_disks: bool) {
    let version = Version::parse(release);
    let check = "kernel";
    if !serves_disks {
        section.ok(check, release);
    } else if version.is_some_and(|version| version < RECOVERY) {
        section.problem(
            check,
            format!("{release}: a device ends with the process that serves it"),
            "use a kernel from 6.0 on",
        );
    } else if let Some(what) = reported(release) {
        section.warn(
            check,
            format!("{release} is reported to be broken: {what}"),
            "use another kernel, or try this one thoroughly before you rely on it",
        );
    } else if version.is_some_and(|version| version < SAFE_RECOVERY) {
        section.ok(
            check,
            format!(
                "{release}; before 6.15 a device is lost if aim is killed while it takes it over"
            ),
        );
    } else {
        section.ok(check, release);
    }
}

/// Asks the driver.
pub(super) fn ask_driver(section: &mut Section, release: &str) {
    match features() {
        Ok(features) => judge_features(section, features),
        Err(aim_ublk::Error::NoDriver) => {
            let (what, remedy) = match has_module(release) {
                true => (
                    "the driver ublk_drv is not loaded",
                    "`modprobe ublk_drv`, and a line `ublk_drv` in /etc/modules-load.d/aim.conf",
                ),
                false => (
                    "this kernel has no driver ublk_drv",
                    "install the package with the rest of its modules, or a kernel with \
                     CONFIG_BLK_DEV_UBLK",
                ),
            };
            section.problem("ublk", what, remedy);
        }
        Err(error) => {
            section.problem(
                "ublk",
                format!("the driver can't be asked: {error}"),
                "run as root",
            );
        }
    }
}

fn judge_features(section: &mut Section, features: Features) {
    let finding = match features.recovery_with_reissue() {
        true => section.ok("ublk", "a device outlives the process that serves it"),
        false => section.problem(
            "ublk",
            "a device ends with the process that serves it",
            "use a kernel from 6.0 on",
        ),
    };
    finding
        .figure("features_bits", features.bits())
        .figure("zero_copy", features.zero_copy())
        .figure("update_size", features.update_size());
}

/// Whether the module could be loaded.
fn has_module(release: &str) -> bool {
    let folder = Path::new("/lib/modules").join(release);
    ["modules.dep", "modules.builtin"].iter().any(|list| {
        std::fs::read_to_string(folder.join(list)).is_ok_and(|text| text.contains("/ublk_drv.ko"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn verdict(release: &str, serves_disks: bool) -> Verdict {
        let mut section = Section::new("host");
        judge(&mut section, release, serves_disks);
        section.findings[0].verdict
    }

    #[test]
    fn releases_are_read_as_distributions_write_them() {
        for (release, expected) in [
            ("6.12.117+deb13-amd64", Some(Version(6, 12, 117))),
            ("7.3", Some(Version(7, 3, 0))),
            ("6.8.0-45-generic", Some(Version(6, 8, 0))),
            ("5.10.0-32-amd64", Some(Version(5, 10, 0))),
            ("six", None),
        ] {
            assert_eq!(Version::parse(release), expected, "{release}");
        }
    }

    #[test]
    fn known_kernels_have_their_verdict() {
        for (release, expected) in [
            ("5.15.0-1-amd64", Verdict::Problem),
            ("6.1.0-40-amd64", Verdict::Ok),
            ("6.8.0-45-generic", Verdict::Warning),
            ("6.80.0", Verdict::Ok),
            ("6.17.0", Verdict::Warning),
            ("6.17.0-14-generic", Verdict::Warning),
            ("6.17.1", Verdict::Ok),
            ("7.0.0-28-generic", Verdict::Warning),
            ("7.0.0-29-generic", Verdict::Ok),
            ("7.3.4", Verdict::Ok),
            ("unheard-of", Verdict::Ok),
        ] {
            assert_eq!(verdict(release, true), expected, "{release}");
            assert_eq!(verdict(release, false), Verdict::Ok, "{release}");
        }
    }
}

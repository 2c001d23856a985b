//! Whether the clock is kept right. The order of changes never depends on it; times that people
//! read do, and the time latency.

use super::finding::Section;

/// Asks the kernel.
pub(super) fn judge(section: &mut Section) {
    // SAFETY: plain numbers and padding, all of which may be zero.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is valid for writes; with no mode set the clock is only read.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    let is_kept = result >= 0 && state.status & libc::STA_UNSYNC == 0;
    match is_kept {
        true => section.ok("clock", "kept right by a time service"),
        false => section.warn(
            "clock",
            "not kept right: times and the time latency that are shown may be wrong",
            "run a time service on both hosts, such as chrony or systemd-timesyncd",
        ),
    };
}

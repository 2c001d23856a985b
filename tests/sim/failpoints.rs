//! Each failpoint is come by, and whoever ends there finds its way back.

use aim_core::failpoint::Failpoint;

use crate::runner::run;
use crate::stop::Stop;
use crate::trap::TrapAt;
use crate::world::Options;

/// Ends at each failpoint, by each kind of end.
const ENDS: usize = 3;
/// Seeds in which they have to be found.
const SEEDS: u64 = 3000;

#[test]
fn a_host_that_ends_at_any_failpoint_finds_its_way_back() {
    // which seeds come by which failpoints, and how often
    let hits: Vec<_> = (0..SEEDS)
        .map(|seed| run(seed, Options::default()).hits)
        .collect();
    for &point in Failpoint::ALL {
        for stop in [Stop::Power, Stop::Process] {
            let mut ends = 0;
            for (seed, hits) in (0..).zip(&hits) {
                let Some(&times) = hits.get(&point) else {
                    continue;
                };
                let time = 1 + (seed + ends as u64) % times;
                let trap = Some(TrapAt { point, time, stop });
                let options = Options {
                    trap,
                    ..Options::default()
                };
                let ran = run(seed, options);
                assert!(ran.failure.is_none(), "{trap:?}: {}", ran.report);
                ends += usize::from(ran.has_sprung);
                if ends == ENDS {
                    break;
                }
            }
            assert_eq!(ends, ENDS, "{point} is too seldom come by");
        }
    }
}

//! The bodies of the fuzz targets, run on their seeds and on a share of any bytes: no fuzzer and
//! no nightly compiler is needed to see that they hold.

use std::path::{Path, PathBuf};

use aim_tests::Rng;
use aim_tests::chain_fuzz::{Chains, verify_any_chain};
use aim_tests::file_fuzz::{Readings, read_any_file};
use aim_tests::packed_fuzz::{Unpackings, unpack_any_file};
use aim_tests::replay_fuzz::replay_any_files;

/// Every seed of a target.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let seeds: Vec<_> = paths
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert!(!seeds.is_empty(), "{}", folder.display());
    seeds
}

#[test]
fn seeds_of_files_are_read() {
    let mut all = Readings::default();
    for (path, seed) in seeds("file") {
        let readings = read_any_file(&seed);
        assert!(readings.parsed > 0, "{} is no seed", path.display());
        all.verified += readings.verified;
        all.recovered += readings.recovered;
    }
    assert!(all.verified > 0 && all.recovered > 0);
}

#[test]
fn seeds_of_chains_and_of_replay_hold() {
    seeds("chain").iter().for_each(|(_, seed)| {
        verify_any_chain(seed);
    });
    seeds("replay").iter().for_each(|(_, seed)| {
        replay_any_files(seed);
    });
}

#[test]
fn altered_files_are_believed_only_where_they_are_right() {
    let seeds = seeds("file");
    let mut all = Readings::default();
    let mut rng = Rng::new(1);
    for round in 0..2000 {
        let mut bytes = seeds[round % seeds.len()].1.clone();
        for _ in 0..=rng.below(3) {
            // where the structures are, more often than elsewhere
            let places = [bytes.len(), 232, 1024, 4096 + 1024];
            let end = places[rng.below(4) as usize].min(bytes.len());
            let start = if end > 4096 && rng.chance(2) { 4096 } else { 0 };
            let place = start + rng.below((end - start) as u64) as usize;
            bytes[place] = [0, 1, 2, 0xff, rng.below(256) as u8][rng.below(5) as usize];
        }
        let readings = read_any_file(&bytes);
        all.parsed += readings.parsed;
        all.verified += readings.verified;
        all.recovered += readings.recovered;
    }
    assert!(all.parsed > 200 && all.verified > 50, "{all:?}");
}

#[test]
fn altered_packed_files_are_believed_only_where_they_are_right() {
    let seeds = seeds("packed");
    for (path, seed) in &seeds {
        let unpackings = unpack_any_file(seed);
        assert!(unpackings.unpacked > 0, "{} is no seed", path.display());
    }
    let mut all = Unpackings::default();
    let mut rng = Rng::new(2);
    for round in 0..2000 {
        let mut bytes = seeds[round % seeds.len()].1.clone();
        for _ in 0..=rng.below(3) {
            // where the structures are, more often than elsewhere
            let end = [bytes.len(), 90][rng.below(2) as usize].min(bytes.len());
            let place = rng.below(end as u64) as usize;
            bytes[place] = [0, 1, 2, 0xff, rng.below(256) as u8][rng.below(5) as usize];
        }
        let unpackings = unpack_any_file(&bytes);
        all.opened += unpackings.opened;
        all.unpacked += unpackings.unpacked;
    }
    assert!(all.opened > 200 && all.unpacked > 50, "{all:?}");
}

#[test]
fn any_chain_is_called_whole_only_where_it_is() {
    let mut all = Chains::default();
    for seed in 0..2000 {
        let mut input = vec![0; 500];
        Rng::new(seed).fill(&mut input);
        let chains = verify_any_chain(&input);
        all.whole += chains.whole;
        all.broken += chains.broken;
        all.faults += chains.faults;
    }
    assert!(
        all.whole > 20 && all.broken > 50 && all.faults > 500,
        "{all:?}"
    );
}

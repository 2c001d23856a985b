//! Files that may be anything, given to a mirror. The body is in `aim_tests::replay_fuzz`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    aim_tests::replay_fuzz::replay_any_files(input);
});

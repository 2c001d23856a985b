//! A folder of files that may be anything, verified as one series. The body is in `aim_tests::chain_fuzz`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    aim_tests::chain_fuzz::verify_any_chain(input);
});

//! Any bytes at all, taken for a journal file. The body is in `aim_tests::file_fuzz`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    aim_tests::file_fuzz::read_any_file(input);
});

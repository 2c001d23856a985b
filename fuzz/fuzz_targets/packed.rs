//! Any bytes at all, taken for a packed file. The body is in `aim_tests::packed_fuzz`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    aim_tests::packed_fuzz::unpack_any_file(input);
});

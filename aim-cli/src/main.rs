//! The program aim: mirrors block devices by journal files.

fn main() {}

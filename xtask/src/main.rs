//! The commands that people and CI call.

fn main() {}

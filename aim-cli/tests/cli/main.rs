//! The program as a user meets it: its help, its errors, its exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod carry;
mod config;
mod doctor;
mod fetch;
mod help;
mod init;
mod journal;
mod packed;
mod program;
mod relay;
mod run;
mod series;
mod upgrade;

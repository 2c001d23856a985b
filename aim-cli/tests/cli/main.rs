//! The program as a user meets it: its help, its errors, its exit codes.

mod config;
mod help;
mod init;
mod journal;
mod program;
mod run;
mod series;

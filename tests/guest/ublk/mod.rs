//! The ublk device, alone: in front of an interceptor of its own that needs no journal.

mod bench;
mod contents;
mod durability;
mod errors;
mod killed;
mod limits;
mod names;
mod paths;
mod pressure;
mod ranges;
mod server;
mod stop;

//! The first coordinator: carries sealed journal files to the mirror host. A mirror host that is a
//! [relay](crate::relay) carries what it has received with it.
//!
//! It needs no memory of its own, but for what several targets have received, in `targets.cursor`.
//! What is in `outgoing/` has not been received by all of them; what the mirror
//! host has is seen by listing; how far it is stands in its cursor. So after a stop at any point
//! of it, on either host, the next round does what is left:
//!
//! 1. List the far `incoming/`, then read the far `mirror.cursor`. In this order, a file that was
//!    applied between the two is seen as received, and not as missing. Read what those need who are
//!    behind the mirror, if it is a relay. Then read what the mirror knows to differ, which is of
//!    that position or of a later one.
//! 2. Prove from the digests that the cursor speaks of *this* series, note what it says is received,
//!    and remove the files that no target needs any more. Where a file that the mirror needs is gone,
//!    it gets what follows from a baseline on.
//! 3. Put what the capture asks of the mirror, and take what the mirror answers.
//! 4. In series order, put each waiting file that is not in the far `incoming/`, several at once,
//!    until it is time for the next round; what is on its way then goes on beside its steps 1 to
//!    3. Files may so arrive in another order than they have: the mirror host takes them in theirs.
//!    Only one that begins a baseline waits for all before it. What the target needs no more is
//!    not gone on with.
//!    One that had been there, and is neither received nor there any more, was set aside by the
//!    mirror host: it is put again, after a look at whether it is whole here.
//!
//! At a store there is no mirror host; what it would say, this coordinator says in its place, as
//! `store.rs` shows. It is never asked what it holds.

mod compare;
mod course;
mod error;
mod far_side;
mod lag;
mod line;
mod origin;
mod put;
mod receipt;
mod retention;
mod round;
mod shipper;
mod status;
mod store;
mod targets;
mod uploads;

pub use error::ShipError;
pub use lag::TargetStatus;
pub use line::LineOptions;
pub use retention::Retention;
pub use round::{Next, Rounds};
pub use shipper::{ShipOptions, Shipper};
pub use status::{SetAside, ShipStatus};
pub use store::StoreOptions;
pub use targets::{MaxLag, Target, TargetKind};

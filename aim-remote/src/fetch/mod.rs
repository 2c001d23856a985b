//! The third coordinator: brings what lies in an object store to a mirror host.
//!
//! ```text
//! store ── incoming/ ── fetcher ── incoming/NAME.part ── incoming/NAME ──▶ apply
//!    ▲                     │
//!    └── readers/MIRROR ◀──┘
//! ```
//!
//! Many mirrors may follow one store; the source has no load by that, and need not reach any of
//! them. A round:
//!
//! 1. Read `store.cursor`, which says up to where the store has files for certain, and the mirror's own
//!    cursor.
//! 2. Go on with the file behind what the mirror has received, if the store has it. A mirror that
//!    has nothing yet, or lacks files that are gone from the store, begins with the last baseline
//!    that is there to its end.
//! 3. Bring the files up to the store's cursor, several at once, each as `NAME.part`; sync them, and
//!    give them their names in the order of the series: a mirror that sees a baseline and not the file
//!    that it needs next gives up what is between. A stop leaves `NAME.part`, which is begun anew.
//! 4. Say in `readers/MIRROR` how far this mirror is, when that has changed, and once an hour.
//!
//! Nothing of what comes is trusted here: the receiver of the mirror verifies it as any file that
//! arrives, and what it sets aside is fetched again.

mod error;
mod fetcher;
mod files;
mod round;
mod status;

pub use error::FetchError;
pub use fetcher::{FetchOptions, Fetcher};
pub use round::{FetchRounds, Fetched};
pub use status::FetchStatus;

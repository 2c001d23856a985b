//! How a host comes to its end.

/// What goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The machine: whatever was not synced may be lost.
    Power,
    /// The process: the machine keeps what it was told.
    Process,
}

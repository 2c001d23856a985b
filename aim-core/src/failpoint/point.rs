//! The names of all failpoints.

use std::fmt;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A place between two steps of which a crash may leave the first without the second.
        ///
        /// A name says what has been done when it is reached; what comes next has not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Failpoint {
            $($(#[$doc])* $name,)*
        }

        impl Failpoint {
            /// Every failpoint, in the order in which data passes them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name by which the environment asks for it: `subject.what_was_done`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

points! {
    /// A small file's new content is written under its temporary name, and not synced.
    StateWritten = "state.written",
    /// It is synced, and does not have its name.
    StateSynced = "state.synced",
    /// It has its name, and the folder is not synced.
    StateRenamed = "state.renamed",

    /// Sectors of the extent map are written, and not synced.
    MapWritten = "map.written",
    /// They are synced, and nobody who waits for it has been told.
    MapSynced = "map.synced",
    /// The ring says that it does not tell everything; transactions are still captured.
    TrackingNoted = "tracking.noted",
    /// Records that bridge a hole are in the journal, and not synced.
    HoleBridged = "hole.bridged",
    /// They are synced, and transactions are not captured yet.
    HoleSynced = "hole.synced",
    /// Disks are synced to cool extents; the journal is not.
    CheckpointDisks = "checkpoint.disks",
    /// Disk and journal are synced at a stop; the extent map does not say so.
    StopSynced = "stop.synced",

    /// An open file whose content is unknown is copied to a fresh one, durably.
    RescueCopied = "rescue.copied",
    /// The fresh one is sealed, and not in the place of the old one.
    RescueSealed = "rescue.sealed",
    /// It is, and no folder is synced.
    RescueRenamed = "rescue.renamed",

    /// An open journal file has its header, and nothing is synced.
    OpenCreated = "open.created",
    /// Its header is synced, its name is not.
    OpenSynced = "open.synced",
    /// Of payloads and their IOCBs, the ones are in the file, the others are not.
    PartWritten = "part.written",
    /// Records are in the file, and not synced.
    AppendWritten = "append.written",
    /// Records are synced, and nobody has been told.
    AppendSynced = "append.synced",
    /// A file that is to be sealed is cut to its size; its header is not written.
    SealCut = "seal.cut",
    /// The final header is written, and not synced.
    SealWritten = "seal.written",
    /// The sealed content is synced; the cursor does not name it.
    SealSynced = "seal.synced",
    /// The sealed cursor names a file that lies in `open/`.
    SealCursor = "seal.cursor",
    /// The file is in `outgoing/`; no folder is synced.
    SealRenamed = "seal.renamed",
    /// `outgoing/` is synced, `open/` is not.
    SealPublished = "seal.published",

    /// A file is to be put, and nothing has been sent.
    ShipPut = "ship.put",
    /// All of a file is on the far side, and not synced.
    PutWritten = "put.written",
    /// It is synced there, and does not have its name.
    PutSynced = "put.synced",
    /// It has its name there, and the folder is not synced.
    PutRenamed = "put.renamed",
    /// It is durable there, and the source has not noted it.
    ShipDelivered = "ship.delivered",
    /// The far cursor was read and believed; nothing was removed.
    ShipReceipt = "ship.receipt",
    /// A file that was received, or applied, is removed; others may follow.
    SpoolRemoved = "spool.removed",

    /// An arrived file that was packed is unpacked under a temporary name, and not synced.
    UnpackWritten = "unpack.written",
    /// It is synced, and neither verified nor under its name.
    UnpackSynced = "unpack.synced",
    /// It has its name, and the folder is not synced; the packed one is there too.
    UnpackRenamed = "unpack.renamed",
    /// An arrived file is verified, and not synced.
    ReceiveVerified = "receive.verified",
    /// The file is synced, its folder is not.
    ReceiveSynced = "receive.synced",
    /// File and folder are synced; the cursor does not say so.
    ReceiveDurable = "receive.durable",
    /// `received` names the file.
    ReceiveCursor = "receive.cursor",
    /// The reason why a file is set aside is durable; the file has not moved.
    RejectReason = "reject.reason",
    /// The file has moved to `rejected/`; no folder is synced.
    RejectRenamed = "reject.renamed",
    /// `rejected/` is synced, `incoming/` is not.
    RejectSynced = "reject.synced",
    /// The receipt of a file is taken back; the file has not moved.
    ReceiptWithdrawn = "receipt.withdrawn",

    /// `intent` names the end of a run; the devices are untouched.
    ApplyIntent = "apply.intent",
    /// The transactions of a run are done, and the devices not synced.
    ApplyWritten = "apply.written",
    /// The devices are synced; the cursor does not say so.
    ApplySynced = "apply.synced",
    /// What was found to differ is stored; `applied` is not.
    ApplyDifferences = "apply.differences",
    /// `applied` names the end of the run; its files are still there.
    ApplyCursor = "apply.cursor",
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_of_one_form_and_each_names_one() {
        let names: BTreeSet<_> = Failpoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Failpoint::ALL.len());
        for name in names {
            let (subject, done) = name.split_once('.').unwrap();
            let is_word = |text: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            };
            assert!(is_word(subject) && is_word(done), "{name}");
        }
    }
}

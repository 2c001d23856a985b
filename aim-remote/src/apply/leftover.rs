//! What was left over of files that have arrived otherwise.
//!
//! An upload that was interrupted leaves `NAME.aim.part`, and is gone on with. It is of no use any
//! more where the file has come in another form, since compression was switched, or by another
//! mover: `received` covers it, and the source does not send it again. Then it goes, once nobody has
//! written to it for long: whoever still did would only fail to give it its name.

use std::time::Instant;

use aim_core::spool::{Names, Unfinished};

use super::receive::Mirror;
use super::suspect::Look;

/// How often as long as a file that is wrong it must stay as it is: an hour.
pub(super) const SETTLES: u32 = 360;

impl Mirror {
    /// Removes what can't be gone on with. It is in nobody's way: what can't be looked at or removed
    /// stays.
    pub(super) fn remove_leftovers(&self, names: &Names) {
        let folder = self.spool.incoming_folder();
        let is_there = |text: &str| names.unfinished.iter().any(|file| file.text == text);
        self.lock_leftovers().retain(is_there);
        for file in names.unfinished.iter().filter(|file| self.is_useless(file)) {
            let text = &file.text;
            let opened = folder.open(text, false);
            let Ok(len) = opened.and_then(|file| file.len()) else {
                continue;
            };
            let (look, now) = (Look::of_length(len), Instant::now());
            let longest = self.settle.saturating_mul(SETTLES);
            let is_left = self
                .lock_leftovers()
                .is_wrong_for_good(text, look, now, longest);
            if !is_left {
                continue;
            }
            match folder.remove(text) {
                Ok(()) => tracing::info!(file = text, "left over, and removed"),
                Err(error) => {
                    tracing::warn!(file = text, %error, "what was left over can't be removed");
                }
            }
        }
    }

    /// Whether the file that it is to be is received, or can't be received any more.
    fn is_useless(&self, file: &Unfinished) -> bool {
        let identity = self.spool.identity();
        file.file.is_some_and(|name| {
            name.volume == identity.id
                && (name.epoch < identity.epoch
                    || name.epoch == identity.epoch
                        && name.number <= self.cursor.get().received.file)
        })
    }
}

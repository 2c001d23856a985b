//! Telling the source what the devices hold, so that it copies only what differs.

use std::io;

use aim_core::replay::Replay;
use aim_core::signature::{Answer, FILE_BYTES_MAX, Question};
use aim_core::units::FileNumber;

use super::ApplyError;
use super::receive::Mirror;

impl Mirror {
    /// Answers the question that lies in the mirror's folder, if the devices hold what it asks
    /// about. Says whether it did.
    ///
    /// What they hold does not change until the group is complete and applied, by the very thread
    /// that calls this.
    pub(super) fn answer(&self, replay: &Replay) -> Result<bool, ApplyError> {
        let question = match self.question() {
            Ok(Some(question)) => question,
            Ok(None) => return Ok(false),
            Err(error) => {
                tracing::warn!(%error, "what the source asks can't be read");
                return Ok(false);
            }
        };
        let cursor = self.cursor.get();
        let waits_for_its_end = cursor.is_settled()
            && cursor.base == FileNumber(0)
            && question.volume == self.spool.identity().id
            && question.group == cursor.received.open_group
            && question.group == cursor.applied.lsn.next();
        if !waits_for_its_end {
            return Ok(false);
        }
        let answer = Answer::to(&question, replay.devices()).map_err(ApplyError::Answer)?;
        let root = self.spool.root();
        // removed last: after a stop in between it is answered again
        let told = root
            .write_atomic(Answer::NAME, &answer.encode())
            .and_then(|()| root.remove(Question::NAME));
        told.map_err(ApplyError::Answer)?;
        tracing::info!(
            blocks = answer.digests.len(),
            "told the source what the mirror holds"
        );
        Ok(true)
    }

    fn question(&self) -> io::Result<Option<Question>> {
        match self.spool.root().read_small(Question::NAME, FILE_BYTES_MAX) {
            Ok(bytes) => {
                let question = Question::decode(&bytes);
                question.map(Some).map_err(io::Error::other)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

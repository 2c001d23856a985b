//! Telling the source what the devices hold, so that it copies only what differs.

use std::io;
use std::sync::{MutexGuard, PoisonError};

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
        let cursor = self.cursor.get();
        let group = cursor.received.open_group;
        let waits_for_its_end = cursor.is_settled()
            && cursor.base == FileNumber(0)
            && group == cursor.applied.lsn.next();
        if !waits_for_its_end {
            return Ok(false);
        }
        let question = match self.question() {
            Ok(Some(question)) => question,
            Ok(None) => return Ok(false),
            Err(error) => {
                tracing::warn!(%error, "what the source asks can't be read");
                return Ok(false);
            }
        };
        let is_about_it = question.volume == self.spool.identity().id && question.group == group;
        if !is_about_it || self.lock_answered().as_ref() == Some(&question) {
            return Ok(false);
        }
        let answer = Answer::to(&question, replay.devices()).map_err(ApplyError::Answer)?;
        let told = self
            .spool
            .root()
            .write_atomic(Answer::NAME, &answer.encode());
        told.map_err(ApplyError::Answer)?;
        // the file stays: the next question may lie there already. After a restart this one is
        // answered again, and in the same way
        *self.lock_answered() = Some(question);
        tracing::info!(
            blocks = answer.digests.len(),
            "told the source what the mirror holds"
        );
        Ok(true)
    }

    fn lock_answered(&self) -> MutexGuard<'_, Option<Question>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use aim_core::device::{BlockDevice, MemDevice};
    use aim_core::format::Kind;
    use aim_core::fs::Directory;
    use aim_core::identity::VolumeIdentity;
    use aim_core::signature::BlockRange;
    use aim_core::spool::MirrorSpool;
    use aim_core::units::{ByteLen, ByteOffset, Lsn};
    use aim_tests::{MemFileSystem, Power, Series};

    use super::*;

    const DEVICE_BYTES: u64 = 64 << 10;

    fn question(identity: &VolumeIdentity, group: Lsn, number: u64) -> Question {
        Question {
            volume: identity.id,
            group,
            number,
            block_bytes: 4096,
            ranges: vec![BlockRange {
                device: 0,
                offset: ByteOffset(0),
                len: ByteLen(DEVICE_BYTES),
            }],
        }
    }

    fn put(folder: &dyn Directory, question: &Question) {
        let put = folder.write_atomic(Question::NAME, &question.encode());
        put.unwrap();
    }

    /// The source may put the next question as soon as it sees the answer: before anything else
    /// that is done here about the one before.
    #[test]
    fn each_question_is_answered_once_and_none_is_removed() {
        let identity = VolumeIdentity::generate(ByteLen(DEVICE_BYTES), 512);
        let mut series = Series::new(identity.clone(), 5);
        let begin = (Kind::GroupBegin { hole: false }, 0, 0);
        let sealed = [series.next_file(8), series.next_file_of(&[begin])];
        let files = MemFileSystem::new(Power::steady());
        let folder = files.folder("/mirror");
        let spool = MirrorSpool::create(folder.clone(), &identity).unwrap();
        for file in &sealed {
            let name = file.name.sealed();
            let bytes = series.folder().read_small(&name, 1 << 30).unwrap();
            spool.incoming_folder().write_atomic(&name, &bytes).unwrap();
        }
        let cursor = Arc::new(spool.cursor().unwrap());
        let device = MemDevice::new(ByteLen(DEVICE_BYTES), 512);
        let devices: Vec<Arc<dyn BlockDevice>> = vec![Arc::new(device)];
        let mut replay = Replay::new(identity.clone(), devices, cursor.clone()).unwrap();
        let mirror = Mirror::new(spool, cursor.clone(), None, Duration::ZERO).unwrap();
        mirror.receive().unwrap();
        while mirror.apply_next(&mut replay).unwrap() {}
        let group = cursor.get().received.open_group;
        assert_ne!(group, Lsn(0));

        for number in [7, 8] {
            put(&*folder, &question(&identity, group, number));
            assert!(mirror.answer(&replay).unwrap());
            assert!(!mirror.answer(&replay).unwrap(), "once");
            let answer = folder.read_small(Answer::NAME, FILE_BYTES_MAX).unwrap();
            assert_eq!(Answer::decode(&answer).unwrap().number, number);
            let left = mirror.question().unwrap();
            assert_eq!(left, Some(question(&identity, group, number)));
        }
    }
}

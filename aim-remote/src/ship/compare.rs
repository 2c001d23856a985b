//! Carries what the source asks of the mirror, and what the mirror answers: small files, in the
//! mirror's directory.

use aim_core::capture::Comparison;
use aim_core::signature::{Answer, FILE_BYTES_MAX, Question};

use super::ShipError;
use super::retention::Retention;
use crate::file_io::Source;
use crate::transport::{Name, Progress, Transport, TransportError};

/// The question that was put last.
#[derive(Debug, Default)]
pub(super) struct Asked(Option<u64>);

impl Asked {
    /// Puts the question to `party`, if there is one, and takes the answer, if it is there.
    /// Says whether one is still waited for.
    pub(super) async fn carry<T: Transport>(
        &mut self,
        party: u32,
        retention: &Retention,
        comparison: &Comparison,
        transport: &T,
    ) -> Result<bool, ShipError> {
        let Some(question) = comparison.question(party) else {
            return Ok(false);
        };
        if self.0 != Some(question.number) {
            // before anybody can answer it
            retention.note_compared(question.group)?;
            let name = Name::parse(Question::NAME)?;
            let file = Source::from_bytes(Question::NAME, question.encode());
            let put = transport.put(&name, &file, &Progress::default()).await?;
            tracing::debug!(bytes = put.sent, "asked what the mirror holds");
            self.0 = Some(question.number);
            return Ok(true);
        }
        let name = Name::parse(Answer::NAME)?;
        let bytes = match transport.get(&name, FILE_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(TransportError::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        match Answer::decode(&bytes) {
            // it may be one to an earlier question
            Ok(answer) => Ok(!comparison.answer(party, answer)),
            Err(error) => {
                tracing::warn!(%error, "what the mirror says it holds can't be read");
                Ok(true)
            }
        }
    }
}

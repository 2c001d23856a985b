//! As what the drain journals each transaction.

use super::drain::Drain;
use super::record::Stage;
use super::shared::Shared;
use crate::format::Kind;
use crate::units::{ByteLen, Lsn};

impl Drain {
    /// Decides as what each transaction of the batch is journalled.
    ///
    /// Where the disk failed a request, the series does not tell any more what the disk holds: a
    /// group begins in its place. A group ends where its end comes up only if by then nothing has
    /// to be copied. A baseline neither begins nor ends in a group.
    pub(super) fn resolve(&mut self) {
        self.kinds.clear();
        let mut is_in_group = self.series.open_group() != Lsn(0);
        for captured in &self.batch {
            let kind = match (captured.stage, captured.kind) {
                (Stage::Failed, _) if is_in_group => Kind::Void,
                (Stage::Failed, kind) => {
                    tracing::error!(
                        lsn = captured.lsn.get(),
                        offset = captured.offset.get(),
                        len = captured.len.get(),
                        "the disk failed a {kind:?}: what it holds there will be copied"
                    );
                    self.shared.gate.group_begun(Some(captured.lsn));
                    self.shared.progress().copied = ByteLen(0);
                    is_in_group = true;
                    Kind::GroupBegin { hole: false }
                }
                (_, Kind::GroupBegin { .. }) if is_in_group => {
                    self.shared.gate.group_goes_on();
                    Kind::Void
                }
                (_, kind @ Kind::GroupBegin { .. }) => {
                    self.shared.gate.group_begun(Some(captured.lsn));
                    is_in_group = true;
                    kind
                }
                (_, Kind::GroupEnd) if is_in_group && self.shared.gate.end_group() => {
                    is_in_group = false;
                    Kind::GroupEnd
                }
                (_, Kind::GroupEnd) => Kind::Void,
                (_, kind @ (Kind::BaselineBegin | Kind::BaselineEnd { .. })) => resolve_baseline(
                    &self.shared,
                    &mut self.baseline,
                    kind,
                    captured.lsn,
                    is_in_group,
                ),
                (_, kind) => kind,
            };
            if kind != captured.kind || kind.is_mark() {
                self.shared.caretaker_bell.ring();
            }
            self.kinds.push(kind);
        }
    }
}

/// As what the begin or the end of a baseline is journalled. A request that was in flight when it
/// got its place may have failed since.
fn resolve_baseline(
    shared: &Shared,
    baseline: &mut Lsn,
    kind: Kind,
    lsn: Lsn,
    is_in_group: bool,
) -> Kind {
    match kind {
        Kind::BaselineBegin if !is_in_group => *baseline = lsn,
        Kind::BaselineEnd { begin } if begin == *baseline && !is_in_group => {}
        Kind::BaselineEnd { begin } if begin == *baseline => {
            shared.baselines.end_refused();
            return Kind::Void;
        }
        _ => {
            *baseline = Lsn(0);
            shared.baselines.spoil();
            return Kind::Void;
        }
    }
    kind
}

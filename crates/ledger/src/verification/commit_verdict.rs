use super::VerificationError;
use crate::{
    execution::Execution,
    market::{keep_slot, slot},
};
use fairweir_types::{Address, Event, event::VerdictCommitted, tx::CommitVerdict};

/// Commits a drawn verifier to its trace; with the last commitment the next phase begins.
pub(crate) fn commit_verdict(
    execution: &mut Execution<'_>,
    sender: Address,
    commit: &CommitVerdict,
) -> Result<(), VerificationError> {
    let CommitVerdict {
        slot_id,
        tier,
        commitment,
    } = *commit;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(VerificationError::NoSuchSlot);
    };
    let expected = super::committing(tier);
    if record.phase != expected {
        return Err(VerificationError::WrongPhase {
            expected,
            found: record.phase,
        });
    }
    let drawn = record
        .draw_of(tier)
        .as_mut_slice()
        .iter_mut()
        .find(|drawn| drawn.verifier == sender);
    let drawn = drawn.ok_or(VerificationError::NotDrawn)?;
    if drawn.commitment.is_some() {
        return Err(VerificationError::AlreadyCommitted);
    }
    drawn.commitment = Some(commitment);
    execution.emit(Event::VerdictCommitted(VerdictCommitted {
        slot_id,
        tier,
        verifier: sender,
    }));
    if record
        .draw_of(tier)
        .iter()
        .all(|drawn| drawn.commitment.is_some())
    {
        super::window::commitments_complete(execution, slot_id, record, tier)?;
    } else {
        keep_slot(execution, slot_id, &record);
    }
    Ok(())
}

use super::VerificationError;
use crate::{
    execution::Execution,
    market::{keep_slot, slot},
};
use fairweir_types::{
    Address, Event, event::VerdictRevealed, receipt::verdict_commitment, tx::RevealVerdict,
};

/// Reveals a verifier's trace; with the last one the verdict is reached.
pub(crate) fn reveal_verdict(
    execution: &mut Execution<'_>,
    sender: Address,
    reveal: &RevealVerdict,
) -> Result<(), VerificationError> {
    let RevealVerdict {
        slot_id,
        tier,
        nonce,
        trace,
        ref samples,
    } = *reveal;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(VerificationError::NoSuchSlot);
    };
    let expected = super::revealing(tier);
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
    let commitment = drawn.commitment.ok_or(VerificationError::NotCommitted)?;
    if drawn.trace.is_some() {
        return Err(VerificationError::AlreadyRevealed);
    }
    if verdict_commitment(sender, &slot_id, &nonce, &trace) != commitment {
        return Err(VerificationError::DoesNotOpen);
    }
    drawn.trace = Some(trace);
    let are_those = match &mut record.batch {
        None => samples.is_empty(),
        Some(batch) => batch.hear(&slot_id, &trace, samples),
    };
    if !are_those {
        return Err(VerificationError::OtherSamples);
    }
    execution.emit(Event::VerdictRevealed(VerdictRevealed {
        slot_id,
        tier,
        verifier: sender,
        trace,
        samples: samples.clone(),
    }));
    // A verifier that did not commit cannot reveal; it is not waited for.
    if record
        .draw_of(tier)
        .iter()
        .all(|drawn| drawn.trace.is_some() || drawn.commitment.is_none())
    {
        super::judge::judge(execution, slot_id, record, tier)?;
    } else {
        keep_slot(execution, slot_id, &record);
    }
    Ok(())
}

//! A dispute over a batch: its verifiers must be able to read what the worker showed to those of the first draw.
//!
//! The worker gives each of them the content key, and so may the verifiers of the first draw, who have it: neither can keep a dispute from
//! being decided alone, and the worker's word does not end the time of the others, or it could give a wrong key and make them look wrong. Whether what they gave is right the dispute's verifiers tell, and all of them tell the same
//! (`services/src/session/seal.rs`).

use super::{Batch, SessionError};
use crate::{
    execution::Execution,
    fault::{Fault, present},
    market::{Draw, Phase, Slot, begin_window, keep_slot, slot},
    verification,
};
use fairweir_types::{
    Address, BoundedVec, Boxed, Event,
    event::{LeavesShared, SharingDue},
    limits::DRAWN_MAX,
    order::SlotId,
    receipt::Tier,
    session::Reader,
    tx::ShareLeaves,
};

/// The verifiers of a draw with their keys.
pub(super) fn readers_of(draw: &Draw) -> BoundedVec<Reader, DRAWN_MAX> {
    BoundedVec::truncating(draw.iter().map(|drawn| Reader {
        verifier: drawn.verifier,
        key: drawn.seal_key,
    }))
}

/// The dispute's verifiers of a batch were drawn: they are let read what was shown.
pub(crate) fn begin_sharing(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let (worker, readers) = (slot.assigned()?, readers_of(&slot.dispute));
    let window = (Phase::Sharing, execution.params.open_window);
    let due = begin_window(execution, slot_id, &mut slot, window)?;
    execution.emit(Event::SharingDue(Boxed::new(SharingDue {
        slot_id,
        worker,
        readers,
        due,
    })));
    Ok(())
}

/// Takes the content key for the dispute's verifiers. The wait ends early once all of the first draw gave it.
pub(crate) fn share_leaves(
    execution: &mut Execution<'_>,
    sender: Address,
    share: &ShareLeaves,
) -> Result<(), SessionError> {
    let slot_id = share.slot_id;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(SessionError::NoSuchLane);
    };
    if record.phase != Phase::Sharing {
        return Err(SessionError::WrongPhase {
            expected: Phase::Sharing,
            found: record.phase,
        });
    }
    let is_worker = record.worker == Some(sender);
    if !is_worker && !record.first.iter().any(|one| one.verifier == sender) {
        return Err(SessionError::NotAReader);
    }
    if share.wraps.len() != record.dispute.len() {
        return Err(SessionError::OtherWraps {
            expected: record.dispute.len(),
            found: share.wraps.len(),
        });
    }
    let batch: &mut Batch = present(record.batch.as_mut(), "batch of a slot that is shared")?;
    if batch.sharers.iter().any(|one| *one == sender) || batch.sharers.push(sender).is_err() {
        return Err(SessionError::AlreadyShared);
    }
    execution.emit(Event::LeavesShared(Boxed::new(LeavesShared {
        slot_id,
        sender,
        wraps: share.wraps.clone(),
    })));
    let batch = present(record.batch.as_ref(), "batch of a slot that is shared")?;
    let gave = |verifier: Address| batch.sharers.iter().any(|one| *one == verifier);
    if record.first.iter().all(|one| gave(one.verifier)) {
        verification::begin_commit(execution, slot_id, record, Tier::Dispute)?;
    } else {
        keep_slot(execution, slot_id, &record);
    }
    Ok(())
}

/// The time to share is over: what the first draw's verifiers shared must do, and without any the batch counts as not shown.
pub(crate) fn sharing_ended(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
) -> Result<(), Fault> {
    let batch = present(slot.batch.as_ref(), "batch of a slot that is shared")?;
    if batch.sharers.is_empty() {
        return verification::unopened(execution, slot_id, slot);
    }
    verification::begin_commit(execution, slot_id, slot, Tier::Dispute)
}

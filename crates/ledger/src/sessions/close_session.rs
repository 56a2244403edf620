use super::{
    SessionError,
    lane::{close_lane, payers_of},
};
use crate::{
    execution::Execution,
    market::{Phase, order, refund, slot},
};
use fairweir_types::{Address, event::RefundReason, order::SlotId, tx::CloseSession};

/// Closes every lane of a session that still serves, and gives up those that wait for a worker.
pub(crate) fn close_session(
    execution: &mut Execution<'_>,
    sender: Address,
    close: &CloseSession,
) -> Result<(), SessionError> {
    let Some(session) = order(&execution.overlay, close.order)? else {
        return Err(SessionError::NoSuchLane);
    };
    // A batch has the header of its session, but its slot is no lane.
    let first = SlotId {
        order: close.order,
        slot: 0,
    };
    let is_batch = slot(&execution.overlay, first)?.is_some_and(|slot| slot.batch.is_some());
    if session.header.open_rounds().is_none() || is_batch {
        return Err(SessionError::NotASession);
    }
    if !payers_of(&session)?.include(sender) {
        return Err(SessionError::NotAPayer);
    }
    for number in 0..session.header.slots {
        let slot_id = SlotId {
            order: close.order,
            slot: number,
        };
        let Some(record) = slot(&execution.overlay, slot_id)? else {
            continue;
        };
        match record.phase {
            Phase::AwaitingMatch => refund(execution, slot_id, &record, RefundReason::Cancelled)?,
            Phase::Serving => close_lane(execution, slot_id, record)?,
            _ => {}
        }
    }
    Ok(())
}

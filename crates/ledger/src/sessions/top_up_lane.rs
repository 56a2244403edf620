use super::{
    SessionError,
    lane::{lane_costs, lane_exposure, lane_of},
};
use crate::{
    bank,
    delegates::{self, DelegateError},
    execution::Execution,
    fault::{Fault, OrFault, present},
    keys,
    market::{HeldStream, Order, Phase, Slot, keep_order, keep_slot, order, slot},
    refusal::Refusal,
    registry::{self, OfferRecord},
    secured, stake,
};
use fairweir_types::{
    Address, Amount, AmountError, Event, event::LaneToppedUp, order::SlotId, tx::TopUpLane,
};

/// Raises the cap of a lane that serves: its buyer locks more, and more of its worker's stake covers it (protocol rule 5).
///
/// The worker is not asked: with its offer it said how much of its stake it puts behind work.
pub(crate) fn top_up_lane(
    execution: &mut Execution<'_>,
    sender: Address,
    top_up: &TopUpLane,
) -> Result<(), Refusal> {
    let TopUpLane { lane, amount } = *top_up;
    let Some(record) = slot(&execution.overlay, lane)?.filter(|slot| slot.lane.is_some()) else {
        return Err(SessionError::NoSuchLane.into());
    };
    if record.phase != Phase::Serving {
        return Err(SessionError::WrongPhase {
            expected: Phase::Serving,
            found: record.phase,
        }
        .into());
    }
    let session = present(order(&execution.overlay, lane.order)?, "order of a lane")?;
    if sender != session.buyer && sender != session.poster.account {
        return Err(SessionError::NotTheBuyer.into());
    }
    if amount == Amount::ZERO {
        return Err(SessionError::NothingAdded.into());
    }
    let worker = record.assigned()?;
    let kind = session.header.kind;
    let offer = present(
        registry::offer(&execution.overlay, kind, worker)?,
        "offer of a lane's worker",
    )?;
    if !offer.listed {
        return Err(SessionError::OfferWithdrawn.into());
    }
    let has = free_stake(execution, worker, &offer)?;
    let balance = bank::account(&execution.overlay, session.buyer)?.balance;
    // A cap beyond all the money that there is nobody can pay.
    let more = More::of(execution, (&session, &record), amount).map_err(|_| {
        SessionError::CannotPayTopUp {
            balance,
            locked: Amount::MAX,
        }
    })?;
    let More {
        exposure: asked,
        locked,
        ..
    } = more;
    if asked > has {
        return Err(SessionError::StakeDoesNotCover { has, asked }.into());
    }
    if locked > balance {
        return Err(SessionError::CannotPayTopUp { balance, locked }.into());
    }
    let payer = session.buyer;
    if sender != payer {
        // What comes back goes to the grant that the session was opened under, so that one pays for it.
        let since = delegates::spend(execution, payer, sender, locked)?;
        if session.poster.granted != Some(since) {
            return Err(DelegateError::OtherGrant.into());
        }
    }
    secured::check(execution, locked)?;
    raise(execution, (lane, record), session, (offer, &more))?;
    execution.emit(Event::LaneToppedUp(LaneToppedUp {
        slot_id: lane,
        worker,
        payer,
        cap: more.cap,
        locked,
    }));
    Ok(())
}

/// What a higher cap takes.
struct More {
    /// The new cap.
    cap: Amount,
    /// Of the buyer's money, the reserve included.
    locked: Amount,
    /// What of it is for fees and checks alone.
    reserve: Amount,
    /// Of the worker's stake.
    exposure: Amount,
}

impl More {
    fn of(
        execution: &Execution<'_>,
        (session, slot): (&Order, &Slot),
        amount: Amount,
    ) -> Result<Self, AmountError> {
        let params = &session.terms.over(&execution.params);
        let cap = slot.quote.checked_add(amount)?;
        let (before, after) = (lane_costs(params, slot.quote)?, lane_costs(params, cap)?);
        let request = slot.prices.quote(&session.header.demand.units)?;
        Ok(Self {
            cap,
            locked: after.0.checked_sub(before.0)?,
            reserve: after.1.checked_sub(before.1)?,
            exposure: lane_exposure(params, request, cap)?.checked_sub(slot.exposure)?,
        })
    }
}

/// What a worker has left to cover work of an offer.
fn free_stake(
    execution: &Execution<'_>,
    worker: Address,
    offer: &OfferRecord,
) -> Result<Amount, Fault> {
    let staked = stake::stake(&execution.overlay, worker)?;
    let free = |limit: Amount, used: Amount| limit.checked_sub(used).unwrap_or(Amount::ZERO);
    Ok(free(offer.offer.collateral, offer.exposure).min(free(staked.bonded, staked.exposure)))
}

fn raise(
    execution: &mut Execution<'_>,
    (lane_id, mut slot): (SlotId, Slot),
    mut session: Order,
    (mut offer, more): (OfferRecord, &More),
) -> Result<(), Fault> {
    let (worker, buyer) = (slot.assigned()?, session.buyer);
    let mut lane = lane_of(&slot)?;
    lane.left = lane.left.checked_add(more.locked).or_fault()?;
    lane.reserve = lane.reserve.checked_add(more.reserve).or_fault()?;
    slot.lane = Some(lane);
    slot.quote = more.cap;
    slot.exposure = slot.exposure.checked_add(more.exposure).or_fault()?;
    offer.exposure = offer.exposure.checked_add(more.exposure).or_fault()?;
    let streams = session.streams.as_mut_slice().iter_mut();
    let stream: &mut HeldStream = present(
        streams.into_iter().find(|stream| stream.payer == buyer),
        "money of a session's buyer",
    )?;
    stream.held = stream.held.checked_add(more.locked).or_fault()?;
    bank::debit(execution, buyer, more.locked)?;
    stake::expose(execution, worker, more.exposure)?;
    let kind = session.header.kind;
    execution.overlay.store(keys::offer(kind, worker), &offer);
    keep_order(execution, lane_id.order, &session)?;
    keep_slot(execution, lane_id, &slot);
    Ok(())
}

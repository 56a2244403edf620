//! A lane from its match to its end.

use super::{Batch, Lane, SessionError};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    market::{
        Order, Phase, Slot, Timer, begin_window, close_slot, give_back, order, release_worker,
        slot_of, store_slot,
    },
    params::{Params, money},
};
use fairweir_types::{
    Amount, AmountError, Boxed, Bps, Event, Height, Rounding,
    event::{LaneClosed, LaneClosing, LaneOpened},
    limits::SESSION_SPEC_BYTES_MAX,
    order::{OpenRounds, OrderHeader, SlotId},
    session::Payers,
};

/// Milliseconds that a lane may stay open: from a few windows to a week.
const OPEN_FOR_MS: std::ops::RangeInclusive<u64> = 10_000..=604_800_000;
/// Batches whose least fees the reserve of a lane pays besides its share of the cap; later ones pay for themselves.
const RESERVE_BATCHES: u64 = 32;

/// Checks the part of a session's header that other orders do not have.
pub(crate) fn check_open(
    header: &OrderHeader,
    rounds: &OpenRounds,
    quote_max: Amount,
) -> Result<(), SessionError> {
    if !OPEN_FOR_MS.contains(&rounds.open_for.get()) {
        return Err(SessionError::OpenForOutOfRange {
            found: rounds.open_for,
        });
    }
    if rounds.lane_cap < quote_max || rounds.lane_cap == Amount::ZERO {
        return Err(SessionError::CapTooLow {
            cap: rounds.lane_cap,
            needed: quote_max,
        });
    }
    let bytes_max = u64::try_from(SESSION_SPEC_BYTES_MAX).unwrap_or(u64::MAX);
    if header.spec_inline.is_some()
        || header.spec_digest != fairweir_types::Digest::ZERO
        || header.demand.bytes_in.get() > bytes_max
    {
        return Err(SessionError::SpecInSession);
    }
    Ok(())
}

/// What a lane locks: its cap, and a reserve for fees and checks.
pub(crate) fn lane_costs(params: &Params, cap: Amount) -> Result<(Amount, Amount), AmountError> {
    let fees = Params::share_up(cap, params.settlement_fee_bps)?;
    // Sampled work costs its checks; twice, because short requests cost more to check than their share.
    let checks = Params::share_up(
        Params::share_up(cap, params.sampling_bps)?,
        params.check_fee_bps,
    )?
    .checked_mul_ratio(params.first_draw.saturating_mul(2), 1, Rounding::Up)?;
    let least = money(params.check_fee_min)
        .checked_mul_ratio(params.first_draw, 1, Rounding::Up)?
        .checked_add(money(params.link_fee))?
        .checked_add(money(params.settlement_fee_min))?
        .checked_mul_ratio(RESERVE_BATCHES, 1, Rounding::Up)?;
    let reserve = Amount::sum([fees, checks, least])?;
    Ok((cap.checked_add(reserve)?, reserve))
}

/// The stake that must cover a lane so that cheating loses for any number of requests (protocol rule 5).
///
/// With g the most that one request costs, c the lane's cap, p the sampling rate, s the share of the stake S that a wrong batch costs:
/// cheating in n requests gains at most n·g ≤ c and is found with probability 1−(1−p)^n ≥ np/(1+np). The loss s·S·np/(1+np)
/// exceeds n·g for every n when s·S·p ≥ g + p·c, so the stake set aside is (g/p + c)/s, rounded up.
///
/// # Errors
/// [`AmountError`] when it exceeds the cap of all money.
pub fn lane_exposure(params: &Params, request: Amount, cap: Amount) -> Result<Amount, AmountError> {
    request
        .checked_mul_ratio(Bps::WHOLE, params.sampling_bps.max(1), Rounding::Up)?
        .checked_add(cap)?
        .checked_mul_ratio(Bps::WHOLE, params.slash_share_bps.max(1), Rounding::Up)
}

/// Makes a lane of a slot that was just matched.
pub(crate) fn open_lane(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    order: &Order,
    rounds: &OpenRounds,
) -> Result<(), Fault> {
    let (left, reserve) = lane_costs(&order.terms.over(&execution.params), rounds.lane_cap)?;
    let until = execution.window_end(rounds.open_for.get())?;
    let height = execution.window_height()?;
    slot.phase = Phase::Serving;
    slot.quote = rounds.lane_cap;
    slot.lane = Some(Lane {
        until,
        left,
        reserve,
        ..Lane::default()
    });
    let worker = slot.assigned()?;
    let event = LaneOpened {
        slot_id,
        worker,
        payers: payers_of(order)?,
        kind: order.header.kind,
        version: order.header.version,
        prices: slot.prices,
        demand: order.header.demand,
        cap: rounds.lane_cap,
        until,
    };
    store_slot(
        execution,
        slot_id,
        &mut slot,
        Timer {
            time: until,
            height,
        },
    );
    execution.emit(Event::LaneOpened(Boxed::new(event)));
    Ok(())
}

/// Who may ask and pay in a session.
pub(crate) fn payers_of(order: &Order) -> Result<Payers, Fault> {
    let rounds = present(order.header.open_rounds(), "rounds of a session")?;
    Ok(Payers {
        buyer: order.buyer,
        delegate: rounds.delegate,
    })
}

/// The lane of a slot that must have one.
pub(super) fn lane_of(slot: &Slot) -> Result<Lane, Fault> {
    present(slot.lane, "lane of a slot that serves")
}

/// From here on a lane only takes what its worker still has to claim.
pub(super) fn close_lane(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let worker = slot.assigned()?;
    let window = (Phase::Closing, execution.params.close_window);
    let until = begin_window(execution, slot_id, &mut slot, window)?;
    execution.emit(Event::LaneClosing(LaneClosing {
        slot_id,
        worker,
        until,
    }));
    Ok(())
}

/// The timer of a lane ran out: it closes, or ends once its last batch is settled.
pub(crate) fn lane_timer_ended(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    if slot.phase == Phase::Serving {
        return close_lane(execution, slot_id, slot);
    }
    let lane = lane_of(&slot)?;
    if lane.open_batches > 0 {
        // Its batches have windows of their own; look again when the slowest may be over.
        slot.phase = Phase::Ending;
        let time = execution.window_end(execution.params.challenge_window)?;
        let height = counted(execution.context.height.checked_add(Height(1)), "height")?;
        store_slot(execution, slot_id, &mut slot, Timer { time, height });
        return Ok(());
    }
    end_lane(execution, slot_id, &slot, &lane)
}

fn end_lane(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: &Slot,
    lane: &Lane,
) -> Result<(), Fault> {
    let mut order = present(order(&execution.overlay, slot_id.order)?, "order of a lane")?;
    release_worker(execution, &order, slot)?;
    give_back(execution, &mut order, lane.left)?;
    execution.emit(Event::LaneClosed(LaneClosed {
        slot_id,
        worker: slot.assigned()?,
        claimed: lane.claimed,
        returned: lane.left,
    }));
    close_slot(execution, slot_id, slot, order)
}

/// A batch left the state. A lane that only waited for it ends too; one whose batch was wrong takes no more.
pub(crate) fn batch_ended(
    execution: &mut Execution<'_>,
    batch: &Batch,
    has_failed: bool,
) -> Result<(), Fault> {
    let slot_id = batch.lane;
    let mut slot = slot_of(&execution.overlay, slot_id)?;
    let mut lane = lane_of(&slot)?;
    lane.open_batches = counted(lane.open_batches.checked_sub(1), "open batches of a lane")?;
    lane.has_failed |= has_failed;
    slot.lane = Some(lane);
    if slot.phase == Phase::Ending && lane.open_batches == 0 {
        crate::market::keep_slot(execution, slot_id, &slot);
        return end_lane(execution, slot_id, &slot, &lane);
    }
    if lane.has_failed && slot.phase == Phase::Serving {
        return close_lane(execution, slot_id, slot);
    }
    crate::market::keep_slot(execution, slot_id, &slot);
    Ok(())
}

/// What of a lane is left for work.
pub(super) fn left_for_work(lane: &Lane) -> Result<Amount, Fault> {
    lane.left.checked_sub(lane.reserve).or_fault()
}

use super::{
    Batch, SessionError,
    lane::{lane_of, left_for_work, payers_of},
    sample::requests_max,
};
use crate::{
    execution::Execution,
    fault::{OrFault, counted, present},
    market::{
        HeldStream, Order, Phase, Slot, Timer, keep_order, keep_slot, order, slot, spend,
        store_slot,
    },
    params::{Params, money},
    registry,
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Digest, Event, Height, Millis, Rounding,
    event::BatchPosted,
    limits::BATCHES_OPEN_MAX,
    order::{OrderHeader, SlotId},
    session::batch_slot,
    sum_tree::SumNode,
    tx::PostBatch,
};

/// Takes a worker's claim for requests of its lane and puts it up for the draw of its samples.
pub(crate) fn post_batch(
    execution: &mut Execution<'_>,
    sender: Address,
    post: &PostBatch,
) -> Result<(), SessionError> {
    let lane_id = post.lane;
    let Some(mut lane_slot) = slot(&execution.overlay, lane_id)?.filter(|slot| slot.lane.is_some())
    else {
        return Err(SessionError::NoSuchLane);
    };
    if !matches!(lane_slot.phase, Phase::Serving | Phase::Closing) {
        return Err(SessionError::WrongPhase {
            expected: Phase::Serving,
            found: lane_slot.phase,
        });
    }
    if lane_slot.worker != Some(sender) {
        return Err(SessionError::NotTheWorker);
    }
    let mut session = present(order(&execution.overlay, lane_id.order)?, "order of a lane")?;
    check_claim(execution, post, &session, &lane_slot)?;
    let mut lane = lane_of(&lane_slot)?;
    let params = session.terms.over(&execution.params);
    let costs = Costs::of(&params, post).or_fault()?;
    let from_reserve = costs.together.at_most(lane.reserve);
    let beyond = costs.together.checked_sub(from_reserve).or_fault()?;
    let Ok(pay) = post.total.checked_sub(beyond) else {
        return Err(SessionError::BatchTooSmall {
            claimed: post.total,
            cost: beyond,
        });
    };
    let moved = post.total.checked_add(from_reserve).or_fault()?;
    let number = lane.batches;
    lane.claimed = lane.claimed.checked_add(post.total).or_fault()?;
    lane.left = lane.left.checked_sub(moved).or_fault()?;
    lane.reserve = lane.reserve.checked_sub(from_reserve).or_fault()?;
    lane.next_request = counted(post.numbers.last.checked_add(1), "requests of a lane")?;
    lane.batches = counted(number.checked_add(1), "batches of a lane")?;
    lane.open_batches = counted(lane.open_batches.checked_add(1), "open batches of a lane")?;
    spend(&mut session, moved)?;
    keep_order(execution, lane_id.order, &session)?;
    lane_slot.lane = Some(lane);
    keep_slot(execution, lane_id, &lane_slot);
    let batch = Batch {
        lane: lane_id,
        root: SumNode {
            digest: post.root,
            sum: post.total,
        },
        count: post.count,
        numbers: post.numbers,
        pay,
        draws_at: Height::ZERO,
        seed: Digest::ZERO,
        link: None,
        samples: BoundedVec::default(),
        chosen_check: None,
        leaves: BoundedVec::default(),
        sharers: BoundedVec::default(),
        found: BoundedVec::default(),
    };
    open(
        execution,
        (&session, &lane_slot),
        batch,
        &costs,
        (number, moved),
    )
}

/// The claim against lane and voucher, in the order of the codes.
fn check_claim(
    execution: &Execution<'_>,
    post: &PostBatch,
    session: &Order,
    lane_slot: &Slot,
) -> Result<(), SessionError> {
    let lane = lane_of(lane_slot)?;
    if lane.has_failed {
        return Err(SessionError::LaneFailed);
    }
    if post.number != lane.batches {
        return Err(SessionError::BatchNumber {
            expected: lane.batches,
            found: post.number,
        });
    }
    // A lane that closes may always claim once more, or its buyer could choose a moment at which it cannot.
    let spare = u32::from(lane_slot.phase == Phase::Closing);
    if lane.open_batches >= BATCHES_OPEN_MAX.saturating_add(spare) {
        return Err(SessionError::TooManyBatches {
            max: BATCHES_OPEN_MAX,
        });
    }
    let max = requests_max(&session.terms.over(&execution.params));
    if !(1..=max).contains(&post.count) {
        return Err(SessionError::BatchSize {
            max,
            found: post.count,
        });
    }
    let voucher = &post.voucher.voucher;
    if voucher.chain_id != execution.context.chain_id
        || voucher.lane != post.lane
        || !post.voucher.is_signed_by(&payers_of(session)?)
    {
        return Err(SessionError::BadVoucher);
    }
    let claimed = lane.claimed.checked_add(post.total).unwrap_or(Amount::MAX);
    if claimed > voucher.cumulative {
        return Err(SessionError::AboveVoucher {
            covered: voucher.cumulative,
            claimed,
        });
    }
    // Else the stake that covers the lane would not: it is reckoned with what one request may cost.
    let request = lane_slot.prices.quote(&session.header.demand.units);
    let most = request
        .and_then(|request| request.checked_mul_ratio(u64::from(post.count), 1, Rounding::Up))
        .unwrap_or(Amount::MAX);
    if post.total > most {
        return Err(SessionError::AboveRequests {
            most,
            claimed: post.total,
        });
    }
    let left = left_for_work(&lane)?;
    if post.total > left {
        return Err(SessionError::AboveCap {
            left,
            claimed: post.total,
        });
    }
    // No number is paid twice: within a batch its leaves ascend, which whoever checks a sample sees of all of them.
    let numbers = post.numbers;
    if numbers.first < lane.next_request || numbers.last == u64::MAX || !numbers.hold(post.count) {
        return Err(SessionError::BatchNumbers {
            next: lane.next_request,
            count: post.count,
            numbers,
        });
    }
    Ok(())
}

/// What the settlement of a batch costs besides its work.
struct Costs {
    settlement_fee: Amount,
    /// For all checks of one verifier.
    check_fee: Amount,
    together: Amount,
}

impl Costs {
    fn of(params: &Params, post: &PostBatch) -> Result<Self, fairweir_types::AmountError> {
        let settlement_fee = Params::share_up(post.total, params.settlement_fee_bps)?
            .max(money(params.settlement_fee_min));
        // A check of an average request, for as many as may be drawn.
        let average = post
            .total
            .checked_mul_ratio(1, u64::from(post.count), Rounding::Up)?;
        let each =
            Params::share_up(average, params.check_fee_bps)?.max(money(params.check_fee_min));
        let samples = super::sample::samples_max(params, post.count);
        let check_fee = each.checked_mul_ratio(samples, 1, Rounding::Up)?;
        let checks = check_fee.checked_mul_ratio(params.first_draw, 1, Rounding::Up)?;
        // One verifier reveals a link, whatever is drawn.
        let link = money(params.link_fee);
        Ok(Self {
            settlement_fee,
            check_fee,
            together: Amount::sum([settlement_fee, checks, link])?,
        })
    }
}

/// Opens the batch's order of one slot.
fn open(
    execution: &mut Execution<'_>,
    (session, lane_slot): (&Order, &Slot),
    batch: Batch,
    costs: &Costs,
    (number, held): (u32, Amount),
) -> Result<(), SessionError> {
    let slot_id: SlotId = batch_slot(&batch.lane, number);
    let mut streams = BoundedVec::default();
    let stream = HeldStream {
        payer: session.buyer,
        held,
    };
    streams
        .push(stream)
        .map_err(|_| crate::fault::Fault::Counter { what: "streams" })?;
    let order = Order {
        buyer: session.buyer,
        poster: session.poster,
        header: OrderHeader {
            slots: 1,
            ..session.header.clone()
        },
        streams,
        slots_open: 1,
        slot_budget: held,
        quote_max: batch.root.sum,
        check_fee: costs.check_fee,
        terms: session.terms,
        has_appeals: session.has_appeals,
        settlement_fee: costs.settlement_fee,
        posting_fee: Amount::ZERO,
        has_blob_spec: false,
        deposit: Amount::ZERO,
        match_until: Millis::ZERO,
        posted: execution.context.height,
    };
    keep_order(execution, slot_id.order, &order)?;
    registry::count(&mut execution.overlay, |counters| {
        counters.open_orders = counters.open_orders.checked_add(1)?;
        Some(())
    })?;
    let height = counted(
        execution
            .context
            .height
            .checked_add(Height(execution.params.draw_delay)),
        "height",
    )?;
    let timer = Timer {
        time: Millis::ZERO,
        height,
    };
    let worker = lane_slot.assigned()?;
    let event = BatchPosted {
        slot_id,
        lane: batch.lane,
        number,
        worker,
        root: batch.root,
        count: batch.count,
        numbers: batch.numbers,
    };
    let mut record = Slot {
        phase: Phase::AwaitingSample,
        worker: Some(worker),
        worker_owner: lane_slot.worker_owner,
        prices: lane_slot.prices,
        quote: batch.root.sum,
        matched: execution.context.height,
        batch: Some(batch),
        ..Slot::new(timer)
    };
    store_slot(execution, slot_id, &mut record, timer);
    execution.emit(Event::BatchPosted(Boxed::new(event)));
    Ok(())
}

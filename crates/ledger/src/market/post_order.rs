use super::{HeldStream, MarketError, Order, Slot, Terms, Timer, keep_order};
use crate::{
    bank, catalogue,
    delegates::{self, DelegateError, Poster},
    execution::Execution,
    fault::{OrFault, counted},
    params::{Params, money},
    refusal::Refusal,
    registry, secured, sessions,
};
use commonware_codec::EncodeSize;
use fairweir_types::{
    Address, Amount, AmountError, BoundedVec, Boxed, Digest, Event, Height, Millis, VerifiedTx,
    event::OrderPosted,
    limits::SLOTS_MAX,
    order::{OpenRounds, OrderHeader, OrderId, Rounds, SlotId},
    tx::{OpenSession, PostOrder},
};

/// Milliseconds that matching may take: from a tenth of a heartbeat to a day.
const MATCH_WITHIN_MS: std::ops::RangeInclusive<u64> = 100..=86_400_000;
/// Milliseconds that one execution may take: from a heartbeat, so that a receipt can reach a block, to an hour.
pub(crate) const EXECUTION_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;
/// Bytes of state that one slot's records take at most, for the deposit: two draws of eight, a receipt, a timer.
const SLOT_RECORD_BYTES: u64 = 2_048;

/// Posts an order: locks escrow and deposit, and puts each slot up for the match two blocks later.
pub(crate) fn post_order(
    execution: &mut Execution<'_>,
    tx: &VerifiedTx,
    post: &PostOrder,
) -> Result<(), Refusal> {
    check_header(&post.header)?;
    lock(execution, tx, (tx.sender(), &post.header))
}

/// Posts a session that the owner of a grant pays for.
pub(crate) fn open_session(
    execution: &mut Execution<'_>,
    tx: &VerifiedTx,
    open: &OpenSession,
) -> Result<(), Refusal> {
    check_header(&open.header)?;
    let rounds = open.header.open_rounds();
    if rounds.and_then(|rounds| rounds.delegate) != Some(tx.sender()) {
        return Err(DelegateError::NotTheSessionsDelegate.into());
    }
    lock(execution, tx, (open.owner, &open.header))
}

fn check_header(header: &OrderHeader) -> Result<(), Refusal> {
    check_shape(header)?;
    if let Some(rounds) = header.open_rounds() {
        let request = header.price_max.quote(&header.demand.units);
        let request = request.map_err(|_| MarketError::PriceAboveCap)?;
        sessions::check_open(header, rounds, request)?;
    }
    Ok(())
}

/// Locks the buyer's escrow and deposit and opens the order.
fn lock(
    execution: &mut Execution<'_>,
    tx: &VerifiedTx,
    (buyer, header): (Address, &OrderHeader),
) -> Result<(), Refusal> {
    let costs = Costs::of(&execution.params, header).map_err(|_| MarketError::PriceAboveCap)?;
    let mut order = order_record(execution, tx, (buyer, header), &costs)?;
    order.deposit = record_deposit(execution, &order)?;
    let needed = costs
        .escrow
        .checked_add(order.deposit)
        .map_err(|_| MarketError::PriceAboveCap)?;
    if buyer != tx.sender() {
        let since = delegates::spend(execution, buyer, tx.sender(), needed)?;
        order.poster.granted = Some(since);
    }
    let balance = bank::account(&execution.overlay, buyer)?.balance;
    if balance < needed {
        return Err(MarketError::CannotPayEscrow { balance, needed }.into());
    }
    secured::check(execution, costs.escrow)?;
    bank::debit(execution, buyer, needed)?;
    Ok(open(execution, tx, (header, &order), costs.escrow)?)
}

/// What the records of an order are lent.
fn record_deposit(execution: &Execution<'_>, order: &Order) -> Result<Amount, MarketError> {
    let bytes = u64::try_from(order.encode_size()).ok().and_then(|bytes| {
        bytes.checked_add(SLOT_RECORD_BYTES.checked_mul(u64::from(order.header.slots))?)
    });
    money(execution.params.deposit_per_byte)
        .checked_mul_ratio(
            counted(bytes, "deposit bytes")?,
            1,
            fairweir_types::Rounding::Up,
        )
        .map_err(|_| MarketError::PriceAboveCap)
}

fn check_shape(header: &OrderHeader) -> Result<(), MarketError> {
    if header.slots == 0 {
        return Err(MarketError::NoSlots);
    }
    if usize::from(header.slots) > SLOTS_MAX {
        return Err(MarketError::TooManySlots {
            max: SLOTS_MAX,
            found: header.slots,
        });
    }
    if matches!(header.rounds, Rounds::Fixed(rounds) if rounds != 1) {
        return Err(MarketError::RoundsNotOffered);
    }
    let units = &header.demand.units;
    if [units.input, units.cached_input, units.output, units.time]
        .iter()
        .all(|units| units.get() == 0)
    {
        return Err(MarketError::NoDemand);
    }
    if let Some(spec) = &header.spec_inline {
        let size = u64::try_from(spec.as_slice().len()).unwrap_or(u64::MAX);
        if Digest::of_blob(spec.as_slice()) != header.spec_digest
            || size != header.demand.bytes_in.get()
        {
            return Err(MarketError::SpecDoesNotMatch);
        }
    }
    if !MATCH_WITHIN_MS.contains(&header.match_within.get()) {
        return Err(MarketError::MatchWindowOutOfRange {
            found: header.match_within,
        });
    }
    if !EXECUTION_MS.contains(&header.demand.execution_max.get()) {
        return Err(MarketError::ExecutionTimeOutOfRange {
            found: header.demand.execution_max,
        });
    }
    Ok(())
}

/// What an order may cost.
struct Costs {
    quote_max: Amount,
    settlement_fee: Amount,
    check_fee: Amount,
    slot_budget: Amount,
    escrow: Amount,
}

impl Costs {
    fn of(params: &Params, header: &OrderHeader) -> Result<Self, AmountError> {
        if let Some(rounds) = header.open_rounds() {
            return Self::of_session(params, header, rounds);
        }
        let quote_max = header.price_max.quote(&header.demand.units)?;
        let settlement_fee = Params::share_up(quote_max, params.settlement_fee_bps)?
            .max(money(params.settlement_fee_min));
        let check_fee =
            Params::share_up(quote_max, params.check_fee_bps)?.max(money(params.check_fee_min));
        let checks =
            check_fee.checked_mul_ratio(params.first_draw, 1, fairweir_types::Rounding::Up)?;
        let slot_budget = Amount::sum([quote_max, settlement_fee, checks])?;
        let escrow = slot_budget.checked_mul_ratio(
            u64::from(header.slots),
            1,
            fairweir_types::Rounding::Up,
        )?;
        Ok(Self {
            quote_max,
            settlement_fee,
            check_fee,
            slot_budget,
            escrow,
        })
    }
}

impl Costs {
    /// A session locks each lane's cap and reserve; what its batches cost is worked out when they come.
    fn of_session(
        params: &Params,
        header: &OrderHeader,
        rounds: &OpenRounds,
    ) -> Result<Self, AmountError> {
        let (slot_budget, _) = sessions::lane_costs(params, rounds.lane_cap)?;
        Ok(Self {
            quote_max: rounds.lane_cap,
            settlement_fee: Amount::ZERO,
            check_fee: Amount::ZERO,
            slot_budget,
            escrow: slot_budget.checked_mul_ratio(
                u64::from(header.slots),
                1,
                fairweir_types::Rounding::Up,
            )?,
        })
    }
}

/// What each slot owes the buyer of the posting fee when its work fails, shared among the slots: what it paid, but at most twice
/// the least fee, so that a buyer cannot choose how much of a slash it gets.
fn posting_fee_per_slot(
    execution: &Execution<'_>,
    tx: &VerifiedTx,
    header: &OrderHeader,
) -> Result<Amount, MarketError> {
    let least = execution.params.fee_min(tx.size());
    let fee = least
        .checked_add(least)
        .or_fault()?
        .at_most(tx.transaction().fee);
    let slots = u64::from(header.slots);
    Ok(fee
        .checked_mul_ratio(1, slots, fairweir_types::Rounding::Down)
        .or_fault()?)
}

fn order_record(
    execution: &Execution<'_>,
    tx: &VerifiedTx,
    (buyer, header): (Address, &OrderHeader),
    costs: &Costs,
) -> Result<Order, MarketError> {
    let mut streams = BoundedVec::default();
    let stream = HeldStream {
        payer: buyer,
        held: costs.escrow,
    };
    streams
        .push(stream)
        .map_err(|_| MarketError::TooManyStreams { max: 0 })?;
    Ok(Order {
        buyer,
        poster: Poster {
            account: tx.sender(),
            granted: None,
        },
        header: OrderHeader {
            spec_inline: None,
            ..header.clone()
        },
        has_blob_spec: header.spec_inline.is_none() && header.open_rounds().is_none(),
        streams,
        slots_open: header.slots,
        slot_budget: costs.slot_budget,
        quote_max: costs.quote_max,
        check_fee: costs.check_fee,
        terms: Terms::of(&execution.params),
        has_appeals: catalogue::has_appeals(&execution.overlay, header, execution.context.height)?,
        settlement_fee: costs.settlement_fee,
        posting_fee: posting_fee_per_slot(execution, tx, header)?,
        deposit: Amount::ZERO,
        match_until: counted(
            execution.now.checked_add(header.match_within),
            "match deadline",
        )?,
        posted: execution.context.height,
    })
}

fn open(
    execution: &mut Execution<'_>,
    tx: &VerifiedTx,
    (header, order): (&OrderHeader, &Order),
    escrow: Amount,
) -> Result<(), MarketError> {
    let (poster, nonce): (Address, _) = (tx.sender(), tx.transaction().nonce);
    let id = OrderId::of(&execution.context.chain_id, poster, nonce);
    keep_order(execution, id, order)?;
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
    for slot in 0..order.header.slots {
        let slot_id = SlotId { order: id, slot };
        super::store_slot(execution, slot_id, &mut Slot::new(timer), timer);
    }
    registry::count(&mut execution.overlay, |counters| {
        counters.open_orders = counters.open_orders.checked_add(1)?;
        Some(())
    })?;
    execution.emit(Event::OrderPosted(Boxed::new(OrderPosted {
        order: id,
        buyer: order.buyer,
        poster,
        nonce,
        header: header.clone(),
        escrow,
        deposit: order.deposit,
    })));
    Ok(())
}

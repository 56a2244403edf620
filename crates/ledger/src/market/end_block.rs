//! The end of a block: draws and windows that are due.

use super::{
    Candidate, CheapestMatcher, Matcher, Order, Phase, Slot, Timer, order, refund, release_worker,
    settle, slot_of, store_slot,
};
use crate::{
    appeals, catalogue,
    execution::Execution,
    fault::{Fault, counted, present},
    keys,
    params::{Params, count, money},
    registry::{self, OfferRecord},
    sessions,
    stake::{self, Losses},
    state::{Mark, scan},
    verification,
};
use commonware_codec::Encode;
use fairweir_types::{
    Address, BoundedVec, Boxed, Digest, Event, Height, Millis,
    digest::Domain,
    event::{Matched, RefundReason, SlashReason, Unmatched, WorkerReplaced},
    limits::{MATCH_RETRIES_PER_BLOCK_MAX, OFFERS_PER_KIND_MAX, SWEEP_ITEMS_MAX},
    order::{KindId, SlotId},
};

/// Works off what is due, at most a bounded number of slots; says whether something is left that asks for the next block
/// at once. Tries to match have a quota of their own and never do.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<bool, Fault> {
    let (from, to) = keys::due_until_height(execution.context.height);
    let mut at_height = due(execution, &from, &to, SWEEP_ITEMS_MAX)?;
    let (from, to) = keys::due_until_time(execution.now);
    let mut at_time = due(execution, &from, &to, SWEEP_ITEMS_MAX)?;
    let (from, to) = keys::retry_until_time(execution.now);
    let retries = due(execution, &from, &to, MATCH_RETRIES_PER_BLOCK_MAX)?;
    let is_full = at_height.len().saturating_add(at_time.len()) >= SWEEP_ITEMS_MAX;
    // Many new orders must not hold up windows, nor many windows draws: when both press, each has half.
    let half = SWEEP_ITEMS_MAX.div_euclid(2);
    at_height.truncate(half.max(SWEEP_ITEMS_MAX.saturating_sub(at_time.len())));
    at_time.truncate(SWEEP_ITEMS_MAX.saturating_sub(at_height.len()));
    for (_, slot_id) in at_height {
        at_draw(execution, slot_id)?;
    }
    for (timer, slot_id) in at_time {
        // What was worked off before may have ended this slot, or given it another window: a lane goes with its last batch.
        if execution.overlay.load::<Mark>(&timer)?.is_some() {
            at_window_end(execution, slot_id)?;
        }
    }
    for (_, slot_id) in retries {
        let slot = slot_of(&execution.overlay, slot_id)?;
        match_slot(execution, slot_id, slot)?;
    }
    Ok(is_full)
}

fn due(
    execution: &Execution<'_>,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, SlotId)>, Fault> {
    scan::<Mark>(&execution.overlay, from, to, limit)?
        .into_iter()
        .map(|(key, Mark {})| {
            let id = key.get(9..).unwrap_or_default();
            let id = fairweir_types::decode(id).map_err(|source| Fault::Record {
                key: key.clone(),
                source,
            })?;
            Ok((key, id))
        })
        .collect()
}

/// The seed of a draw: the block's beacon with what is drawn for.
pub(crate) fn seed(
    execution: &Execution<'_>,
    purpose: &[u8],
    slot_id: SlotId,
    attempt: u16,
) -> Digest {
    let beacon = &execution.context.beacon;
    Digest::of(
        Domain::Draw,
        &[
            beacon.as_bytes(),
            purpose,
            &slot_id.encode(),
            &attempt.to_be_bytes(),
        ],
    )
}

fn at_draw(execution: &mut Execution<'_>, slot_id: SlotId) -> Result<(), Fault> {
    let slot = slot_of(&execution.overlay, slot_id)?;
    match slot.phase {
        Phase::AwaitingMatch => match_slot(execution, slot_id, slot),
        Phase::AwaitingDraw | Phase::AwaitingDisputeDraw => {
            verification::draw(execution, slot_id, slot)
        }
        Phase::AwaitingSample => sessions::draw_verifiers(execution, slot_id, slot),
        _ => Err(Fault::Missing {
            what: "draw of a slot in another phase",
        }),
    }
}

fn at_window_end(execution: &mut Execution<'_>, slot_id: SlotId) -> Result<(), Fault> {
    let mut slot = slot_of(&execution.overlay, slot_id)?;
    if execution.context.height < slot.timer.height {
        // Enough time, but too few blocks (protocol rule 2): look again in the next block.
        let timer = Timer {
            time: counted(execution.now.next(), "chain time")?,
            ..slot.timer
        };
        store_slot(execution, slot_id, &mut slot, timer);
        return Ok(());
    }
    match slot.phase {
        Phase::Executing => replace_worker(execution, slot_id, slot),
        Phase::Challengeable | Phase::Unsampled => settle(execution, slot_id, &slot),
        Phase::Serving | Phase::Closing | Phase::Ending => {
            sessions::lane_timer_ended(execution, slot_id, slot)
        }
        Phase::Committing
        | Phase::Opening
        | Phase::Revealing
        | Phase::DisputeCommitting
        | Phase::DisputeRevealing
        | Phase::Linking
        | Phase::Showing
        | Phase::Sharing => verification::window_ended(execution, slot_id, slot),
        Phase::Appealable | Phase::Appealed => appeals::window_ended(execution, slot_id, slot),
        Phase::AwaitingMatch
        | Phase::AwaitingDraw
        | Phase::AwaitingDisputeDraw
        | Phase::AwaitingSample => Err(Fault::Missing {
            what: "window of a slot that waits for a draw",
        }),
    }
}

fn candidates(
    execution: &Execution<'_>,
    kind: KindId,
    slot_id: SlotId,
    order: &Order,
    slot: &Slot,
) -> Result<Vec<Candidate>, Fault> {
    let (from, to) = keys::offers_from(kind, Address([0; 20]));
    let others = workers_of_other_slots(execution, slot_id, order)?;
    let mut found = Vec::new();
    for (key, record) in scan::<OfferRecord>(&execution.overlay, &from, &to, OFFERS_PER_KIND_MAX)? {
        if !record.listed {
            continue;
        }
        let worker = present(keys::worker_of_offer(&key), "worker in an offer's key")?;
        let staked = stake::stake(&execution.overlay, worker)?;
        found.push(Candidate {
            worker,
            open: record.open,
            offer_exposure: record.exposure,
            offer: record.offer,
            bonded: staked.bonded,
            exposure: staked.exposure,
            excluded: slot
                .excluded
                .iter()
                .chain(&others)
                .any(|excluded| *excluded == worker),
        });
    }
    Ok(found)
}

/// Replicas are worth something only on different workers.
fn workers_of_other_slots(
    execution: &Execution<'_>,
    slot_id: SlotId,
    order: &Order,
) -> Result<Vec<Address>, Fault> {
    let mut workers = Vec::new();
    for slot in (0..order.header.slots).filter(|slot| *slot != slot_id.slot) {
        let other = super::slot(
            &execution.overlay,
            SlotId {
                order: slot_id.order,
                slot,
            },
        )?;
        workers.extend(other.and_then(|slot| slot.worker));
    }
    Ok(workers)
}

fn match_slot(execution: &mut Execution<'_>, slot_id: SlotId, mut slot: Slot) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let height = execution.context.height;
    if !catalogue::is_in_force(&execution.overlay, &order.header, height)? {
        return refund(execution, slot_id, &slot, RefundReason::Retired);
    }
    let candidates = candidates(execution, order.header.kind, slot_id, &order, &slot)?;
    let seed = seed(execution, b"match", slot_id, slot.attempt);
    let params = order.terms.over(&execution.params);
    let assigned =
        CheapestMatcher { params: &params }.assign(&order.header, order.buyer, &candidates, &seed);
    match assigned {
        Ok(assignment) => {
            let chosen = present(candidates.get(assignment.chosen), "chosen candidate")?;
            assign(execution, slot_id, slot, &order, chosen, &assignment)
        }
        Err(_) if execution.now >= order.match_until => {
            refund(execution, slot_id, &slot, RefundReason::NoMatch)
        }
        Err(reasons) => {
            if slot.tries == 0 {
                let candidates = BoundedVec::truncating(reasons);
                execution.emit(Event::Unmatched(Boxed::new(Unmatched {
                    slot_id,
                    candidates,
                })));
            }
            let time = execution.window_end(match_pause(&params, slot.tries))?;
            // Not later than its time is up, when it is refunded.
            let time = time.min(
                order
                    .match_until
                    .max(counted(execution.now.next(), "chain time")?),
            );
            slot.tries = slot.tries.saturating_add(1);
            store_slot(
                execution,
                slot_id,
                &mut slot,
                Timer {
                    time,
                    height: Height::ZERO,
                },
            );
            Ok(())
        }
    }
}

/// Milliseconds until a slot that nobody fitted so often is tried again: doubled each time.
fn match_pause(params: &Params, tries: u16) -> u64 {
    let factor = 1u64.checked_shl(u32::from(tries)).unwrap_or(u64::MAX);
    params
        .match_retry
        .saturating_mul(factor)
        .min(params.match_retry_max)
}

fn assign(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    order: &Order,
    chosen: &Candidate,
    assignment: &super::Assignment,
) -> Result<(), Fault> {
    let worker = chosen.worker;
    let kind = order.header.kind;
    let mut record = present(
        registry::offer(&execution.overlay, kind, worker)?,
        "offer of a candidate",
    )?;
    record.open = counted(record.open.checked_add(1), "open slots")?;
    record.exposure = record.exposure.checked_add(assignment.exposure)?;
    execution.overlay.store(keys::offer(kind, worker), &record);
    stake::expose(execution, worker, assignment.exposure)?;
    slot.phase = Phase::Executing;
    slot.worker = Some(worker);
    slot.matched = execution.context.height;
    slot.worker_owner = chosen.offer.owner;
    slot.prices = chosen.offer.prices;
    slot.quote = assignment.quote;
    slot.exposure = assignment.exposure;
    let rounds = order.header.open_rounds();
    if let Some(rounds) = rounds {
        slot.quote = rounds.lane_cap;
    }
    let within = rounds.map_or(order.header.demand.execution_max, |rounds| rounds.open_for);
    let due = execution.window_end(within.get())?;
    let height = execution.window_height()?;
    store_slot(execution, slot_id, &mut slot, Timer { time: due, height });
    execution.emit(Event::Matched(Boxed::new(Matched {
        slot_id,
        attempt: slot.attempt,
        worker,
        buyer: order.buyer,
        quote: slot.quote,
        due,
        within,
        others: BoundedVec::truncating(assignment.others.iter().copied()),
    })));
    match rounds {
        Some(rounds) => sessions::open_lane(execution, slot_id, slot, order, rounds),
        None => Ok(()),
    }
}

/// The worker handed in no receipt in time: it pays a part of the price, and another one gets the slot.
fn replace_worker(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let worker = slot.assigned()?;
    let least = money(execution.params.late_penalty_min);
    let penalty = Params::share_up(slot.quote, execution.params.late_penalty_bps)?.max(least);
    release_worker(execution, &order, &slot)?;
    let mut losses = Losses {
        // Made whole, not rewarded: else a buyer could earn by orders that nobody can execute.
        buyer: Some((order.buyer, order.posting_fee)),
        ..Losses::default()
    };
    stake::slash(
        execution,
        worker,
        penalty,
        (SlashReason::ReceiptLate, slot_id),
        &mut losses,
    )?;
    execution.emit(Event::WorkerReplaced(WorkerReplaced {
        slot_id,
        worker,
        reason: SlashReason::ReceiptLate,
    }));
    slot.worker = None;
    slot.attempt = counted(slot.attempt.checked_add(1), "assignments")?;
    if usize::from(slot.attempt) >= count(execution.params.attempts_max)
        || slot.excluded.push(worker).is_err()
    {
        return refund(execution, slot_id, &slot, RefundReason::NoReceipt);
    }
    slot.phase = Phase::AwaitingMatch;
    slot.tries = 0;
    let height = counted(
        execution
            .context
            .height
            .checked_add(Height(execution.params.draw_delay)),
        "height",
    )?;
    store_slot(
        execution,
        slot_id,
        &mut slot,
        Timer {
            time: Millis::ZERO,
            height,
        },
    );
    Ok(())
}

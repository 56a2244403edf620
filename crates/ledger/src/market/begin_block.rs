//! The beginning of a block: what is drawn in it, from the state of the block before.
//!
//! A proposer knows the beacon of its block before everybody else. What it puts into the block, a bond or an enrolment of its friends, must change nothing
//! of what that beacon draws: so all that is drawn is drawn before the block's transactions.

use super::{
    Assignment, Candidate, CheapestMatcher, Matcher, Order, Phase, Slot, Timer, due, order, refund,
    slot_of, store_slot,
};
use crate::{
    catalogue,
    execution::Execution,
    fault::{Fault, counted, present},
    keys,
    params::Params,
    registry::{self, OfferRecord},
    sessions, stake,
    state::scan,
    verification,
};
use commonware_codec::Encode;
use fairweir_types::{
    Address, BoundedVec, Boxed, Digest, Event, Height,
    digest::Domain,
    event::{Matched, RefundReason, Unmatched},
    limits::{MATCH_RETRIES_PER_BLOCK_MAX, OFFERS_PER_KIND_MAX, SLOTS_SWEPT_MAX},
    order::{KindId, SlotId},
};

/// Draws what is due, and tries to match what nobody fitted so far, at most a bounded number of slots.
pub(crate) fn begin_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    let (from, to) = keys::due_until_height(execution.context.height);
    let draws = due(execution, &from, &to, SLOTS_SWEPT_MAX)?;
    let (from, to) = keys::retry_until_time(execution.now);
    let retries = due(execution, &from, &to, MATCH_RETRIES_PER_BLOCK_MAX)?;
    for (_, slot_id) in draws {
        draw(execution, slot_id)?;
    }
    for (_, slot_id) in retries {
        let slot = slot_of(&execution.overlay, slot_id)?;
        match_slot(execution, slot_id, slot)?;
    }
    Ok(())
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

fn draw(execution: &mut Execution<'_>, slot_id: SlotId) -> Result<(), Fault> {
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
            excluded: others.contains(&worker)
                || slot.late.iter().any(|late| late.worker == worker),
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
    assignment: &Assignment,
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

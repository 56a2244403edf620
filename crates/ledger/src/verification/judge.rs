//! The verdict, and who pays for it.

use crate::{
    appeals, bank,
    execution::Execution,
    fault::{Fault, OrFault, present},
    market::{
        Draw, Order, Phase, Slot, begin_window, order, pay_verifiers, refund, refund_what_is_left,
        release_worker, settle, slash_late_before,
    },
    params::{Params, count, money},
    stake::{self, Losses},
};
use fairweir_types::{
    Address, Amount, Digest, Event, Millis, Rounding,
    event::{DisputeCause, Judged, RefundReason, SlashReason},
    order::SlotId,
    receipt::{Tier, Verdict, missing_spec_trace},
};
use std::collections::BTreeMap;

/// Reaches the verdict of a draw whose reveals are in or whose window is over.
pub(crate) fn judge(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
    tier: Tier,
) -> Result<(), Fault> {
    let trace = present(slot.opened, "opened trace of a slot that is judged")?;
    match tier {
        Tier::First => judge_first(execution, slot_id, slot, &trace),
        Tier::Dispute => judge_dispute(execution, slot_id, slot, &trace),
    }
}

fn agreeing(draw: &Draw, trace: &Digest) -> usize {
    draw.iter()
        .filter(|drawn| drawn.trace == Some(*trace))
        .count()
}

fn emit_judged(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    tier: Tier,
    verdict: Verdict,
    tally: (usize, usize),
    until: Millis,
) {
    let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    execution.emit(Event::Judged(Judged {
        slot_id,
        tier,
        verdict,
        agreeing: small(tally.0),
        drawn: small(tally.1),
        challenge_until: until,
    }));
}

/// All of the first draw agree with the worker, or five others decide.
fn judge_first(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    trace: &Digest,
) -> Result<(), Fault> {
    let tally = (agreeing(&slot.first, trace), slot.first.len());
    if tally.0 == tally.1 {
        let window = (Phase::Challengeable, execution.params.challenge_window);
        let until = begin_window(execution, slot_id, &mut slot, window)?;
        emit_judged(
            execution,
            slot_id,
            Tier::First,
            Verdict::Valid,
            tally,
            until,
        );
        return Ok(());
    }
    let is_missing = slot.first.iter().any(|drawn| drawn.trace.is_none());
    slash_missing(execution, slot_id, &slot.first, &mut Losses::default())?;
    let disagrees = slot
        .first
        .iter()
        .any(|drawn| drawn.trace.is_some_and(|revealed| revealed != *trace));
    let cause = if is_missing && !disagrees {
        DisputeCause::VerdictMissing
    } else {
        DisputeCause::Disagreement
    };
    super::window::begin_dispute(execution, slot_id, slot, cause)
}

/// At least the quorum of five for one trace decides; else nobody is right or wrong.
fn judge_dispute(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
    trace: &Digest,
) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let mut votes: BTreeMap<Digest, usize> = BTreeMap::new();
    for revealed in slot.dispute.iter().filter_map(|drawn| drawn.trace) {
        let count = votes.entry(revealed).or_default();
        *count = count.saturating_add(1);
    }
    let drawn = slot.dispute.len();
    // A quorum that was decided on after the draw is neither beyond all who were drawn nor less than their majority.
    let majority = drawn.div_euclid(2).saturating_add(1);
    let quorum = count(execution.params.dispute_quorum)
        .max(majority)
        .min(drawn.max(1));
    let decided = votes
        .iter()
        .find(|(_, count)| **count >= quorum)
        .map(|(trace, _)| *trace);
    let tally = (agreeing(&slot.dispute, trace), slot.dispute.len());
    let is_unread = order.has_blob_spec && decided == Some(missing_spec_trace(&slot_id));
    let verdict = match decided {
        _ if is_unread => Verdict::Undecided,
        Some(right) if right == *trace => Verdict::Valid,
        Some(_) => Verdict::Invalid,
        None => Verdict::Undecided,
    };
    let until = match decided {
        Some(right) if !is_unread => appeals::begin(execution, slot_id, &slot, right)?,
        _ => None,
    };
    let told = until.unwrap_or(Millis::ZERO);
    emit_judged(execution, slot_id, Tier::Dispute, verdict, tally, told);
    match (decided, until) {
        (_, Some(_)) => Ok(()),
        _ if is_unread => unread(execution, slot_id, slot, order),
        (Some(right), None) => conclude(execution, slot_id, slot, &right, None),
        (None, None) => {
            let mut losses = Losses {
                verifiers: dispute_fees(&order, &slot, None),
                ..Losses::default()
            };
            undecided(execution, slot_id, slot, &mut losses)
        }
    }
}

/// The verifiers do not find the spec, which lies beside the chain: so nobody knows whether the work is right, or who is to blame. Its buyer, who has to leave it
/// where it is found, pays those who looked the least that a check earns, as far as its escrow goes, and gets the rest back; the worker gets nothing and loses nothing. What the buyer
/// itself challenged is paid: it was found before.
fn unread(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    order: Order,
) -> Result<(), Fault> {
    slash_missing(execution, slot_id, &slot.dispute, &mut Losses::default())?;
    let missing = missing_spec_trace(&slot_id);
    if slot.challenge_deposit > Amount::ZERO {
        let mut losses = Losses {
            verifiers: dispute_fees(&order, &slot, Some(missing)),
            ..Losses::default()
        };
        // Five checks, though nobody computed: else a buyer would try it.
        pay_from_deposit(execution, &mut slot, &mut losses)?;
        return settle(execution, slot_id, &slot);
    }
    let looked: Vec<Address> = [&slot.first, &slot.dispute]
        .into_iter()
        .flat_map(|draw| draw.iter())
        .filter(|drawn| drawn.trace == Some(missing))
        .map(|drawn| drawn.verifier)
        .collect();
    let count = u64::try_from(looked.len()).unwrap_or(u64::MAX).max(1);
    let part = order
        .slot_budget
        .checked_mul_ratio(1, count, Rounding::Down)
        .or_fault()?;
    let least = order.terms.over(&execution.params).check_fee_min;
    let fee = money(least).at_most(part);
    let earned = looked.into_iter().map(|verifier| (verifier, fee));
    let (_, spent) = pay_verifiers(execution, earned)?;
    release_worker(execution, &order, &slot)?;
    let reason = RefundReason::SpecMissing;
    refund_what_is_left(execution, slot_id, (&slot, order), (reason, spent))
}

/// Settles a slot for one trace, by the vote of a dispute or because an appeal turned it; the appellant is paid like a reporter then.
pub(crate) fn conclude(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
    right: &Digest,
    appellant: Option<Address>,
) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let mut losses = Losses {
        verifiers: dispute_fees(&order, &slot, Some(*right)),
        reporters: appellant.into_iter().collect(),
        ..Losses::default()
    };
    if slot.opened == Some(*right) {
        valid(execution, slot_id, slot, &order, right, &mut losses)
    } else {
        invalid(execution, slot_id, slot, &order, right, &mut losses)
    }
}

/// What a batch's verifier is owed for the link that it revealed, where the escrow does not pay it.
fn link_fee(order: &Order, slot: &Slot) -> Option<(Address, Amount)> {
    let asked = slot.batch.as_ref()?.link?;
    asked.link.map(|_| (asked.verifier, order.terms.link_fee()))
}

/// What one check earns: of what a batch's buyer chose more, because that may be the dearest.
fn check_fee(order: &Order, slot: &Slot) -> Amount {
    let chosen = slot.batch.as_ref().and_then(|batch| batch.chosen_check);
    chosen.unwrap_or(order.check_fee)
}

/// What the dispute's verifiers are owed: one check each, if they voted with the decision (or at all, without one).
fn dispute_fees(order: &Order, slot: &Slot, decided: Option<Digest>) -> Vec<(Address, Amount)> {
    slot.dispute
        .iter()
        .filter(|drawn| {
            drawn
                .trace
                .is_some_and(|trace| decided.is_none_or(|right| right == trace))
        })
        .map(|drawn| (drawn.verifier, check_fee(order, slot)))
        .collect()
}

fn valid(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    order: &Order,
    right: &Digest,
    losses: &mut Losses,
) -> Result<(), Fault> {
    // The worker was right: whoever said otherwise pays the checks, and so does a challenger.
    slash_wrong(execution, (slot_id, order), &slot.first, right, losses)?;
    slash_wrong(execution, (slot_id, order), &slot.dispute, right, losses)?;
    slash_missing(execution, slot_id, &slot.dispute, losses)?;
    pay_from_deposit(execution, &mut slot, losses)?;
    settle(execution, slot_id, &slot)
}

fn invalid(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    order: &Order,
    right: &Digest,
    losses: &mut Losses,
) -> Result<(), Fault> {
    losses.buyer = Some((order.buyer, order.posting_fee));
    losses.verifiers.extend(link_fee(order, &slot));
    let agreeing = slot
        .first
        .iter()
        .filter(|drawn| drawn.trace == Some(*right))
        .map(|drawn| drawn.verifier);
    for verifier in agreeing {
        if !losses.reporters.contains(&verifier) {
            losses.reporters.push(verifier);
        }
    }
    if slot.challenge_deposit > Amount::ZERO {
        losses.reporters.push(order.buyer);
    }
    slash_worker(
        execution,
        slot_id,
        &slot,
        order,
        (SlashReason::WrongTrace, losses),
    )?;
    losses.reporters.clear();
    slash_wrong(execution, (slot_id, order), &slot.first, right, losses)?;
    slash_wrong(execution, (slot_id, order), &slot.dispute, right, losses)?;
    slash_missing(execution, slot_id, &slot.dispute, losses)?;
    slash_late_before(execution, slot_id, (&slot, order))?;
    return_deposit(execution, order, &mut slot)?;
    refund(execution, slot_id, &slot, RefundReason::Invalid)
}

fn undecided(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
    losses: &mut Losses,
) -> Result<(), Fault> {
    slash_missing(execution, slot_id, &slot.dispute, losses)?;
    leave_open(execution, slot_id, slot, RefundReason::Undecided)
}

/// Nobody knows whether the work is right: its buyer gets the price back. But what the buyer itself challenged is paid all the same: else it could get
/// valid work for nothing by challenging it when too few verifiers are left. Unless both verifiers of a batch that it had checked found something else: one may be a friend of its.
pub(super) fn leave_open(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    reason: RefundReason,
) -> Result<(), Fault> {
    let is_doubted = slot
        .batch
        .as_ref()
        .is_some_and(|batch| batch.chosen_check.is_some())
        && slot
            .first
            .iter()
            .all(|drawn| drawn.trace.is_some() && drawn.trace != slot.opened);
    if slot.challenge_deposit > Amount::ZERO && !is_doubted {
        return settle(execution, slot_id, &slot);
    }
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    return_deposit(execution, &order, &mut slot)?;
    release_worker(execution, &order, &slot)?;
    refund(execution, slot_id, &slot, reason)
}

/// The worker did not open in time, did not show what of its batch was drawn, or nobody let the dispute's verifiers read that: it costs as much
/// as the worst fault (protocol rule 2).
pub(crate) fn unopened(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    return_deposit(execution, &order, &mut slot)?;
    let tally = (0, slot.first.len());
    emit_judged(
        execution,
        slot_id,
        Tier::First,
        Verdict::Unopened,
        tally,
        Millis::ZERO,
    );
    let committed = slot.first.iter().filter(|drawn| drawn.commitment.is_some());
    let checks = committed.map(|drawn| (drawn.verifier, check_fee(&order, &slot)));
    let verifiers = checks.chain(link_fee(&order, &slot)).collect();
    let mut losses = Losses {
        buyer: Some((order.buyer, order.posting_fee)),
        verifiers,
        reporters: Vec::new(),
    };
    slash_worker(
        execution,
        slot_id,
        &slot,
        &order,
        (SlashReason::Unopened, &mut losses),
    )?;
    refund(execution, slot_id, &slot, RefundReason::Unopened)
}

/// Until the kind has a referee, a majority takes the price that was at stake and the governed share (protocol rule 7).
fn slash_worker(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: &Slot,
    order: &Order,
    (reason, losses): (SlashReason, &mut Losses),
) -> Result<(), Fault> {
    let worker = slot.assigned()?;
    release_worker(execution, order, slot)?;
    let record = stake::stake(&execution.overlay, worker)?;
    // Unbonding stake too, or a worker could unbond before it lies.
    let slashable = record.bonded.checked_add(record.unbonding).or_fault()?;
    let share = Params::share_down(slashable, execution.params.slash_share_bps).or_fault()?;
    let amount = slot.quote.checked_add(share).or_fault()?;
    stake::slash(execution, worker, amount, (reason, slot_id), losses)
}

/// Whoever found another trace pays for it. Who did not find the spec, where it is a blob, pays one check at most: its buyer may have left it too late.
fn slash_wrong(
    execution: &mut Execution<'_>,
    (slot_id, order): (SlotId, &Order),
    draw: &Draw,
    right: &Digest,
    losses: &mut Losses,
) -> Result<(), Fault> {
    let missing = order.has_blob_spec.then(|| missing_spec_trace(&slot_id));
    let wrong = draw
        .iter()
        .filter(|drawn| drawn.trace.is_some_and(|trace| trace != *right));
    for drawn in wrong {
        let (reason, share, most) = if drawn.trace == missing {
            let share = execution.params.missing_verdict_bps;
            (SlashReason::VerdictMissing, share, order.check_fee)
        } else {
            let share = execution.params.wrong_verdict_bps;
            (SlashReason::WrongVerdict, share, Amount::MAX)
        };
        let verifier = (drawn.verifier, most);
        slash_verifier(execution, slot_id, verifier, (reason, share), losses)?;
    }
    Ok(())
}

fn slash_missing(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    draw: &Draw,
    losses: &mut Losses,
) -> Result<(), Fault> {
    for drawn in draw.iter().filter(|drawn| drawn.trace.is_none()) {
        let share = execution.params.missing_verdict_bps;
        slash_verifier(
            execution,
            slot_id,
            (drawn.verifier, Amount::MAX),
            (SlashReason::VerdictMissing, share),
            losses,
        )?;
    }
    Ok(())
}

/// A verifier that withheld its link may have seen that it would not like the samples: that costs as much as silence, whatever its verdict.
pub(crate) fn slash_unlinked(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    verifier: Address,
) -> Result<(), Fault> {
    let share = execution.params.missing_verdict_bps;
    let reason = (SlashReason::LinkMissing, share);
    let verifier = (verifier, Amount::MAX);
    slash_verifier(execution, slot_id, verifier, reason, &mut Losses::default())
}

fn slash_verifier(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (verifier, most): (Address, Amount),
    (reason, share_bps): (SlashReason, u64),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let record = stake::stake(&execution.overlay, verifier)?;
    let slashable = record.bonded.checked_add(record.unbonding).or_fault()?;
    let amount = Params::share_up(slashable, share_bps)
        .or_fault()?
        .at_most(most);
    stake::slash(execution, verifier, amount, (reason, slot_id), losses)
}

/// A challenger who was wrong pays what checks of the dispute are still owed.
fn pay_from_deposit(
    execution: &mut Execution<'_>,
    slot: &mut Slot,
    losses: &mut Losses,
) -> Result<(), Fault> {
    for (verifier, owed) in &mut losses.verifiers {
        let part = owed.at_most(slot.challenge_deposit);
        slot.challenge_deposit = slot.challenge_deposit.checked_sub(part).or_fault()?;
        *owed = owed.checked_sub(part).or_fault()?;
        bank::credit(execution, *verifier, part)?;
    }
    Ok(())
}

/// Gives a challenger its deposit back.
fn return_deposit(
    execution: &mut Execution<'_>,
    order: &Order,
    slot: &mut Slot,
) -> Result<(), Fault> {
    let deposit = std::mem::take(&mut slot.challenge_deposit);
    bank::credit(execution, order.buyer, deposit)
}

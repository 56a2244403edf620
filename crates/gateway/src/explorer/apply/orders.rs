//! What events of orders do to the index.

use super::{Place, change_node, change_slot, demand, names, prices, units};
use crate::{
    explorer::{
        error::IndexError,
        records::{
            self, Batch, Dispute, Judgement, NonMatch, Order, Receipt, Refund, Session, Settlement,
            Slot, Verdict,
        },
        store::Writing,
    },
    json,
};
use fairweir_types::{
    Address, Amount, Event,
    event::{
        AppealDecided, Disputed, Judged, Matched, OrderPosted, Payment, ReceiptSubmitted, Refunded,
        Settled,
    },
    limits::EXCLUDED_MAX,
    order::{NonMatch as Candidate, OrderId, SlotId},
    receipt::{Randomness, Tier, Verdict as Judgment},
};

/// Receipts of a slot that may still be pending: one of each worker that had it.
const RECEIPTS_OF_SLOT_MAX: i64 = 16;
const _: () = assert!(
    EXCLUDED_MAX < 16,
    "every worker that had the slot, and one more"
);

pub(super) async fn happened(
    writing: &mut Writing,
    place: Place,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::OrderPosted(event) => posted(writing, place, event).await,
        Event::ToppedUp(event) => {
            let more = event.amount;
            change_order(writing, event.order, |order| {
                let sum = order.topped_up.parse::<Amount>()?.checked_add(more)?;
                order.topped_up = sum.to_string();
                Ok(())
            })
            .await
        }
        Event::OrderClosed(event) => {
            change_order(writing, event.order, |order| {
                "closed".clone_into(&mut order.state);
                order.closed_height = Some(place.height);
                order.returned = Some(event.returned.to_string());
                Ok(())
            })
            .await
        }
        Event::Matched(event) => matched(writing, place, event).await,
        Event::Unmatched(event) => {
            let candidates = event.candidates.as_slice();
            non_matches(writing, place, event.slot_id, candidates, None).await?;
            change_slot(writing, place, event.slot_id, "unmatched", |_| {}).await
        }
        Event::ReceiptSubmitted(event) => receipt(writing, place, event).await,
        Event::WorkerReplaced(event) => {
            end_receipts(writing, event.slot_id, "replaced").await?;
            change_node(writing, place, event.worker, |node| {
                node.replaced = node.replaced.saturating_add(1);
            })
            .await?;
            change_slot(writing, place, event.slot_id, "waiting", |slot| {
                slot.worker = None;
                slot.quote = None;
                slot.receipt = None;
                slot.trace = None;
            })
            .await
        }
        Event::Settled(event) => settled(writing, place, event).await,
        Event::Refunded(event) => refunded(writing, place, event).await,
        _ => checked(writing, place, event).await,
    }
}

/// Events of the check of a slot.
async fn checked(writing: &mut Writing, place: Place, event: &Event) -> Result<(), IndexError> {
    match event {
        Event::VerifiersDrawn(event) => {
            let drawn: Vec<String> = event.verifiers.iter().map(Address::to_string).collect();
            if event.tier == Tier::Dispute {
                let verifiers = drawn.clone();
                change_dispute(writing, event.slot_id, |dispute| {
                    dispute.verifiers = verifiers;
                })
                .await?;
            }
            change_slot(writing, place, event.slot_id, "checking", |slot| {
                slot.verifiers = drawn;
            })
            .await
        }
        Event::DisputeUnderstaffed(event) => {
            change_dispute(writing, event.slot_id, |dispute| {
                "understaffed".clone_into(&mut dispute.state);
                dispute.decided_height = Some(place.height);
            })
            .await?;
            change_slot(writing, place, event.slot_id, "understaffed", |_| {}).await
        }
        Event::OpeningDue(event) => {
            change_slot(writing, place, event.slot_id, "opening", |_| {}).await
        }
        Event::ReceiptOpened(event) => {
            let trace = event.trace.to_string();
            change_slot(writing, place, event.slot_id, "opened", |slot| {
                slot.trace = Some(trace);
            })
            .await
        }
        Event::RevealDue(event) => {
            change_slot(writing, place, event.slot_id, "revealing", |_| {}).await
        }
        Event::VerdictRevealed(event) => {
            let row = Verdict {
                slot: json::slot_name(event.slot_id),
                height: place.height,
                time_ms: place.time_ms,
                tier: json::tier(event.tier).to_owned(),
                verifier: event.verifier.to_string(),
                trace: event.trace.to_string(),
            };
            writing.insert(place.seq(0)?, &row).await?;
            change_node(writing, place, event.verifier, |node| {
                node.verdicts = node.verdicts.saturating_add(1);
            })
            .await
        }
        Event::Disputed(event) => disputed(writing, place, event).await,
        Event::Judged(event) => judged(writing, place, event).await,
        Event::Appealed(event) => {
            change_dispute(writing, event.slot_id, |dispute| {
                "appealed".clone_into(&mut dispute.state);
            })
            .await?;
            change_slot(writing, place, event.slot_id, "appealed", |_| {}).await
        }
        Event::AppealDecided(event) => appeal_decided(writing, place, event).await,
        // The others are of sessions, or of accounts and stakes alone.
        _ => Ok(()),
    }
}

async fn disputed(writing: &mut Writing, place: Place, event: &Disputed) -> Result<(), IndexError> {
    let row = Dispute {
        slot: json::slot_name(event.slot_id),
        height: place.height,
        time_ms: place.time_ms,
        cause: json::snake(event.cause),
        state: "open".to_owned(),
        verifiers: Vec::new(),
        verdict: None,
        agreeing: None,
        decided_height: None,
    };
    writing.insert(place.seq(0)?, &row).await?;
    change_slot(writing, place, event.slot_id, "disputed", |_| {}).await
}

/// Changes the row of an order. A batch is an order too, to the ledger alone: its row is the batch.
async fn change_order(
    writing: &mut Writing,
    order: OrderId,
    change: impl FnOnce(&mut Order) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let slot = json::slot_name(SlotId { order, slot: 0 });
    if writing.find::<Batch>("slot_id", &slot).await?.is_some() {
        return Ok(());
    }
    writing
        .change::<Order>("order_id", &order.to_string(), change)
        .await
}

async fn posted(
    writing: &mut Writing,
    place: Place,
    event: &OrderPosted,
) -> Result<(), IndexError> {
    let header = &event.header;
    let session = header.open_rounds().map(|rounds| Session {
        lane_cap: rounds.lane_cap.to_string(),
        open_for_ms: rounds.open_for.to_string(),
        delegate: rounds.delegate.map(|delegate| delegate.to_string()),
    });
    let shape = if session.is_some() {
        "session"
    } else {
        "order"
    };
    let needs = &header.requirements;
    let row = Order {
        order: event.order.to_string(),
        height: place.height,
        time_ms: place.time_ms,
        buyer: event.buyer.to_string(),
        poster: event.poster.to_string(),
        nonce: event.nonce.to_string(),
        shape: shape.to_owned(),
        state: "open".to_owned(),
        kind: header.kind.0,
        spec_digest: header.spec_digest.to_string(),
        slots: header.slots,
        demand: demand(&header.demand),
        price_max: prices(&header.price_max),
        urgency: json::snake(header.urgency),
        privacy: json::snake(header.privacy),
        match_within_ms: header.match_within.to_string(),
        level_min: needs.level_min,
        capabilities: names(&needs.capabilities),
        region: needs.region.as_ref().map(|name| name.as_str().to_owned()),
        stake_min: needs.stake_min.to_string(),
        session,
        escrow: event.escrow.to_string(),
        topped_up: Amount::ZERO.to_string(),
        deposit: event.deposit.to_string(),
        closed_height: None,
        returned: None,
    };
    writing.insert(place.seq(0)?, &row).await?;
    for number in 0..header.slots {
        let slot_id = SlotId {
            order: event.order,
            slot: number,
        };
        let row = new_slot(place, slot_id, "order", "waiting");
        writing
            .insert(place.seq(usize::from(number))?, &row)
            .await?;
    }
    Ok(())
}

pub(super) fn new_slot(place: Place, slot_id: SlotId, of: &str, state: &str) -> Slot {
    Slot {
        slot: json::slot_name(slot_id),
        order: slot_id.order.to_string(),
        height: place.height,
        last_height: place.height,
        of: of.to_owned(),
        state: state.to_owned(),
        attempt: 0,
        worker: None,
        quote: None,
        receipt: None,
        trace: None,
        verifiers: Vec::new(),
        verdict: None,
        settlement: None,
        refund: None,
    }
}

async fn matched(writing: &mut Writing, place: Place, event: &Matched) -> Result<(), IndexError> {
    let others = event.others.as_slice();
    non_matches(writing, place, event.slot_id, others, Some(event.worker)).await?;
    change_node(writing, place, event.worker, |node| {
        node.matched = node.matched.saturating_add(1);
    })
    .await?;
    change_slot(writing, place, event.slot_id, "matched", |slot| {
        slot.attempt = event.attempt;
        slot.worker = Some(event.worker.to_string());
        slot.quote = Some(event.quote.to_string());
    })
    .await
}

async fn non_matches(
    writing: &mut Writing,
    place: Place,
    slot_id: SlotId,
    candidates: &[Candidate],
    matched: Option<Address>,
) -> Result<(), IndexError> {
    for (sub, candidate) in candidates.iter().enumerate() {
        let figures = candidate.reason.shortfall();
        let row = NonMatch {
            slot: json::slot_name(slot_id),
            order: slot_id.order.to_string(),
            height: place.height,
            time_ms: place.time_ms,
            worker: candidate.worker.to_string(),
            reason: candidate.reason.name().to_owned(),
            has: figures.has.to_string(),
            asked: figures.asked.to_string(),
            matched: matched.map(|worker| worker.to_string()),
        };
        writing.insert(place.seq(sub)?, &row).await?;
    }
    Ok(())
}

async fn receipt(
    writing: &mut Writing,
    place: Place,
    event: &ReceiptSubmitted,
) -> Result<(), IndexError> {
    let receipt = &event.receipt.receipt;
    let row = Receipt {
        receipt: receipt.digest().to_string(),
        slot: json::slot_name(event.slot_id),
        order: event.slot_id.order.to_string(),
        height: place.height,
        time_ms: place.time_ms,
        state: "pending".to_owned(),
        worker: event.worker.to_string(),
        attempt: receipt.attempt,
        kind: receipt.kind.0,
        spec_digest: receipt.spec_digest.to_string(),
        units: units(&receipt.units),
        output_commitment: receipt.output_commitment.to_string(),
        disclosure: receipt.disclosure.to_string(),
        settlement: None,
    };
    writing.insert(place.seq(0)?, &row).await?;
    change_slot(writing, place, event.slot_id, "receipted", |slot| {
        slot.receipt = Some(row.receipt);
    })
    .await
}

async fn end_receipts(
    writing: &mut Writing,
    slot_id: SlotId,
    state: &str,
) -> Result<(), IndexError> {
    let slot = json::slot_name(slot_id);
    let rows = writing
        .rows::<Receipt>("slot_id", &slot, RECEIPTS_OF_SLOT_MAX)
        .await?;
    for (seq, mut row) in rows.into_iter().filter(|(_, row)| row.state == "pending") {
        state.clone_into(&mut row.state);
        writing.update(seq, &row).await?;
    }
    Ok(())
}

/// Changes the newest dispute of a slot, if there is one.
async fn change_dispute(
    writing: &mut Writing,
    slot_id: SlotId,
    change: impl FnOnce(&mut Dispute),
) -> Result<(), IndexError> {
    let slot = json::slot_name(slot_id);
    if let Some((seq, mut row)) = writing.find::<Dispute>("slot_id", &slot).await? {
        change(&mut row);
        writing.update(seq, &row).await?;
    }
    Ok(())
}

async fn judged(writing: &mut Writing, place: Place, event: &Judged) -> Result<(), IndexError> {
    let verdict = json::verdict(event.verdict);
    let row = Judgement {
        slot: json::slot_name(event.slot_id),
        height: place.height,
        time_ms: place.time_ms,
        tier: json::tier(event.tier).to_owned(),
        verdict: verdict.to_owned(),
        agreeing: event.agreeing,
        drawn: event.drawn,
        challenge_until_ms: event.challenge_until.to_string(),
    };
    writing.insert(place.seq(0)?, &row).await?;
    if event.tier == Tier::Dispute {
        change_dispute(writing, event.slot_id, |dispute| {
            "decided".clone_into(&mut dispute.state);
            dispute.verdict = Some(verdict.to_owned());
            dispute.agreeing = Some(event.agreeing);
            dispute.decided_height = Some(place.height);
        })
        .await?;
    }
    change_slot(writing, place, event.slot_id, "judged", |slot| {
        slot.verdict = Some(verdict.to_owned());
    })
    .await
}

/// A verdict that is turned is the other one: a worker that was wrong is right, or the other way round.
async fn appeal_decided(
    writing: &mut Writing,
    place: Place,
    event: &AppealDecided,
) -> Result<(), IndexError> {
    let turned = |verdict: &mut Option<String>| {
        let is_valid = verdict.as_deref() == Some(json::verdict(Judgment::Valid));
        let turned = if is_valid {
            Judgment::Invalid
        } else {
            Judgment::Valid
        };
        *verdict = Some(json::verdict(turned).to_owned());
    };
    let state = if event.is_turned { "turned" } else { "decided" };
    change_dispute(writing, event.slot_id, |dispute| {
        state.clone_into(&mut dispute.state);
        if event.is_turned {
            turned(&mut dispute.verdict);
        }
    })
    .await?;
    change_slot(writing, place, event.slot_id, "judged", |slot| {
        if event.is_turned {
            turned(&mut slot.verdict);
        }
    })
    .await
}

/// A settlement in the words of both kinds of it.
pub(super) fn settlement(
    place: Place,
    paid: Payment,
    checks: &[Payment],
    burned: Amount,
    (recomputed_by, disputed, randomness): (u16, bool, Randomness),
) -> Settlement {
    let payment = |payment: &Payment| records::Payment {
        to: payment.to.to_string(),
        amount: payment.amount.to_string(),
    };
    Settlement {
        height: place.height,
        paid: payment(&paid),
        checks: checks.iter().map(payment).collect(),
        burned: burned.to_string(),
        recomputed_by,
        disputed,
        randomness: json::randomness(randomness).to_owned(),
    }
}

async fn settled(writing: &mut Writing, place: Place, event: &Settled) -> Result<(), IndexError> {
    let how = (event.recomputed_by, event.disputed, event.randomness);
    let settlement = settlement(
        place,
        event.paid,
        event.checks.as_slice(),
        event.burned,
        how,
    );
    writing
        .change::<Receipt>("id", &event.receipt.to_string(), |receipt| {
            "settled".clone_into(&mut receipt.state);
            receipt.settlement = Some(settlement.clone());
            Ok(())
        })
        .await?;
    change_node(writing, place, event.paid.to, |node| {
        node.settled = node.settled.saturating_add(1);
    })
    .await?;
    change_slot(writing, place, event.slot_id, "settled", |slot| {
        slot.settlement = Some(settlement);
    })
    .await
}

async fn refunded(writing: &mut Writing, place: Place, event: &Refunded) -> Result<(), IndexError> {
    let refund = Refund {
        height: place.height,
        reason: json::snake(event.reason),
        amount: event.amount.to_string(),
    };
    end_receipts(writing, event.slot_id, "refunded").await?;
    let slot = json::slot_name(event.slot_id);
    if let Some((seq, mut batch)) = writing.find::<Batch>("slot_id", &slot).await? {
        "refunded".clone_into(&mut batch.state);
        batch.refund = Some(refund.clone());
        writing.update(seq, &batch).await?;
    }
    change_slot(writing, place, event.slot_id, "refunded", |slot| {
        slot.refund = Some(refund);
    })
    .await
}

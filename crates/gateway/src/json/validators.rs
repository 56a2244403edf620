//! Validators, candidates and what is behind them as JSON.

use super::{address, coins};
use fairweir_types::{
    Digest, Event,
    event::Seat,
    node_api::{CandidateReport, CandidatesReport, DelegationReport},
};
use serde_json::{Value, json};

fn identity(identity: [u8; 32]) -> String {
    Digest(identity).to_string()
}

fn seat(seat: &Seat) -> Value {
    json!({"validator": identity(seat.validator), "stake": coins(seat.stake)})
}

/// A candidate.
#[must_use]
pub fn candidate(candidate: &CandidateReport) -> Value {
    json!({
        "candidate": address(candidate.candidate),
        "validator": identity(candidate.validator),
        "commission_bps": candidate.commission.get(),
        "next_commission_bps": candidate.next_commission.get(),
        "own": coins(candidate.own),
        "stake": coins(candidate.stake),
        "leaving": coins(candidate.leaving),
        "peer": candidate.peer.to_string(),
        "ready": candidate.is_ready,
        "seat_next": candidate.seat_next,
        "jailed_until": candidate.jailed_until,
        "lead": candidate.lead.map(address),
        "confirmed": candidate.is_confirmed,
    })
}

/// The seats, and the candidates for them.
#[must_use]
pub fn candidates(report: &CandidatesReport) -> Value {
    json!({
        "epoch": report.epoch,
        "ends": report.ends.get(),
        "by_stake": report.by_stake,
        "since": report.since,
        "seats": report.seats.iter().map(seat).collect::<Vec<_>>(),
        "stake": coins(report.stake),
        "absent": coins(report.absent),
        "stake_min": coins(report.stake_min),
        "seats_min": report.seats_min,
        "candidates": report.candidates.iter().map(candidate).collect::<Vec<_>>(),
    })
}

/// A delegation.
#[must_use]
pub fn delegation(known: &DelegationReport) -> Value {
    json!({
        "candidate": address(known.candidate),
        "shares": coins(known.shares),
        "worth": coins(known.worth),
        "moved": coins(known.moved),
        "rewards": coins(known.rewards),
        "tombstoned": known.tombstoned,
    })
}

/// What an event of validators says; none of others.
pub(super) fn details(event: &Event) -> Option<Value> {
    Some(match event {
        Event::ValidatorTombstoned(event) => json!({
            "validator": identity(event.validator), "voter": identity(event.voter), "account": address(event.account), "epoch": event.epoch, "view": event.view,
            "reporter": address(event.reporter), "amount": coins(event.amount), "delegated": coins(event.delegated),
            "to_reporter": coins(event.to_reporter), "burned": coins(event.burned),
        }),
        Event::CandidateRegistered(event) => json!({
            "candidate": address(event.candidate), "validator": identity(event.validator), "commission_bps": event.commission.get(),
        }),
        Event::CandidateUpdated(event) => json!({
            "candidate": address(event.candidate), "commission_bps": event.commission.get(), "stands": event.stands,
        }),
        Event::CandidateJailed(event) => json!({
            "candidate": address(event.candidate), "validator": identity(event.validator), "epoch": event.epoch, "until": event.until,
        }),
        Event::CandidateReleased(event) => json!({
            "proposal": event.proposal.get(), "candidate": address(event.candidate),
        }),
        Event::NodeConfirmed(event) => json!({
            "lead": address(event.lead), "node": address(event.node),
        }),
        Event::StakeDelegated(event) => json!({
            "candidate": address(event.candidate), "delegator": address(event.delegator), "amount": coins(event.amount),
        }),
        Event::StakeUndelegated(event) => json!({
            "candidate": address(event.candidate), "delegator": address(event.delegator), "shares": coins(event.shares),
            "free_at": event.free_at.get(),
        }),
        Event::StakeReturned(event) => json!({
            "candidate": address(event.candidate), "delegator": address(event.delegator), "amount": coins(event.amount),
        }),
        Event::Redelegated(event) => json!({
            "from": address(event.from), "to": address(event.to), "delegator": address(event.delegator),
            "amount": coins(event.amount), "until": event.until.get(),
        }),
        Event::RedelegationSlashed(event) => json!({
            "from": address(event.from), "to": address(event.to), "delegator": address(event.delegator), "burned": coins(event.burned),
        }),
        Event::RewardsClaimed(event) => json!({
            "candidate": address(event.candidate), "delegator": address(event.delegator), "amount": coins(event.amount),
        }),
        Event::EpochBegan(event) => json!({
            "epoch": event.epoch, "ends": event.ends.get(), "by_stake": event.by_stake, "since": event.since,
            "seats": event.seats.iter().map(seat).collect::<Vec<_>>(),
        }),
        _ => return None,
    })
}

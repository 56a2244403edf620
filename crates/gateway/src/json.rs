//! Events and reports as JSON. Amounts are strings of coins, so that no program reads them as a float.

use fairweir_client::orders::slot_of;
use fairweir_types::{
    Address, Amount, Event,
    catalogue::{KnownKind, Versions},
    node_api::{AccountReport, AuditReport, DelegateReport, SecuredReport, Status, SupplyReport},
    order::{NonMatch, OrderId, SlotId, UnitVector},
    receipt::{Randomness, Tier, Verdict},
    session::SampleTraces,
};
use serde_json::{Value, json};

mod governance;
mod services;
mod validators;

pub use governance::{governance, message, proposal, tally};
pub use services::{catalogue, entry as service_entry, service, state as service_state};
pub use validators::{candidate, candidates, delegation};

pub(crate) fn coins(amount: Amount) -> Value {
    Value::String(amount.to_string())
}

pub(crate) fn address(address: Address) -> Value {
    Value::String(address.to_string())
}

fn non_matches(candidates: &[NonMatch]) -> Value {
    candidates
        .iter()
        .map(|other| {
            let figures = other.reason.shortfall();
            json!({
                "worker": other.worker.to_string(),
                "reason": other.reason.name(),
                "has": figures.has,
                "asked": figures.asked,
            })
        })
        .collect()
}

pub(crate) const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::First => "first",
        Tier::Dispute => "dispute",
    }
}

/// Where randomness came from.
#[must_use]
pub const fn randomness(randomness: Randomness) -> &'static str {
    match randomness {
        Randomness::ValidatorTrusted => "validator_trusted",
        Randomness::Beacon => "beacon",
    }
}

pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unopened => "unopened",
        Verdict::Undecided => "undecided",
    }
}

pub(crate) fn units(units: &UnitVector) -> Value {
    json!({
        "input": units.input.get(),
        "cached_input": units.cached_input.get(),
        "output": units.output.get(),
        "time": units.time.get(),
    })
}

/// The snake-case name of a variant without payload.
pub(crate) fn snake(variant: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for character in format!("{variant:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

macro_rules! event_names {
    ($($event:ident => $name:literal),* $(,)?) => {
        /// The snake-case names of all events.
        pub(crate) const EVENT_NAMES: &[&str] = &[$($name),*];

        /// The snake-case name of an event.
        #[must_use]
        pub const fn event_name(event: &Event) -> &'static str {
            match event {
                $(Event::$event(_) => $name),*
            }
        }
    };
}
event_names! {
    Transferred => "transferred",
    Bonded => "bonded",
    Unbonding => "unbonding",
    Unbonded => "unbonded",
    Slashed => "slashed",
    OfferRegistered => "offer_registered",
    OfferWithdrawn => "offer_withdrawn",
    VerifierEnrolled => "verifier_enrolled",
    VerifierLeft => "verifier_left",
    OrderPosted => "order_posted",
    ToppedUp => "topped_up",
    Matched => "matched",
    Unmatched => "unmatched",
    ReceiptSubmitted => "receipt_submitted",
    VerifiersDrawn => "verifiers_drawn",
    DisputeUnderstaffed => "dispute_understaffed",
    VerdictCommitted => "verdict_committed",
    OpeningDue => "opening_due",
    ReceiptOpened => "receipt_opened",
    RevealDue => "reveal_due",
    VerdictRevealed => "verdict_revealed",
    Disputed => "disputed",
    Judged => "judged",
    Settled => "settled",
    Refunded => "refunded",
    WorkerReplaced => "worker_replaced",
    OrderClosed => "order_closed",
    LaneOpened => "lane_opened",
    LaneToppedUp => "lane_topped_up",
    SharingDue => "sharing_due",
    LeavesShared => "leaves_shared",
    LaneClosing => "lane_closing",
    LaneClosed => "lane_closed",
    BatchPosted => "batch_posted",
    LinkDue => "link_due",
    LinkRevealed => "link_revealed",
    NothingDrawn => "nothing_drawn",
    SampleChosen => "sample_chosen",
    LeavesDue => "leaves_due",
    LeavesShown => "leaves_shown",
    BatchSettled => "batch_settled",
    DelegateGranted => "delegate_granted",
    DelegateRevoked => "delegate_revoked",
    Appealed => "appealed",
    AppealNarrowed => "appeal_narrowed",
    AppealDecided => "appeal_decided",
    AppealsOpen => "appeals_open",
    ProposalSubmitted => "proposal_submitted",
    DepositAdded => "deposit_added",
    VotingStarted => "voting_started",
    Voted => "voted",
    VoteOverridden => "vote_overridden",
    VoteReturned => "vote_returned",
    ProposalPassed => "proposal_passed",
    MotionAnswered => "motion_answered",
    MotionAppealed => "motion_appealed",
    ProposalEnded => "proposal_ended",
    ParamChanged => "param_changed",
    TreasurySpent => "treasury_spent",
    Penalised => "penalised",
    ModulePaused => "module_paused",
    ModuleResumed => "module_resumed",
    UpgradePlanned => "upgrade_planned",
    UpgradeBegan => "upgrade_began",
    WithdrawalsHalted => "withdrawals_halted",
    WithdrawalsResumed => "withdrawals_resumed",
    ServiceSet => "service_set",
    ValidatorTombstoned => "validator_tombstoned",
    CandidateRegistered => "candidate_registered",
    CandidateUpdated => "candidate_updated",
    StakeDelegated => "stake_delegated",
    StakeUndelegated => "stake_undelegated",
    StakeReturned => "stake_returned",
    Redelegated => "redelegated",
    RedelegationSlashed => "redelegation_slashed",
    RewardsClaimed => "rewards_claimed",
    EpochBegan => "epoch_began",
    CandidateJailed => "candidate_jailed",
    CandidateReleased => "candidate_released",
    NodeConfirmed => "node_confirmed",
}

fn digests(digests: &SampleTraces) -> Vec<String> {
    digests.iter().map(ToString::to_string).collect()
}

/// An event with its name and the order that it is about.
#[must_use]
pub fn event(event: &Event) -> Value {
    let mut value = details(event);
    if let Some(object) = value.as_object_mut() {
        object.insert("event".to_owned(), event_name(event).into());
        if let Some(slot) = slot_of(event) {
            object.insert("order".to_owned(), slot.order.to_string().into());
            object.insert("slot".to_owned(), slot.slot.into());
        }
    }
    value
}

/// A slot as it stands in paths: the order and the slot's number.
pub(crate) fn slot_name(slot_id: SlotId) -> String {
    format!("{}:{}", slot_id.order, slot_id.slot)
}

fn order_id(order: OrderId) -> Value {
    Value::String(order.to_string())
}

fn details(event: &Event) -> Value {
    match event {
        Event::Transferred(event) => {
            json!({"from": address(event.from), "to": address(event.to), "amount": coins(event.amount)})
        }
        Event::Bonded(event) => {
            json!({"account": address(event.account), "amount": coins(event.amount)})
        }
        Event::Unbonding(event) => {
            json!({"account": address(event.account), "amount": coins(event.amount), "free_at": event.free_at.get()})
        }
        Event::Unbonded(event) => {
            json!({"account": address(event.account), "amount": coins(event.amount)})
        }
        Event::Slashed(event) => json!({
            "account": address(event.account),
            "reason": snake(event.reason),
            "amount": coins(event.amount),
            "to_buyer": coins(event.to_buyer),
            "to_reporters": coins(event.to_reporters),
            "to_verifiers": coins(event.to_verifiers),
            "burned": coins(event.burned),
        }),
        Event::OfferRegistered(event) => {
            json!({"worker": address(event.worker), "kind": event.kind.0})
        }
        Event::DelegateGranted(event) => json!({
            "owner": address(event.owner), "delegate": address(event.delegate), "cap": coins(event.cap), "until": event.until.get(),
        }),
        Event::DelegateRevoked(event) => {
            json!({"owner": address(event.owner), "delegate": address(event.delegate)})
        }
        Event::OfferWithdrawn(event) => {
            json!({"worker": address(event.worker), "kind": event.kind.0})
        }
        Event::VerifierEnrolled(event) => json!({"verifier": address(event.verifier)}),
        Event::VerifierLeft(event) => json!({"verifier": address(event.verifier)}),
        Event::OrderPosted(event) => json!({
            "order": order_id(event.order),
            "buyer": address(event.buyer),
            "poster": address(event.poster),
            "kind": event.header.kind.0,
            "slots": event.header.slots,
            "spec_digest": event.header.spec_digest.to_string(),
            "escrow": coins(event.escrow),
            "deposit": coins(event.deposit),
        }),
        Event::ToppedUp(event) => {
            json!({"order": order_id(event.order), "payer": address(event.payer), "amount": coins(event.amount)})
        }
        Event::Matched(event) => json!({
            "worker": address(event.worker),
            "buyer": address(event.buyer),
            "attempt": event.attempt,
            "quote": coins(event.quote),
            "due": event.due.get(),
            "others": non_matches(event.others.as_slice()),
        }),
        Event::Unmatched(event) => json!({"candidates": non_matches(event.candidates.as_slice())}),
        Event::ReceiptSubmitted(event) => json!({
            "worker": address(event.worker),
            "receipt": event.receipt.receipt.digest().to_string(),
            "units": units(&event.receipt.receipt.units),
        }),
        Event::VerifiersDrawn(event) => json!({
            "tier": tier(event.tier),
            "verifiers": event.verifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "randomness": randomness(event.randomness),
            "due": event.due.get(),
        }),
        Event::DisputeUnderstaffed(event) => {
            json!({"needed": event.needed, "eligible": event.eligible})
        }
        Event::VerdictCommitted(event) => {
            json!({"tier": tier(event.tier), "verifier": address(event.verifier)})
        }
        Event::OpeningDue(event) => {
            json!({"worker": address(event.worker), "due": event.due.get()})
        }
        Event::ReceiptOpened(event) => {
            json!({"worker": address(event.worker), "trace": event.trace.to_string(), "samples": digests(&event.samples)})
        }
        Event::RevealDue(event) => json!({"tier": tier(event.tier), "due": event.due.get()}),
        Event::VerdictRevealed(event) => json!({
            "tier": tier(event.tier), "verifier": address(event.verifier), "trace": event.trace.to_string(),
            "samples": digests(&event.samples),
        }),
        Event::Disputed(event) => json!({"cause": snake(event.cause)}),
        Event::Judged(event) => json!({
            "tier": tier(event.tier),
            "verdict": verdict(event.verdict),
            "agreeing": event.agreeing,
            "drawn": event.drawn,
            "challenge_until": event.challenge_until.get(),
        }),
        Event::Settled(event) => json!({
            "buyer": address(event.buyer),
            "worker": address(event.paid.to),
            "paid": coins(event.paid.amount),
            "checks": event.checks.iter().map(|check| json!({"to": address(check.to), "amount": coins(check.amount)})).collect::<Vec<_>>(),
            "burned": coins(event.burned),
            "receipt": event.receipt.to_string(),
            "trace": event.trace.to_string(),
            "recomputed_by": event.recomputed_by,
            "disputed": event.disputed,
            "randomness": randomness(event.randomness),
        }),
        Event::Refunded(event) => json!({
            "buyer": address(event.buyer), "reason": snake(event.reason), "amount": coins(event.amount),
        }),
        Event::AppealsOpen(event) => json!({
            "judged": event.judged.to_string(),
            "until": event.until.get(),
        }),
        Event::Appealed(event) => json!({
            "sample": event.sample,
            "appellant": address(event.appellant),
            "trace": event.trace.to_string(),
            "run": event.run.to_string(),
            "defender": address(event.defender),
            "judged": event.judged.to_string(),
            "due": event.due.get(),
        }),
        Event::AppealNarrowed(event) => json!({
            "appellant": address(event.appellant),
            "defender": address(event.defender),
            "path": event.path.as_slice(),
            "claimed": event.claimed.to_string(),
            "defended": event.defended.to_string(),
            "due": event.due.get(),
        }),
        Event::ProposalSubmitted(_)
        | Event::DepositAdded(_)
        | Event::VotingStarted(_)
        | Event::Voted(_)
        | Event::VoteOverridden(_)
        | Event::VoteReturned(_)
        | Event::ProposalPassed(_)
        | Event::MotionAnswered(_)
        | Event::MotionAppealed(_)
        | Event::ProposalEnded(_)
        | Event::ParamChanged(_)
        | Event::TreasurySpent(_)
        | Event::Penalised(_)
        | Event::ModulePaused(_)
        | Event::ModuleResumed(_)
        | Event::UpgradePlanned(_)
        | Event::UpgradeBegan(_)
        | Event::WithdrawalsHalted(_)
        | Event::WithdrawalsResumed(_)
        | Event::ServiceSet(_) => governance::details(event).unwrap_or_default(),
        Event::ValidatorTombstoned(_)
        | Event::CandidateRegistered(_)
        | Event::CandidateUpdated(_)
        | Event::StakeDelegated(_)
        | Event::StakeUndelegated(_)
        | Event::StakeReturned(_)
        | Event::Redelegated(_)
        | Event::RedelegationSlashed(_)
        | Event::RewardsClaimed(_)
        | Event::EpochBegan(_)
        | Event::CandidateJailed(_)
        | Event::CandidateReleased(_)
        | Event::NodeConfirmed(_) => validators::details(event).unwrap_or_default(),
        Event::AppealDecided(event) => json!({
            "appellant": address(event.appellant),
            "defender": address(event.defender),
            "outcome": snake(event.outcome),
            "path": event.path.as_slice(),
            "is_turned": event.is_turned,
        }),
        Event::WorkerReplaced(event) => {
            json!({"worker": address(event.worker), "reason": snake(event.reason)})
        }
        Event::OrderClosed(event) => json!({
            "order": order_id(event.order), "deposit": coins(event.deposit), "returned": coins(event.returned),
        }),
        Event::LaneOpened(event) => json!({
            "worker": address(event.worker), "buyer": address(event.payers.buyer),
            "delegate": event.payers.delegate.map(address), "kind": event.kind.0, "cap": coins(event.cap), "until": event.until.get(),
        }),
        Event::SharingDue(event) => json!({
            "worker": address(event.worker), "due": event.due.get(),
            "verifiers": event.readers.iter().map(|reader| address(reader.verifier)).collect::<Vec<_>>(),
        }),
        Event::LeavesShared(event) => json!({"sender": address(event.sender)}),
        Event::LaneToppedUp(event) => json!({
            "worker": address(event.worker), "payer": address(event.payer), "cap": coins(event.cap), "locked": coins(event.locked),
        }),
        Event::LaneClosing(event) => {
            json!({"worker": address(event.worker), "until": event.until.get()})
        }
        Event::LaneClosed(event) => json!({
            "worker": address(event.worker), "claimed": coins(event.claimed), "returned": coins(event.returned),
        }),
        Event::BatchPosted(event) => json!({
            "lane": slot_name(event.lane), "number": event.number, "worker": address(event.worker),
            "root": event.root.digest.to_string(), "requests": event.count, "total": coins(event.root.sum),
        }),
        Event::LinkDue(event) => json!({
            "worker": address(event.worker), "seed": event.seed.to_string(), "verifier": address(event.verifier),
            "anchor": event.hash_chain.anchor.to_string(), "index": event.index, "due": event.due.get(),
        }),
        Event::LinkRevealed(event) => {
            json!({"verifier": address(event.verifier), "link": event.link.to_string()})
        }
        Event::NothingDrawn(event) => json!({"worker": address(event.worker)}),
        Event::SampleChosen(event) => {
            json!({"buyer": address(event.buyer), "at": coins(event.at)})
        }
        Event::LeavesDue(event) => json!({
            "worker": address(event.worker), "samples": event.samples.iter().map(|sample| coins(*sample)).collect::<Vec<_>>(), "due": event.due.get(),
        }),
        Event::LeavesShown(event) => json!({
            "lane": slot_name(event.lane), "worker": address(event.worker), "samples": event.samples.iter().map(|sample| coins(*sample)).collect::<Vec<_>>(),
            "shown": event.shown.to_string(),
        }),
        Event::BatchSettled(event) => json!({
            "lane": slot_name(event.lane), "buyer": address(event.payers.buyer), "root": event.root.digest.to_string(),
            "requests": event.count, "total": coins(event.root.sum), "samples": event.samples.iter().map(|sample| coins(*sample)).collect::<Vec<_>>(),
            "paid": {"to": address(event.paid.to), "amount": coins(event.paid.amount)},
            "checks": event.checks.iter().map(|check| json!({"to": address(check.to), "amount": coins(check.amount)})).collect::<Vec<_>>(),
            "burned": coins(event.burned), "returned": coins(event.returned), "recomputed_by": event.recomputed_by,
            "disputed": event.disputed,
        }),
    }
}

/// Where all money is.
#[must_use]
pub fn supply(supply: &SupplyReport) -> Value {
    json!({
        "genesis": coins(supply.genesis),
        "minted": coins(supply.minted),
        "burned": coins(supply.burned),
        "balances": coins(supply.balances),
        "bonded": coins(supply.bonded),
        "unbonding": coins(supply.unbonding),
        "escrow": coins(supply.escrow),
        "conserved": supply.is_conserved(),
    })
}

/// What buyers have locked, against what a third of the seats costs: null while seats are not given by stake.
#[must_use]
pub fn secured(secured: &SecuredReport) -> Value {
    json!({
        "locked": coins(secured.locked),
        "by_stake": secured.third.is_some(),
        "third_of_seats": secured.third.map(coins),
        "share_bps": secured.share.get(),
        "limit": secured.limit.map(coins),
        "room": secured.room().map(coins),
    })
}

/// What the ledger found of itself: `halted` is null while withdrawals go on, `broken` while all sums hold.
#[must_use]
pub fn audit(audit: &AuditReport) -> Value {
    json!({
        "halted": audit.halt.map(|halt| json!({
            "invariant": halt.invariant.name(), "halted": halt.halted.get(),
        })),
        "broken": audit.broken.map(|invariant| invariant.name()),
        "readings": audit.readings,
        "ended": audit.ended.get(),
    })
}

/// A status.
#[must_use]
pub fn status(status: &Status) -> Value {
    json!({
        "chain_id": status.header.chain_id.as_str(),
        "genesis": status.genesis.to_string(),
        "height": status.header.height.get(),
        "time_ms": status.header.time.get(),
        "block": status.header.digest().to_string(),
        "state_root": status.header.state_root.to_string(),
        "validators": status.validators,
        "offers": status.offers,
        "verifiers": status.verifiers,
        "open_orders": status.open_orders,
        "mempool": status.mempool,
        "supply": supply(&status.supply),
        "secured": secured(&status.secured),
        "audit": audit(&status.audit),
        "rules": governance::rules(&status.rules),
        "version": status.version.as_str(),
    })
}

/// A delegate of an account.
#[must_use]
pub fn delegate(granted: &DelegateReport) -> Value {
    json!({
        "delegate": address(granted.delegate), "cap": coins(granted.cap), "left": coins(granted.left), "until": granted.until.get(),
    })
}

fn known_kind(known: &KnownKind) -> Value {
    let Versions { oldest, newest } = known.versions;
    json!({ "kind": known.kind.0, "versions": [oldest, newest] })
}

/// An account.
#[must_use]
pub fn account(account: &AccountReport) -> Value {
    json!({
        "address": address(account.address),
        "balance": coins(account.balance),
        "nonce": account.nonce.get(),
        "bonded": coins(account.bonded),
        "unbonding": coins(account.unbonding),
        "exposure": coins(account.exposure),
        "delegates": account.delegates.iter().map(delegate).collect::<Vec<_>>(),
        "verifies": account.verifies.as_ref().map(|verifies| verifies.enrolment.kinds.iter().map(known_kind).collect::<Vec<_>>()),
        "links_left": account.verifies.as_ref().map(|verifies| verifies.links_left),
    })
}

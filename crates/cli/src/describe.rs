//! Events and reports in words.

use fairweir_types::{
    Address, Event,
    event::{AppealOutcome, DisputeCause, RefundReason, SlashReason},
    order::{NonMatch, NonMatchReason},
    receipt::{Randomness, Tier, Verdict},
};
use std::collections::BTreeMap;

mod governance;
mod validators;

pub(crate) use governance::{message, outcome, param, phase, seconds, tally};

/// Names for addresses that the reader knows.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<Address, String>);

impl Names {
    pub(crate) fn of(keys: &fairweir_node::Keystore) -> Self {
        let named = keys
            .names()
            .filter_map(|name| Some((keys.account(name).ok()?.address(), name.to_owned())));
        Self(named.collect())
    }

    /// The name, or a short form of the address.
    pub(crate) fn show(&self, address: Address) -> String {
        self.0
            .get(&address)
            .cloned()
            .unwrap_or_else(|| short(&address.to_string()))
    }
}

/// The first and last characters of a long word.
pub(crate) fn short(word: &str) -> String {
    match (
        word.get(..9),
        word.len()
            .checked_sub(4)
            .and_then(|start| word.get(start..)),
    ) {
        (Some(head), Some(tail)) if word.len() > 16 => format!("{head}…{tail}"),
        _ => word.to_owned(),
    }
}

/// A reason in words, with its figures.
pub(crate) fn reason(reason: &NonMatchReason) -> String {
    let figures = reason.shortfall();
    let coins = |base_units: u64| {
        fairweir_types::Amount::from_base_units(base_units)
            .map_or_else(|| base_units.to_string(), |amount| amount.to_string())
    };
    let (has, asked) = (coins(figures.has), coins(figures.asked));
    match reason {
        NonMatchReason::PriceAboveMax(_) => format!("price {has} above the order's {asked}"),
        NonMatchReason::CapacityFull(_) => format!("all {} slots in use", figures.has),
        NonMatchReason::CollateralTooLow(_) => format!("free collateral {has}, {asked} needed"),
        NonMatchReason::StakeTooLow(_) => format!("stake {has}, {asked} needed"),
        NonMatchReason::DemandTooLarge(_) => {
            format!("takes {}, asked {}", figures.has, figures.asked)
        }
        NonMatchReason::LevelTooLow(_) => {
            format!("level {}, {} needed", figures.has, figures.asked)
        }
        NonMatchReason::CapabilityMissing(_) => "a capability is missing".to_owned(),
        NonMatchReason::RegionDiffers(_) => "in another region".to_owned(),
        NonMatchReason::PrivacyNotOffered(_) => "does not handle input this private".to_owned(),
        NonMatchReason::OwnedByBuyer(_) => "belongs to the buyer".to_owned(),
        NonMatchReason::Excluded(_) => {
            "failed this slot before, or holds another slot of the order".to_owned()
        }
        NonMatchReason::Outbid(_) => format!("fits, but costs {has} instead of {asked}"),
        NonMatchReason::VersionNotOffered(_) => format!(
            "its program knows versions up to {}, {} is in force",
            figures.has, figures.asked
        ),
        NonMatchReason::NotDrawn(_) => "fits as well; the beacon drew the other".to_owned(),
    }
}

fn others(names: &Names, candidates: &[NonMatch]) -> String {
    let shown: Vec<String> = candidates
        .iter()
        .map(|other| {
            format!(
                "{}: {} ({})",
                names.show(other.worker),
                reason(&other.reason),
                other.reason.name()
            )
        })
        .collect();
    if shown.is_empty() {
        "no other candidate".to_owned()
    } else {
        shown.join("; ")
    }
}

pub(crate) const fn slash_reason(reason: SlashReason) -> &'static str {
    match reason {
        SlashReason::WrongTrace => "its work was judged wrong",
        SlashReason::Unopened => "it did not open its receipt in time",
        SlashReason::ReceiptLate => "it delivered no receipt in time",
        SlashReason::WrongVerdict => "its verdict was judged wrong",
        SlashReason::VerdictMissing => "it gave no verdict in time",
        SlashReason::LinkMissing => "it revealed no link of its hash chain in time",
    }
}

pub(crate) const fn refund_reason(reason: RefundReason) -> &'static str {
    match reason {
        RefundReason::Cancelled => "the buyer took the order back",
        RefundReason::NoMatch => "no worker fitted in time",
        RefundReason::NoReceipt => "no worker delivered in time",
        RefundReason::Invalid => "the work was judged wrong",
        RefundReason::Unopened => "the worker did not open its receipt",
        RefundReason::Understaffed => "too few verifiers are eligible",
        RefundReason::Undecided => "the dispute was not decided",
        RefundReason::SpecMissing => {
            "the verifiers do not find what was asked for: it was left nowhere"
        }
        RefundReason::Retired => {
            "the kind was retired, or went on with another version, before a worker had it"
        }
    }
}

const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::First => "first draw",
        Tier::Dispute => "dispute",
    }
}

pub(crate) const fn randomness(randomness: Randomness) -> &'static str {
    match randomness {
        Randomness::ValidatorTrusted => "validator-trusted randomness",
        Randomness::Beacon => "beacon of four or more validators",
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

/// An event in one line.
pub(crate) fn event(names: &Names, event: &Event) -> String {
    let who = |address: Address| names.show(address);
    match event {
        Event::Transferred(event) => format!(
            "{} sent {} to {}",
            who(event.from),
            event.amount,
            who(event.to)
        ),
        Event::Bonded(event) => format!("{} bonded {}", who(event.account), event.amount),
        Event::Unbonding(event) => format!("{} unbonds {}", who(event.account), event.amount),
        Event::Unbonded(event) => format!(
            "{} has {} of its stake back",
            who(event.account),
            event.amount
        ),
        Event::Slashed(event) => format!(
            "{} was slashed {} because {}: {} to the buyer, {} to reporters, {} to verifiers, {} burned",
            who(event.account),
            event.amount,
            slash_reason(event.reason),
            event.to_buyer,
            event.to_reporters,
            event.to_verifiers,
            event.burned
        ),
        Event::OfferRegistered(event) => {
            format!("{} offers kind {}", who(event.worker), event.kind)
        }
        Event::OfferWithdrawn(event) => format!(
            "{} withdrew its offer of kind {}",
            who(event.worker),
            event.kind
        ),
        Event::VerifierEnrolled(event) => format!("{} joined the verifiers", who(event.verifier)),
        Event::VerifierLeft(event) => format!("{} left the verifiers", who(event.verifier)),
        Event::OrderPosted(event) => format!(
            "{} posted order {} of kind {}: {} in escrow, {} deposit",
            who(event.buyer),
            short(&event.order.to_string()),
            event.header.kind,
            event.escrow,
            event.deposit
        ),
        Event::ToppedUp(event) => format!(
            "{} added {} to order {}",
            who(event.payer),
            event.amount,
            short(&event.order.to_string())
        ),
        Event::Matched(event) => format!(
            "matched {} at {} at most; others: {}",
            who(event.worker),
            event.quote,
            others(names, event.others.as_slice())
        ),
        Event::Unmatched(event) => format!(
            "no worker fits yet; {}",
            others(names, event.candidates.as_slice())
        ),
        Event::ReceiptSubmitted(event) => format!(
            "{} delivered a receipt for {} units in, {} out",
            who(event.worker),
            event.receipt.receipt.units.input,
            event.receipt.receipt.units.output
        ),
        Event::VerifiersDrawn(event) => format!(
            "{} drawn for the {} ({})",
            event
                .verifiers
                .iter()
                .map(|verifier| who(*verifier))
                .collect::<Vec<_>>()
                .join(", "),
            tier(event.tier),
            randomness(event.randomness)
        ),
        Event::DisputeUnderstaffed(event) => format!(
            "{} verifiers needed, {} eligible",
            event.needed, event.eligible
        ),
        Event::VerdictCommitted(event) => format!(
            "{} committed to its trace ({})",
            who(event.verifier),
            tier(event.tier)
        ),
        Event::OpeningDue(event) => format!("{} must open its receipt", who(event.worker)),
        Event::ReceiptOpened(event) => format!(
            "{} opened trace {}",
            who(event.worker),
            short(&event.trace.to_string())
        ),
        Event::RevealDue(event) => format!("verifiers reveal ({})", tier(event.tier)),
        Event::VerdictRevealed(event) => {
            format!(
                "{} revealed trace {} ({})",
                who(event.verifier),
                short(&event.trace.to_string()),
                tier(event.tier)
            )
        }
        Event::Disputed(event) => format!(
            "disputed: {}",
            match event.cause {
                DisputeCause::Disagreement => "verifiers disagree with the worker",
                DisputeCause::VerdictMissing => "a verifier did not answer",
                DisputeCause::Challenged => "the buyer challenged",
            }
        ),
        Event::Judged(event) => format!(
            "judged {} by the {}: {} of {} agree with the worker",
            verdict(event.verdict),
            tier(event.tier),
            event.agreeing,
            event.drawn
        ),
        Event::Settled(event) => format!(
            "settled: {} to {}, {} for their checks, {} burned",
            event.paid.amount,
            who(event.paid.to),
            event
                .checks
                .iter()
                .map(|check| format!("{} to {}", check.amount, who(check.to)))
                .collect::<Vec<_>>()
                .join(" and "),
            event.burned
        ),
        Event::Refunded(event) => format!(
            "refunded {} to {}: {}",
            event.amount,
            who(event.buyer),
            refund_reason(event.reason)
        ),
        Event::WorkerReplaced(event) => format!(
            "{} is replaced: {}",
            who(event.worker),
            slash_reason(event.reason)
        ),
        Event::OrderClosed(event) => format!(
            "order {} closed: deposit {} returned",
            short(&event.order.to_string()),
            event.deposit
        ),
        Event::LaneOpened(event) => format!(
            "{} serves requests of {} until chain time {}, for {} together at most",
            who(event.worker),
            who(event.payers.buyer),
            event.until.get(),
            event.cap
        ),
        Event::SharingDue(event) => format!(
            "the {} verifiers of a dispute wait to read what {} showed",
            event.readers.len(),
            who(event.worker)
        ),
        Event::LeavesShared(event) => format!(
            "{} lets a dispute's verifiers read what was shown",
            who(event.sender)
        ),
        Event::LaneToppedUp(event) => format!(
            "{} locked {} more for a lane of {}: {} together at most",
            who(event.payer),
            event.locked,
            who(event.worker),
            event.cap
        ),
        Event::LaneClosing(event) => {
            format!("a lane of {} takes no more requests", who(event.worker))
        }
        Event::LaneClosed(event) => format!(
            "a lane of {} closed: {} claimed, {} returned",
            who(event.worker),
            event.claimed,
            event.returned
        ),
        Event::BatchPosted(event) => format!(
            "{} claims {} for {} requests",
            who(event.worker),
            event.root.sum,
            event.count
        ),
        Event::LinkDue(event) => format!(
            "verifiers of what {} claims were drawn: {} reveals a link of its hash chain",
            who(event.worker),
            who(event.verifier)
        ),
        Event::LinkRevealed(event) => {
            format!("{} revealed its link of the draw", who(event.verifier))
        }
        Event::NothingDrawn(event) => format!(
            "none of the requests that {} claims is drawn for a check",
            who(event.worker)
        ),
        Event::SampleChosen(event) => format!(
            "{} has the request at {} of the batch checked",
            who(event.buyer),
            event.at
        ),
        Event::LeavesDue(event) => format!(
            "{} of its requests are drawn for a check: {} must show them",
            event.samples.len(),
            who(event.worker)
        ),
        Event::LeavesShown(event) => format!("{} showed the drawn requests", who(event.worker)),
        Event::BatchSettled(event) => format!(
            "settled: {} to {} for {} requests, {} of them checked by {} verifiers, {} burned",
            event.paid.amount,
            who(event.paid.to),
            event.count,
            event.samples.len(),
            event.recomputed_by,
            event.burned
        ),
        Event::DelegateGranted(event) => format!(
            "{} lets {} open sessions for {} coins at most",
            who(event.owner),
            who(event.delegate),
            event.cap
        ),
        Event::DelegateRevoked(event) => format!(
            "{} lets {} open no more sessions",
            who(event.owner),
            who(event.delegate)
        ),
        Event::AppealsOpen(_) => "who loses by the verdict may appeal it".to_owned(),
        Event::Appealed(event) => format!(
            "{} appeals to the referee; {} defends the verdict",
            who(event.appellant),
            who(event.defender)
        ),
        Event::AppealNarrowed(event) => format!(
            "the runs of {} and {} differ at /{}",
            who(event.appellant),
            who(event.defender),
            path(event.path.as_slice())
        ),
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
        | Event::ServiceSet(_) => governance::event(names, event).unwrap_or_default(),
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
        | Event::NodeConfirmed(_) => validators::event(names, event).unwrap_or_default(),
        Event::AppealDecided(event) => format!(
            "{}; the verdict {}",
            appeal_outcome(event.outcome, &who(event.appellant), &who(event.defender)),
            if event.is_turned {
                "is turned"
            } else {
                "stands so far"
            }
        ),
    }
}

/// A path in a run as its digits.
fn path(path: &[u8]) -> String {
    path.iter().map(|digit| format!("{digit:x}")).collect()
}

fn appeal_outcome(outcome: AppealOutcome, appellant: &str, defender: &str) -> String {
    match outcome {
        AppealOutcome::DefenderWrong => format!("the referee finds {defender} wrong"),
        AppealOutcome::DefenderSilent => format!("{defender} did not move in time"),
        AppealOutcome::AppellantWrong => format!("the referee finds {appellant} wrong"),
        AppealOutcome::AppellantSilent => format!("{appellant} did not move in time"),
        AppealOutcome::Undecided => "the referee cannot decide".to_owned(),
    }
}

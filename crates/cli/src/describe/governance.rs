//! Proposals in words.

use super::{Names, short};
use fairweir_ledger::{params::PARAMS, refusal};
use fairweir_types::{
    Amount, Bps, Event,
    catalogue::ServiceEntry,
    governance::{Message, ProposalOutcome, ProposalPhase, Tally, Weights},
};

/// The name of a governed value.
pub(crate) fn param(number: u16) -> String {
    let spec = PARAMS.iter().find(|spec| spec.number == number);
    spec.map_or_else(
        || format!("parameter {number}"),
        |spec| spec.name.to_owned(),
    )
}

/// What a proposal does when it passes.
pub(crate) fn message(names: &Names, message: &Message) -> String {
    match message {
        Message::SetParam(set) => format!("set {} to {}", param(set.param), set.value),
        Message::TreasurySpend(spend) => format!(
            "pay {} from the treasury to {}",
            spend.amount,
            names.show(spend.to)
        ),
        Message::Penalty(penalty) => format!(
            "take {} of the stake of {}, for evidence {}",
            percent(penalty.share.get().into(), Bps::WHOLE.into()),
            names.show(penalty.accused),
            short(&penalty.evidence.to_string())
        ),
        Message::Pause(pause) => format!(
            "refuse new actions of the module {} for {}",
            pause.module.name(),
            seconds(pause.duration.get())
        ),
        Message::Upgrade(upgrade) => format!(
            "stop before block {} whoever does not follow plan {}",
            upgrade.height,
            short(&upgrade.plan.to_string())
        ),
        Message::Cancel(cancel) => format!("cancel proposal {}", cancel.proposal),
        Message::Resume(resume) => {
            format!("let withdrawals go on that block {} halted", resume.halted)
        }
        Message::SetService(set) => entry(set.kind.0, &set.entry),
        Message::Release(release) => {
            format!(
                "let {} out of its jail until epoch {}",
                names.show(release.candidate),
                release.until
            )
        }
    }
}

/// What an entry of the catalogue does.
pub(crate) fn entry(kind: u16, entry: &ServiceEntry) -> String {
    match &entry.terms {
        Some(terms) => format!(
            "from block {} on take work of kind {kind} as {} in version {}{}",
            entry.from,
            terms.name,
            terms.version,
            if terms.has_appeals {
                ""
            } else {
                ", without appeals"
            }
        ),
        None => format!("retire kind {kind} from block {} on", entry.from),
    }
}

/// Milliseconds in words.
pub(crate) fn seconds(ms: u64) -> String {
    match ms / 1_000 {
        0..=119 => format!("{} s", ms / 1_000),
        120..=7_199 => format!("{} min", ms / 60_000),
        7_200..=172_799 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// A share in tenths of a per cent, rounded down.
pub(crate) fn percent(part: u128, whole: u128) -> String {
    let tenths = part
        .saturating_mul(1_000)
        .checked_div(whole)
        .unwrap_or_default();
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn weights(weights: &Weights) -> String {
    let parts = [
        ("yes", weights.yes),
        ("no", weights.no),
        ("abstain", weights.abstain),
        ("veto", weights.veto),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, part)| *part > 0)
        .map(|(name, part)| match u64::from(*part) {
            Bps::WHOLE => (*name).to_owned(),
            _ => format!("{} {name}", percent(u128::from(*part), Bps::WHOLE.into())),
        })
        .collect();
    shown.join(", ")
}

/// The votes of a voting, of all that were cast and of all that is bonded.
pub(crate) fn tally(tally: &Tally, bonded: Amount) -> String {
    let all = [tally.yes, tally.no, tally.abstain, tally.veto]
        .into_iter()
        .fold(0u128, u128::saturating_add);
    let of = |part| percent(part, all);
    let whole = u128::from(bonded.base_units()).saturating_mul(Bps::WHOLE.into());
    format!(
        "yes {}, no {}, abstain {}, veto {} of what voted: {} of {bonded} bonded coins",
        of(tally.yes),
        of(tally.no),
        of(tally.abstain),
        of(tally.veto),
        percent(all, whole)
    )
}

/// An outcome in words.
pub(crate) fn outcome(outcome: ProposalOutcome, code: u16) -> String {
    match outcome {
        ProposalOutcome::Executed => "it passed and was done".to_owned(),
        ProposalOutcome::Failed => format!(
            "it passed and could not be done any more ({}, code {code})",
            refusal::name(fairweir_types::TxCode(code))
        ),
        ProposalOutcome::Rejected => "not enough were for it".to_owned(),
        ProposalOutcome::NoQuorum => "too few voted".to_owned(),
        ProposalOutcome::Vetoed => "it was vetoed, and its deposit is gone".to_owned(),
        ProposalOutcome::Unfunded => "its deposit did not come together in time".to_owned(),
        ProposalOutcome::Cancelled => "another proposal cancelled it".to_owned(),
        ProposalOutcome::Overturned => "the appeal overturned it".to_owned(),
    }
}

/// A phase in words.
pub(crate) const fn phase(phase: ProposalPhase) -> &'static str {
    match phase {
        ProposalPhase::Deposit => "waits for its deposit",
        ProposalPhase::Voting => "is voted on",
        ProposalPhase::Confirming => "has passed and must stay so: votes still count",
        ProposalPhase::Appealable => "has passed: the accused may appeal",
        ProposalPhase::AppealVoting => "was appealed and is voted on again: it needs more now",
        ProposalPhase::Locked => "has passed and waits for its lock: it can still be cancelled",
        ProposalPhase::Ended => "is over",
    }
}

/// An event of governance in one line; none for other events.
pub(super) fn event(names: &Names, event: &Event) -> Option<String> {
    let who = |address| names.show(address);
    Some(match event {
        Event::ProposalSubmitted(event) => format!(
            "{} proposes ({}) '{}': {}",
            who(event.proposer),
            event.proposal,
            event.title,
            message(names, &event.message)
        ),
        Event::DepositAdded(event) => format!(
            "{} added {} to the deposit of proposal {}",
            who(event.from),
            event.amount,
            event.proposal
        ),
        Event::VotingStarted(event) => format!(
            "proposal {} is voted on{} by {} bonded coins",
            event.proposal,
            if event.is_appeal { " again" } else { "" },
            event.bonded
        ),
        Event::Voted(event) => format!(
            "{} votes {} on proposal {} with {}, and {} that others delegated to it",
            who(event.voter),
            weights(&event.weights),
            event.proposal,
            event.power,
            event.lent
        ),
        Event::VoteOverridden(event) => format!(
            "{} votes itself on proposal {} with {} that it had delegated to {}",
            who(event.voter),
            event.proposal,
            event.power,
            who(event.candidate)
        ),
        Event::VoteReturned(event) => format!(
            "{} has {} back that its vote in voting {} had lent",
            who(event.voter),
            event.amount,
            event.voting
        ),
        Event::ProposalPassed(event) => {
            format!("proposal {} {}", event.proposal, phase(event.phase))
        }
        Event::MotionAnswered(event) => format!(
            "{} answers motion {}: {}",
            who(event.accused),
            event.proposal,
            short(&event.answer.to_string())
        ),
        Event::MotionAppealed(event) => format!(
            "{} appeals motion {}: {}",
            who(event.accused),
            event.proposal,
            short(&event.grounds.to_string())
        ),
        Event::ProposalEnded(event) => format!(
            "proposal {} is over: {}; {} of its deposit returned, {} forfeited",
            event.proposal,
            outcome(event.outcome, event.code.0),
            event.returned,
            event.forfeited
        ),
        Event::ParamChanged(event) => format!(
            "{} is {} now, it was {}",
            param(event.param),
            event.value,
            event.before
        ),
        Event::TreasurySpent(event) => {
            format!("the treasury paid {} to {}", event.amount, who(event.to))
        }
        Event::Penalised(event) => format!(
            "motion {} took {} of the stake of {}: burned",
            event.proposal,
            event.burned,
            who(event.accused)
        ),
        Event::ModulePaused(event) => format!(
            "the module {} takes nothing new until chain time {}",
            event.module.name(),
            event.until
        ),
        Event::UpgradePlanned(event) => format!(
            "new rules begin with block {}: plan {}",
            event.height, event.plan
        ),
        Event::UpgradeBegan(event) => format!(
            "new rules are in force: plan {}, {} records were changed",
            event.plan, event.records
        ),
        Event::ModuleResumed(event) => {
            format!("the module {} takes new actions again", event.module.name())
        }
        Event::WithdrawalsHalted(event) => format!(
            "withdrawals are halted: the invariant {} does not hold",
            event.invariant
        ),
        Event::WithdrawalsResumed(event) => format!(
            "withdrawals go on that block {} halted, by proposal {}",
            event.halted, event.proposal
        ),
        Event::ServiceSet(event) => format!(
            "the catalogue has a new entry, by proposal {}: {}",
            event.proposal,
            entry(event.kind.0, &event.entry)
        ),
        _ => return None,
    })
}

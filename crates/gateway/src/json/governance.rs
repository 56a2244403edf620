//! Proposals and their events as JSON. A tally's figures are whole numbers as text: stake in base units times basis points, exact.

use super::{address, coins, services};
use fairweir_types::{
    Event,
    governance::{Message, Tally, Weights},
    node_api::{GovernanceReport, ProposalReport, RulesReport},
};
use serde_json::{Value, json};

/// What a proposal does.
#[must_use]
pub fn message(message: &Message) -> Value {
    let name = message.name();
    match message {
        Message::SetParam(set) => {
            json!({"message": name, "param": set.param, "value": set.value.to_string()})
        }
        Message::TreasurySpend(spend) => {
            json!({"message": name, "to": address(spend.to), "amount": coins(spend.amount)})
        }
        Message::Penalty(penalty) => json!({
            "message": name, "accused": address(penalty.accused), "evidence": penalty.evidence.to_string(), "share_bps": penalty.share.get(),
        }),
        Message::Pause(pause) => {
            json!({"message": name, "module": pause.module.name(), "duration_ms": pause.duration.get()})
        }
        Message::Upgrade(upgrade) => {
            json!({"message": name, "height": upgrade.height.get(), "plan": upgrade.plan.to_string()})
        }
        Message::Cancel(cancel) => json!({"message": name, "proposal": cancel.proposal.get()}),
        Message::Resume(resume) => json!({"message": name, "halted": resume.halted.get()}),
        Message::SetService(set) => {
            json!({"message": name, "kind": set.kind.0, "entry": services::entry(&set.entry)})
        }
        Message::Release(release) => {
            json!({"message": name, "candidate": address(release.candidate), "until": release.until})
        }
    }
}

fn weights(weights: &Weights) -> Value {
    json!({"yes": weights.yes, "no": weights.no, "abstain": weights.abstain, "veto": weights.veto})
}

/// The votes of a voting.
#[must_use]
pub fn tally(tally: &Tally) -> Value {
    json!({
        "yes": tally.yes.to_string(), "no": tally.no.to_string(), "abstain": tally.abstain.to_string(), "veto": tally.veto.to_string(),
    })
}

/// A proposal.
#[must_use]
pub fn proposal(proposal: &ProposalReport) -> Value {
    let deposits = proposal
        .deposits
        .iter()
        .map(|part| json!({"from": address(part.from), "amount": coins(part.amount)}));
    json!({
        "proposal": proposal.proposal.get(),
        "proposer": address(proposal.proposer),
        "title": proposal.title.as_str(),
        "does": message(&proposal.message),
        "expedited": proposal.expedited,
        "submitted": proposal.submitted.get(),
        "phase": proposal.phase.name(),
        "due_ms": proposal.due.get(),
        "deposits": deposits.collect::<Vec<_>>(),
        "deposit_needed": coins(proposal.needed),
        "bonded": coins(proposal.bonded),
        "tally": tally(&proposal.tally),
        "charged": coins(proposal.charged),
        "answer": proposal.answer.map(|answer| answer.to_string()),
        "grounds": proposal.grounds.map(|grounds| grounds.to_string()),
        "outcome": proposal.ended.map(|ended| ended.outcome.name()),
        "code": proposal.ended.map(|ended| ended.code.0),
        "ended": proposal.ended.map(|ended| ended.height.get()),
    })
}

/// What is governed, but for the names of its values.
#[must_use]
pub fn governance(report: &GovernanceReport) -> Value {
    let paused = report
        .paused
        .iter()
        .map(|paused| json!({"module": paused.module.name(), "until_ms": paused.until.get()}));
    json!({
        "chain_time_ms": report.now.get(),
        "bonded": coins(report.bonded),
        "treasury": coins(report.treasury),
        "paused": paused.collect::<Vec<_>>(),
        "rules": rules(&report.rules),
    })
}

/// Which rules are in force, and which are to come: `planned` is null while none are, `newest` while those of the genesis are.
pub(super) fn rules(report: &RulesReport) -> Value {
    json!({
        "planned": report.planned.map(|upgrade| json!({
            "height": upgrade.height.get(), "plan": upgrade.plan.to_string(), "known": report.knows,
        })),
        "newest": report.newest.map(|upgrade| json!({"height": upgrade.height.get(), "plan": upgrade.plan.to_string()})),
        "begun": report.begun,
    })
}

/// What is particular to an event of governance; none for other events.
pub(super) fn details(event: &Event) -> Option<Value> {
    Some(match event {
        Event::ProposalSubmitted(event) => json!({
            "proposal": event.proposal.get(), "proposer": address(event.proposer), "title": event.title.as_str(), "does": message(&event.message),
            "expedited": event.expedited, "deposit": coins(event.deposit), "needed": coins(event.needed), "due": event.due.get(),
        }),
        Event::DepositAdded(event) => json!({
            "proposal": event.proposal.get(), "from": address(event.from), "amount": coins(event.amount), "deposit": coins(event.deposit),
        }),
        Event::VotingStarted(event) => json!({
            "proposal": event.proposal.get(), "is_appeal": event.is_appeal, "bonded": coins(event.bonded), "charged": coins(event.charged),
            "until": event.until.get(),
        }),
        Event::Voted(event) => json!({
            "proposal": event.proposal.get(), "voter": address(event.voter), "weights": weights(&event.weights), "power": coins(event.power),
            "lent": coins(event.lent),
        }),
        Event::VoteOverridden(event) => json!({
            "proposal": event.proposal.get(), "candidate": address(event.candidate), "voter": address(event.voter), "power": coins(event.power),
        }),
        Event::VoteReturned(event) => json!({
            "voting": event.voting, "voter": address(event.voter), "amount": coins(event.amount),
        }),
        Event::ProposalPassed(event) => json!({
            "proposal": event.proposal.get(), "phase": event.phase.name(), "tally": tally(&event.tally), "until": event.until.get(),
        }),
        Event::MotionAnswered(event) => json!({
            "proposal": event.proposal.get(), "accused": address(event.accused), "answer": event.answer.to_string(),
        }),
        Event::MotionAppealed(event) => json!({
            "proposal": event.proposal.get(), "accused": address(event.accused), "grounds": event.grounds.to_string(),
        }),
        Event::ProposalEnded(event) => json!({
            "proposal": event.proposal.get(), "outcome": event.outcome.name(), "code": event.code.0, "tally": tally(&event.tally),
            "returned": coins(event.returned), "forfeited": coins(event.forfeited),
        }),
        Event::ParamChanged(event) => json!({
            "proposal": event.proposal.get(), "param": event.param, "before": event.before.to_string(), "value": event.value.to_string(),
        }),
        Event::TreasurySpent(event) => json!({
            "proposal": event.proposal.get(), "to": address(event.to), "amount": coins(event.amount),
        }),
        Event::Penalised(event) => json!({
            "proposal": event.proposal.get(), "accused": address(event.accused), "burned": coins(event.burned),
        }),
        Event::ModulePaused(event) => json!({
            "proposal": event.proposal.get(), "module": event.module.name(), "until": event.until.get(),
        }),
        Event::UpgradePlanned(event) => json!({
            "proposal": event.proposal.get(), "height": event.height.get(), "plan": event.plan.to_string(),
        }),
        Event::UpgradeBegan(event) => json!({
            "height": event.height.get(), "plan": event.plan.to_string(), "records": event.records,
        }),
        Event::ModuleResumed(event) => json!({"module": event.module.name()}),
        Event::WithdrawalsHalted(event) => json!({
            "invariant": event.invariant.name(), "halted": event.halted.get(),
        }),
        Event::WithdrawalsResumed(event) => json!({
            "proposal": event.proposal.get(), "halted": event.halted.get(),
        }),
        Event::ServiceSet(event) => json!({
            "proposal": event.proposal.get(), "kind": event.kind.0, "entry": services::entry(&event.entry),
        }),
        _ => return None,
    })
}

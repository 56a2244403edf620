//! Views of proposals for nodes to hand out.

use super::{Proposal, governance, pauses::Pauses, proposal};
use crate::{
    bank,
    execution::Clock,
    fault::{Fault, present},
    keys,
    params::{PARAMS, Params},
    state::{State, load, scan},
    upgrades::{self, Plans},
};
use fairweir_types::{
    BoundedVec, ProposalId,
    genesis::GenesisParam,
    governance::TREASURY,
    limits::RECORD_PAGE_MAX,
    node_api::{GovernanceReport, ProposalPage, ProposalReport},
};

fn of(id: ProposalId, record: Proposal) -> ProposalReport {
    ProposalReport {
        proposal: id,
        proposer: record.proposer,
        title: record.title,
        message: record.message,
        expedited: record.expedited,
        submitted: record.submitted,
        phase: record.phase,
        due: record.due.time,
        deposits: record.deposits,
        needed: record.needed,
        bonded: record.voting.bonded,
        tally: record.voting.tally,
        charged: record.charged,
        answer: record.answer,
        grounds: record.grounds,
        ended: record.ended,
    }
}

/// A proposal.
///
/// # Errors
/// [`Fault`].
pub fn proposal_report(state: &dyn State, id: ProposalId) -> Result<Option<ProposalReport>, Fault> {
    Ok(proposal(state, id)?.map(|record| of(id, record)))
}

/// A page of proposals from a number on.
///
/// # Errors
/// [`Fault`].
pub fn proposals(state: &dyn State, from: ProposalId) -> Result<ProposalPage, Fault> {
    let (from, to) = keys::proposals_from(from);
    let records = scan::<Proposal>(state, &from, &to, RECORD_PAGE_MAX)?;
    let mut page = ProposalPage::default();
    for (key, record) in records {
        let id = present(keys::proposal_of(&key), "number in a proposal's key")?;
        page.proposals
            .push(of(id, record))
            .map_err(|_| Fault::Counter {
                what: "proposals of a page",
            })?;
    }
    Ok(page)
}

/// What is governed, as a program with these plans sees it.
///
/// # Errors
/// [`Fault`].
pub fn report(state: &dyn State, plans: Plans) -> Result<GovernanceReport, Fault> {
    let clock: Clock = load(state, &keys::clock())?.unwrap_or_default();
    let pauses: Pauses = load(state, &keys::pauses())?.unwrap_or_default();
    let params = Params::load(state)?;
    let values = PARAMS.iter().filter_map(|spec| {
        Some(GenesisParam {
            param: spec.number,
            value: params.get(spec.number)?,
        })
    });
    Ok(GovernanceReport {
        now: clock.chain_time,
        bonded: governance(state)?.bonded,
        treasury: bank::account(state, TREASURY)?.balance,
        params: BoundedVec::truncating(values),
        paused: pauses.modules,
        rules: upgrades::report(state, plans)?,
    })
}

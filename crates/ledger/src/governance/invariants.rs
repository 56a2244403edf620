//! What must hold of governance after every block: it reads everything, for tests and simulation.

use super::{Proposal, VoteRecord, governance, tally::with};
use crate::{
    fault::{Fault, OrFault, present},
    invariants::Violation,
    keys,
    stake::Stake,
    state::{Mark, State, scan},
};
use fairweir_types::{
    Address, Amount, Bps,
    governance::{ProposalPhase, Tally},
};
use std::collections::BTreeMap;

/// Checks that the running numbers are those of the records, and every open tally the sum of its votes.
pub(crate) fn check(state: &dyn State) -> Result<(), Violation> {
    let numbers = governance(state)?;
    let (from, to) = keys::stakes();
    let stakes = scan::<Stake>(state, &from, &to, usize::MAX)?;
    let weights: Result<Vec<Amount>, Fault> =
        stakes.iter().map(|(_, stake)| stake.weight()).collect();
    let bonded = Amount::sum(weights?).or_fault()?;
    let (from, to) = keys::proposals();
    let proposals = scan::<Proposal>(state, &from, &to, usize::MAX)?;
    let (from, to) = keys::proposals_due();
    let timers = scan::<Mark>(state, &from, &to, usize::MAX)?.len();
    let open: Vec<&Proposal> = proposals
        .iter()
        .map(|(_, proposal)| proposal)
        .filter(|proposal| proposal.phase != ProposalPhase::Ended)
        .collect();
    let waiting = open
        .iter()
        .filter(|proposal| proposal.phase == ProposalPhase::Deposit);
    let holds = [
        ("all bonded stake", bonded == numbers.bonded),
        ("timers of proposals", timers == open.len()),
        (
            "waiting proposals",
            usize::try_from(numbers.waiting) == Ok(waiting.count()),
        ),
        ("charges", charges_hold(&stakes, &open)?),
        ("tallies", tallies_hold(state, &open)?),
    ];
    match holds.iter().find(|(_, holds)| !holds) {
        Some((what, _)) => Err(Violation::Governance { what }),
        None => Ok(()),
    }
}

fn charges_hold(stakes: &[(Vec<u8>, Stake)], open: &[&Proposal]) -> Result<bool, Fault> {
    let mut charged: BTreeMap<Address, Amount> = BTreeMap::new();
    for proposal in open {
        if let Some(accused) = proposal.accused() {
            let sum = charged.entry(accused).or_default();
            *sum = sum.checked_add(proposal.charged).or_fault()?;
        }
    }
    for (key, stake) in stakes {
        let account = present(keys::address_of(key), "address in a stake's key")?;
        if charged.get(&account).copied().unwrap_or_default() != stake.charged {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tallies_hold(state: &dyn State, open: &[&Proposal]) -> Result<bool, Fault> {
    for proposal in open.iter().filter(|proposal| proposal.phase.takes_votes()) {
        let (from, to) = keys::votes_of(proposal.voting.number);
        let votes = scan::<VoteRecord>(state, &from, &to, usize::MAX)?;
        let mut tally = Tally::default();
        for (_, vote) in &votes {
            tally = with(&tally, (&vote.weights, vote.weight()?))?;
        }
        // No stake is counted twice, its delegator's vote and its candidate's together.
        let parts = [tally.yes, tally.no, tally.abstain, tally.veto];
        let all = parts
            .iter()
            .try_fold(0u128, |sum, part| sum.checked_add(*part));
        let most =
            u128::from(proposal.voting.bonded.base_units()).checked_mul(u128::from(Bps::WHOLE));
        if tally != proposal.voting.tally || all > most {
            return Ok(false);
        }
    }
    Ok(true)
}

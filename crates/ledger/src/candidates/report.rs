//! Views of candidates for nodes to hand out.

use super::{Candidate, candidate, delegation, delegation::of_account, epochs, standing};
use crate::{
    fault::{Fault, present},
    keys,
    params::{Params, money},
    state::State,
};
use fairweir_types::{
    Address, Amount, BoundedVec,
    node_api::{CandidateReport, CandidatesReport, DelegationReport, DelegationsReport},
};

/// The candidates that stand, and the seats.
///
/// # Errors
/// [`Fault`].
pub fn report(state: &dyn State) -> Result<CandidatesReport, Fault> {
    let params = Params::load(state)?;
    let epoch = epochs::epoch(state)?;
    let standing = standing::all(state)?;
    let count = epochs::count(state, &params, &standing)?;
    let of = |(account, record): &(Address, Candidate)| {
        let own = delegation(state, *account, *account)?;
        let eligible = count
            .eligible
            .iter()
            .find(|found| found.account == *account);
        Ok(CandidateReport {
            candidate: *account,
            validator: record.validator,
            commission: record.commission_in(epoch.number),
            next_commission: record.next_commission,
            own: own.map_or(Amount::ZERO, |own| own.shares),
            stake: record.counting()?,
            leaving: record.leaving,
            seats_next: eligible.map_or(0, |found| found.seats),
        })
    };
    let candidates: Result<Vec<_>, Fault> = standing.iter().map(of).collect();
    Ok(CandidatesReport {
        epoch: epoch.number,
        ends: epoch.ends,
        seats: epochs::seats(state)?.seats,
        stake: count.stake,
        stake_min: money(params.seats_stake_min),
        candidates: BoundedVec::truncating(candidates?),
    })
}

/// What an account has delegated.
///
/// # Errors
/// [`Fault`].
pub fn delegations(state: &dyn State, delegator: Address) -> Result<DelegationsReport, Fault> {
    let mut found = Vec::new();
    for (key, known) in of_account(state, delegator)? {
        if known.shares == Amount::ZERO {
            continue;
        }
        let account = present(keys::address_of(&key), "candidate in a delegation's key")?;
        let record = present(candidate(state, account)?, "candidate of a delegation")?;
        found.push(DelegationReport {
            candidate: account,
            shares: known.shares,
            worth: record.worth(known.shares)?,
            moved: known.moved,
            rewards: record.earned(known.shares, known.index)?,
            tombstoned: record.is_tombstoned(),
        });
    }
    Ok(DelegationsReport {
        delegations: BoundedVec::truncating(found),
    })
}

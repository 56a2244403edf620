//! Views of candidates for nodes to hand out.

use super::{Candidate, candidate, delegation, delegation::of_account, epochs, standing};
use crate::{
    fault::{Fault, present},
    keys,
    params::{Params, money},
    state::State,
    validators::validator,
};
use fairweir_types::{
    Address, Amount, BoundedVec,
    node_api::{CandidateReport, CandidatesReport, DelegationReport, DelegationsReport},
};
use std::{cmp::Reverse, net::SocketAddr};

/// The candidates that stand, and the seats.
///
/// # Errors
/// [`Fault`].
pub fn report(state: &dyn State) -> Result<CandidatesReport, Fault> {
    let params = Params::load(state)?;
    let epoch = epochs::epoch(state)?;
    let standing = standing::all(state)?;
    let count = epochs::count(state, &params, &standing)?;
    let elected = epochs::elected(&count, &params)?.unwrap_or_default();
    let of = |(account, record): &(Address, Candidate)| {
        let own = delegation(state, *account, *account)?;
        Ok(CandidateReport {
            candidate: *account,
            validator: record.validator,
            commission: record.commission_in(epoch.number),
            next_commission: record.next_commission,
            own: own.map_or(Amount::ZERO, |own| own.shares),
            stake: record.counting()?,
            leaving: record.leaving,
            peer: record.peer,
            is_ready: record.ready == Some(epoch.number),
            seat_next: elected.iter().any(|(found, _)| found == account),
            jailed_until: record.jailed_until(epoch.number),
            lead: record.lead.map(|lead| lead.account),
            is_confirmed: record.lead.is_some_and(|lead| lead.is_confirmed),
        })
    };
    let candidates: Result<Vec<_>, Fault> = standing.iter().map(of).collect();
    Ok(CandidatesReport {
        epoch: epoch.number,
        ends: epoch.ends,
        by_stake: epoch.by_stake,
        since: epoch.since,
        seats: epochs::seats(state)?,
        stake: count.ready.stake,
        absent: count.absent,
        stake_min: money(params.seats_stake_min),
        seats_min: u16::try_from(params.seats_min).unwrap_or(u16::MAX),
        candidates: BoundedVec::truncating(candidates?),
    })
}

/// The identities of those that stand and where their nodes are, those whose places are worth most first: who may connect, besides those with seats.
///
/// # Errors
/// [`Fault`].
pub fn peers(state: &dyn State) -> Result<Vec<([u8; 32], SocketAddr)>, Fault> {
    let mut found = Vec::new();
    let standing = standing::all(state)?;
    for (_, record) in &standing {
        let worth = standing::worth(&standing, record)?;
        found.push((Reverse(worth), (record.validator, record.peer.socket())));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, place)| place).collect())
}

/// Where the node of an identity is, if a candidate said so, whether it stands or not.
///
/// # Errors
/// [`Fault`].
pub fn peer_of(state: &dyn State, identity: &[u8; 32]) -> Result<Option<SocketAddr>, Fault> {
    let Some(known) = validator(state, identity)? else {
        return Ok(None);
    };
    let found = candidate(state, known.account)?;
    Ok(found
        .filter(|found| found.validator == *identity)
        .map(|found| found.peer.socket()))
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

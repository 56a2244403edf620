//! Who stands for seats: a bounded list.

use super::{Candidate, CandidateError, candidate, operator, pot::keep};
use crate::{
    execution::Execution,
    fault::{Fault, present},
    keys,
    state::{Mark, State, scan},
};
use fairweir_types::{
    Address, Amount, Event, PeerAddress, event::CandidateUpdated, limits::CANDIDATES_MAX,
};
use std::net::IpAddr;

/// All candidates that stand, in ascending order of account.
pub(super) fn all(state: &dyn State) -> Result<Vec<(Address, Candidate)>, Fault> {
    let (from, to) = keys::standing_candidates();
    let marks = scan::<Mark>(state, &from, &to, CANDIDATES_MAX)?;
    let with_record = |(key, _): (Vec<u8>, Mark)| {
        let account = present(keys::address_of(&key), "address of a candidate that stands")?;
        let record = present(candidate(state, account)?, "candidate that stands")?;
        Ok((account, record))
    };
    marks.into_iter().map(with_record).collect()
}

/// Checks that other validators can reach a node where it says that it is.
pub(super) fn check_peer(
    execution: &Execution<'_>,
    peer: PeerAddress,
) -> Result<(), CandidateError> {
    let socket = peer.socket();
    let ip = socket.ip();
    let is_local = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    // Keys of a development chain deserve no trust, so it stays on one machine. On others nobody may point everybody's nodes at what listens
    // on their own machines; networks of their own (10.0.0.0/8 and the like) they may well share.
    let is_somewhere = if execution.context.chain_id.is_dev() {
        ip.is_loopback()
    } else {
        !is_local
    };
    if is_somewhere && socket.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() {
        return Ok(());
    }
    Err(CandidateError::PeerUnreachable { peer })
}

/// What a candidate's place in the list is worth: the stake behind it; of a further node what is behind its lead, divided by that one's nodes that stand, if it stands itself.
pub(super) fn worth(
    standing: &[(Address, Candidate)],
    record: &Candidate,
) -> Result<Amount, Fault> {
    let of = |(lead, is_confirmed): (Address, bool)| {
        let found = standing.iter().find(|(account, _)| *account == lead);
        found.filter(|_| is_confirmed)
    };
    let lead = record
        .lead
        .and_then(|lead| of((lead.account, lead.is_confirmed)));
    let Some((account, lead)) = lead else {
        return record.counting();
    };
    let confirmed = |(_, other): &&(Address, Candidate)| {
        other.validator != record.validator
            && other
                .lead
                .is_some_and(|named| named.is_confirmed && named.account == *account)
    };
    // With the lead and itself, whether it stands or is about to.
    let nodes = standing.iter().filter(confirmed).count().saturating_add(2);
    operator::part(lead.counting()?, (1, nodes))
}

/// Who must make way for one more whose place is worth so much, if the list is full.
pub(super) fn displaced(
    state: &dyn State,
    newcomer: impl FnOnce(&[(Address, Candidate)]) -> Result<Amount, Fault>,
) -> Result<Option<(Address, Candidate)>, CandidateError> {
    let standing = all(state)?;
    if standing.len() < CANDIDATES_MAX {
        return Ok(None);
    }
    let mut least: Option<(Amount, &(Address, Candidate))> = None;
    for found in &standing {
        let worth = worth(&standing, &found.1)?;
        if least.as_ref().is_none_or(|(least, _)| worth < *least) {
            least = Some((worth, found));
        }
    }
    let newcomer = newcomer(&standing)?;
    match least {
        Some((least, found)) if least < newcomer => Ok(Some(found.clone())),
        Some((least, _)) => Err(CandidateError::TooManyCandidates {
            max: CANDIDATES_MAX,
            least,
        }),
        None => Ok(None),
    }
}

/// Lists a candidate, in place of the one that makes way.
pub(super) fn stand_up(
    execution: &mut Execution<'_>,
    account: Address,
    displaced: Option<(Address, Candidate)>,
) {
    if let Some((other, mut record)) = displaced {
        stand_down(execution, other, &mut record);
        keep(execution, other, &record);
        execution.emit(Event::CandidateUpdated(CandidateUpdated {
            candidate: other,
            commission: record.next_commission,
            stands: false,
        }));
    }
    execution
        .overlay
        .store(keys::standing_candidate(account), &Mark {});
}

/// Takes a candidate off the list; the caller keeps its record.
pub(super) fn stand_down(execution: &mut Execution<'_>, account: Address, record: &mut Candidate) {
    record.stands = false;
    execution.overlay.delete(keys::standing_candidate(account));
}

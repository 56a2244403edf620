//! Every storage key. The first byte says what it is; the rest are fixed-width, big-endian fields, so ranges are exact.

use commonware_codec::Encode;
use fairweir_types::{
    Address, Height, Millis, ProposalId,
    keys::VOTE_KEY_BYTES,
    order::{KindId, OrderId, SlotId},
};

const ACCOUNT: u8 = 0x01;
const STAKE: u8 = 0x02;
const UNBONDING: u8 = 0x03;
const OFFER: u8 = 0x04;
const VERIFIER: u8 = 0x05;
const ORDER: u8 = 0x06;
const SLOT: u8 = 0x07;
const DUE_AT_HEIGHT: u8 = 0x08;
const DUE_AT_TIME: u8 = 0x09;
const SUPPLY: u8 = 0x0a;
const CLOCK: u8 = 0x0b;
const PARAM: u8 = 0x0c;
const COUNTERS: u8 = 0x0d;
const CHAIN: u8 = 0x0e;
const VALIDATOR: u8 = 0x0f;
const RETRY_AT_TIME: u8 = 0x10;
const GRANT: u8 = 0x11;
const CANDIDATE: u8 = 0x12;
const STANDING_CANDIDATE: u8 = 0x13;
const VOTE_KEY: u8 = 0x14;
const DELEGATION: u8 = 0x15;
const DELEGATION_DUE: u8 = 0x16;
const EPOCH: u8 = 0x17;
const SEATS: u8 = 0x18;
const SECURED: u8 = 0x19;
const SERVICE: u8 = 0x1a;
const GOVERNANCE: u8 = 0x20;
const PROPOSAL: u8 = 0x21;
const PROPOSAL_DUE: u8 = 0x22;
const ENDED_PROPOSAL: u8 = 0x23;
const VOTE: u8 = 0x24;
const STALE_VOTES: u8 = 0x25;
const STAKE_NOTES: u8 = 0x26;
const PAUSES: u8 = 0x27;
const UPGRADE: u8 = 0x28;
const AUDIT: u8 = 0x30;
const HALT: u8 = 0x31;

fn key(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The half-open range of all keys with this first byte.
fn all(tag: u8) -> (Vec<u8>, Vec<u8>) {
    (vec![tag], vec![tag.saturating_add(1)])
}

pub(crate) fn account(address: Address) -> Vec<u8> {
    key(ACCOUNT, &[&address.0])
}

pub(crate) fn accounts() -> (Vec<u8>, Vec<u8>) {
    all(ACCOUNT)
}

pub(crate) fn stake(address: Address) -> Vec<u8> {
    key(STAKE, &[&address.0])
}

pub(crate) fn stakes() -> (Vec<u8>, Vec<u8>) {
    all(STAKE)
}

pub(crate) fn unbonding(free_at: Millis, address: Address, sequence: u64) -> Vec<u8> {
    key(
        UNBONDING,
        &[&free_at.encode(), &address.0, &sequence.to_be_bytes()],
    )
}

/// Unbondings that are free at `now` or before.
pub(crate) fn unbonding_until(now: Millis) -> (Vec<u8>, Vec<u8>) {
    (
        vec![UNBONDING],
        key(UNBONDING, &[&Millis(now.get().saturating_add(1)).encode()]),
    )
}

pub(crate) fn offer(kind: KindId, worker: Address) -> Vec<u8> {
    key(OFFER, &[&kind.encode(), &worker.0])
}

/// Offers of one kind, from a worker's address on.
pub(crate) fn offers_from(kind: KindId, worker: Address) -> (Vec<u8>, Vec<u8>) {
    let mut to = key(OFFER, &[&kind.encode(), &[0xff; 20]]);
    to.push(0);
    (offer(kind, worker), to)
}

/// The worker of an offer's key.
pub(crate) fn worker_of_offer(key: &[u8]) -> Option<Address> {
    Some(Address(*key.last_chunk::<20>()?))
}

pub(crate) fn offers() -> (Vec<u8>, Vec<u8>) {
    all(OFFER)
}

pub(crate) fn verifier(address: Address) -> Vec<u8> {
    key(VERIFIER, &[&address.0])
}

pub(crate) fn verifiers() -> (Vec<u8>, Vec<u8>) {
    all(VERIFIER)
}

pub(crate) fn grant(owner: Address, delegate: Address) -> Vec<u8> {
    key(GRANT, &[&owner.0, &delegate.0])
}

/// The grants of one owner.
pub(crate) fn grants_of(owner: Address) -> (Vec<u8>, Vec<u8>) {
    let mut to = key(GRANT, &[&owner.0, &[0xff; 20]]);
    to.push(0);
    (key(GRANT, &[&owner.0]), to)
}

pub(crate) fn grants() -> (Vec<u8>, Vec<u8>) {
    all(GRANT)
}

/// The address at the end of a key: of a verifier, an account, a grant, a vote, a candidate, or the candidate of a delegation.
pub(crate) fn address_of(key: &[u8]) -> Option<Address> {
    Some(Address(*key.last_chunk::<20>()?))
}

pub(crate) fn order(id: OrderId) -> Vec<u8> {
    key(ORDER, &[&id.encode()])
}

pub(crate) fn orders() -> (Vec<u8>, Vec<u8>) {
    all(ORDER)
}

pub(crate) fn slot(id: SlotId) -> Vec<u8> {
    key(SLOT, &[&id.encode()])
}

pub(crate) fn slots() -> (Vec<u8>, Vec<u8>) {
    all(SLOT)
}

pub(crate) fn due_at_height(height: Height, id: SlotId) -> Vec<u8> {
    key(DUE_AT_HEIGHT, &[&height.encode(), &id.encode()])
}

/// Slots due at `height` or before.
pub(crate) fn due_until_height(height: Height) -> (Vec<u8>, Vec<u8>) {
    (
        vec![DUE_AT_HEIGHT],
        key(
            DUE_AT_HEIGHT,
            &[&Height(height.get().saturating_add(1)).encode()],
        ),
    )
}

/// All slots that wait for a height.
pub(crate) fn due_at_any_height() -> (Vec<u8>, Vec<u8>) {
    all(DUE_AT_HEIGHT)
}

pub(crate) fn due_at_time(time: Millis, id: SlotId) -> Vec<u8> {
    key(DUE_AT_TIME, &[&time.encode(), &id.encode()])
}

/// Slots due at `now` or before.
pub(crate) fn due_until_time(now: Millis) -> (Vec<u8>, Vec<u8>) {
    (
        vec![DUE_AT_TIME],
        key(
            DUE_AT_TIME,
            &[&Millis(now.get().saturating_add(1)).encode()],
        ),
    )
}

/// All slots that wait for a time.
pub(crate) fn due_at_any_time() -> (Vec<u8>, Vec<u8>) {
    all(DUE_AT_TIME)
}

pub(crate) fn retry_at_time(time: Millis, id: SlotId) -> Vec<u8> {
    key(RETRY_AT_TIME, &[&time.encode(), &id.encode()])
}

/// Unmatched slots that are tried again at `now` or before.
pub(crate) fn retry_until_time(now: Millis) -> (Vec<u8>, Vec<u8>) {
    (
        vec![RETRY_AT_TIME],
        key(
            RETRY_AT_TIME,
            &[&Millis(now.get().saturating_add(1)).encode()],
        ),
    )
}

/// All unmatched slots that wait to be tried again.
pub(crate) fn retry_at_any_time() -> (Vec<u8>, Vec<u8>) {
    all(RETRY_AT_TIME)
}

pub(crate) fn supply() -> Vec<u8> {
    vec![SUPPLY]
}

pub(crate) fn clock() -> Vec<u8> {
    vec![CLOCK]
}

pub(crate) fn param(number: u16) -> Vec<u8> {
    key(PARAM, &[&number.to_be_bytes()])
}

pub(crate) fn counters() -> Vec<u8> {
    vec![COUNTERS]
}

pub(crate) fn chain() -> Vec<u8> {
    vec![CHAIN]
}

pub(crate) fn validator(identity: &[u8; 32]) -> Vec<u8> {
    key(VALIDATOR, &[identity])
}

pub(crate) fn vote_key(key: &[u8; VOTE_KEY_BYTES]) -> Vec<u8> {
    self::key(VOTE_KEY, &[key])
}

pub(crate) fn candidate(account: Address) -> Vec<u8> {
    key(CANDIDATE, &[&account.0])
}

pub(crate) fn candidates() -> (Vec<u8>, Vec<u8>) {
    all(CANDIDATE)
}

pub(crate) fn standing_candidate(account: Address) -> Vec<u8> {
    key(STANDING_CANDIDATE, &[&account.0])
}

pub(crate) fn standing_candidates() -> (Vec<u8>, Vec<u8>) {
    all(STANDING_CANDIDATE)
}

pub(crate) fn delegation(delegator: Address, candidate: Address) -> Vec<u8> {
    key(DELEGATION, &[&delegator.0, &candidate.0])
}

/// The delegations of one account.
pub(crate) fn delegations_of(delegator: Address) -> (Vec<u8>, Vec<u8>) {
    let mut to = key(DELEGATION, &[&delegator.0, &[0xff; 20]]);
    to.push(0);
    (key(DELEGATION, &[&delegator.0]), to)
}

pub(crate) fn delegations() -> (Vec<u8>, Vec<u8>) {
    all(DELEGATION)
}

/// Who delegates, and to whom, of a delegation's key.
pub(crate) fn delegation_of(key: &[u8]) -> Option<(Address, Address)> {
    let delegator = key.get(1..)?.first_chunk::<20>()?;
    Some((Address(*delegator), address_of(key)?))
}

pub(crate) fn delegation_due(time: Millis, candidate: Address, number: u64) -> Vec<u8> {
    key(
        DELEGATION_DUE,
        &[&time.encode(), &candidate.0, &number.to_be_bytes()],
    )
}

/// Entries due at `now` or before.
pub(crate) fn delegations_due_until(now: Millis) -> (Vec<u8>, Vec<u8>) {
    (
        vec![DELEGATION_DUE],
        key(
            DELEGATION_DUE,
            &[&Millis(now.get().saturating_add(1)).encode()],
        ),
    )
}

/// All entries.
pub(crate) fn delegations_due() -> (Vec<u8>, Vec<u8>) {
    all(DELEGATION_DUE)
}

pub(crate) fn epoch() -> Vec<u8> {
    vec![EPOCH]
}

pub(crate) fn seats() -> Vec<u8> {
    vec![SEATS]
}

pub(crate) fn secured() -> Vec<u8> {
    key(SECURED, &[])
}

pub(crate) fn service(kind: KindId) -> Vec<u8> {
    key(SERVICE, &[&kind.encode()])
}

/// Every kind of the catalogue.
pub(crate) fn services() -> (Vec<u8>, Vec<u8>) {
    all(SERVICE)
}

/// The kind in the key of its catalogue record.
pub(crate) fn kind_of_service(key: &[u8]) -> Option<KindId> {
    Some(KindId(u16::from_be_bytes(*key.last_chunk::<2>()?)))
}

pub(crate) fn governance() -> Vec<u8> {
    vec![GOVERNANCE]
}

pub(crate) fn proposal(id: ProposalId) -> Vec<u8> {
    key(PROPOSAL, &[&id.encode()])
}

pub(crate) fn proposals() -> (Vec<u8>, Vec<u8>) {
    all(PROPOSAL)
}

/// Proposals from a number on.
pub(crate) fn proposals_from(id: ProposalId) -> (Vec<u8>, Vec<u8>) {
    (proposal(id), all(PROPOSAL).1)
}

/// The number in a proposal's key.
pub(crate) fn proposal_of(key: &[u8]) -> Option<ProposalId> {
    Some(ProposalId(u64::from_be_bytes(*key.last_chunk::<8>()?)))
}

pub(crate) fn proposal_due(time: Millis, id: ProposalId) -> Vec<u8> {
    key(PROPOSAL_DUE, &[&time.encode(), &id.encode()])
}

/// The number in the key of a proposal's timer.
pub(crate) fn proposal_of_timer(key: &[u8]) -> Option<ProposalId> {
    proposal_of(key)
}

/// Proposals due at `now` or before.
pub(crate) fn proposal_due_until(now: Millis) -> (Vec<u8>, Vec<u8>) {
    (
        vec![PROPOSAL_DUE],
        key(
            PROPOSAL_DUE,
            &[&Millis(now.get().saturating_add(1)).encode()],
        ),
    )
}

/// The timers of all open proposals.
pub(crate) fn proposals_due() -> (Vec<u8>, Vec<u8>) {
    all(PROPOSAL_DUE)
}

pub(crate) fn ended_proposal(sequence: u64) -> Vec<u8> {
    key(ENDED_PROPOSAL, &[&sequence.to_be_bytes()])
}

pub(crate) fn vote(voting: u64, voter: Address) -> Vec<u8> {
    key(VOTE, &[&voting.to_be_bytes(), &voter.0])
}

/// The votes of one voting.
pub(crate) fn votes_of(voting: u64) -> (Vec<u8>, Vec<u8>) {
    let mut to = key(VOTE, &[&voting.to_be_bytes(), &[0xff; 20]]);
    to.push(0);
    (key(VOTE, &[&voting.to_be_bytes()]), to)
}

pub(crate) fn votes() -> (Vec<u8>, Vec<u8>) {
    all(VOTE)
}

pub(crate) fn stale_votes(voting: u64) -> Vec<u8> {
    key(STALE_VOTES, &[&voting.to_be_bytes()])
}

/// The marks of all votings whose votes are to be removed.
pub(crate) fn all_stale_votes() -> (Vec<u8>, Vec<u8>) {
    all(STALE_VOTES)
}

/// The voting in the key of such a mark.
pub(crate) fn voting_of_mark(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.last_chunk::<8>()?))
}

pub(crate) fn stake_notes(account: Address) -> Vec<u8> {
    key(STAKE_NOTES, &[&account.0])
}

pub(crate) fn pauses() -> Vec<u8> {
    vec![PAUSES]
}

pub(crate) fn upgrade() -> Vec<u8> {
    vec![UPGRADE]
}

pub(crate) fn audit() -> Vec<u8> {
    vec![AUDIT]
}

pub(crate) fn halt() -> Vec<u8> {
    vec![HALT]
}

/// Every key.
pub(crate) fn everything() -> (Vec<u8>, Vec<u8>) {
    (Vec::new(), vec![u8::MAX])
}

/// A kind of record that holds money, or is counted or added up somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Account,
    Stake,
    Offer,
    Verifier,
    Order,
    Slot,
    Timer,
    Supply,
    Counters,
    Grant,
    Candidate,
    StandingCandidate,
    Delegation,
    DelegationDue,
    Secured,
    Governance,
    Proposal,
    ProposalDue,
    Vote,
}

/// What kind of record is under a key; none if nothing depends on it elsewhere.
pub(crate) fn kind(key: &[u8]) -> Option<Kind> {
    Some(match *key.first()? {
        ACCOUNT => Kind::Account,
        STAKE => Kind::Stake,
        OFFER => Kind::Offer,
        VERIFIER => Kind::Verifier,
        ORDER => Kind::Order,
        SLOT => Kind::Slot,
        DUE_AT_HEIGHT | DUE_AT_TIME | RETRY_AT_TIME => Kind::Timer,
        SUPPLY => Kind::Supply,
        COUNTERS => Kind::Counters,
        GRANT => Kind::Grant,
        CANDIDATE => Kind::Candidate,
        STANDING_CANDIDATE => Kind::StandingCandidate,
        DELEGATION => Kind::Delegation,
        DELEGATION_DUE => Kind::DelegationDue,
        SECURED => Kind::Secured,
        GOVERNANCE => Kind::Governance,
        PROPOSAL => Kind::Proposal,
        PROPOSAL_DUE => Kind::ProposalDue,
        VOTE => Kind::Vote,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_kinds_of_key_collide_and_every_key_lies_in_its_range() {
        let id = SlotId {
            order: OrderId::default(),
            slot: 0,
        };
        let address = Address([0xff; 20]);
        let keys = [
            account(address),
            stake(address),
            unbonding(Millis(1), address, 1),
            offer(KindId(1), address),
            verifier(address),
            order(id.order),
            slot(id),
            due_at_height(Height(1), id),
            due_at_time(Millis(1), id),
            retry_at_time(Millis(1), id),
            supply(),
            clock(),
            param(1),
            counters(),
            chain(),
            validator(&[0; 32]),
            vote_key(&[0; VOTE_KEY_BYTES]),
            candidate(address),
            standing_candidate(address),
            delegation(address, address),
            delegation_due(Millis(1), address, 1),
            epoch(),
            seats(),
            secured(),
            service(KindId(1)),
            governance(),
            proposal(ProposalId(1)),
            proposal_due(Millis(1), ProposalId(1)),
            ended_proposal(1),
            vote(1, address),
            stale_votes(1),
            stake_notes(address),
            pauses(),
            upgrade(),
            audit(),
            halt(),
        ];
        let tags: BTreeSet<u8> = keys.iter().map(|key| key[0]).collect();
        assert_eq!(tags.len(), keys.len());
        let (_, end) = everything();
        assert!(keys.iter().all(|key| *key < end));
        let within = |key: &[u8], (from, to): (Vec<u8>, Vec<u8>)| {
            from.as_slice() <= key && key < to.as_slice()
        };
        assert!(within(
            &offer(KindId(1), address),
            offers_from(KindId(1), Address([0; 20]))
        ));
        assert!(!within(
            &offer(KindId(2), Address([0; 20])),
            offers_from(KindId(1), Address([0; 20]))
        ));
        assert!(within(
            &due_at_height(Height(5), id),
            due_until_height(Height(5))
        ));
        assert!(!within(
            &due_at_height(Height(6), id),
            due_until_height(Height(5))
        ));
        assert!(within(
            &due_at_time(Millis(5), id),
            due_until_time(Millis(5))
        ));
        assert!(within(&vote(1, address), votes_of(1)));
        assert!(!within(&vote(2, Address([0; 20])), votes_of(1)));
        assert!(within(
            &proposal_due(Millis(5), ProposalId(u64::MAX)),
            proposal_due_until(Millis(5))
        ));
        assert!(!within(
            &proposal_due(Millis(6), ProposalId(0)),
            proposal_due_until(Millis(5))
        ));
        assert!(within(
            &delegation(address, address),
            delegations_of(address)
        ));
        assert!(!within(
            &delegation(Address([1; 20]), address),
            delegations_of(Address([0; 20]))
        ));
        assert_eq!(
            delegation_of(&delegation(Address([1; 20]), address)),
            Some((Address([1; 20]), address))
        );
        assert!(within(
            &delegation_due(Millis(5), address, u64::MAX),
            delegations_due_until(Millis(5))
        ));
        assert!(within(
            &unbonding(Millis(5), address, u64::MAX),
            unbonding_until(Millis(5))
        ));
    }
}

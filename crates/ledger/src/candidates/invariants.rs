//! What must hold of candidates and the stake behind them after every block.

use super::{Candidate, Delegation, candidate, end_block::Entry};
use crate::{
    fault::{Fault, OrFault, present},
    invariants::Violation,
    keys,
    stake::Stake,
    state::{Mark, State, load, scan},
    validators::ValidatorRecord,
};
use fairweir_types::{Address, Amount, limits::CANDIDATES_MAX};
use std::collections::BTreeMap;

type Sums<K> = BTreeMap<K, Amount>;

fn add<K: Ord>(sums: &mut Sums<K>, key: K, amount: Amount) -> Result<(), Fault> {
    let sum = sums.entry(key).or_default();
    *sum = sum.checked_add(amount).or_fault()?;
    Ok(())
}

fn of<K: Ord>(sums: &Sums<K>, key: &K) -> Amount {
    sums.get(key).copied().unwrap_or_default()
}

/// Sums over delegations and entries.
#[derive(Default)]
struct Found {
    /// Shares by candidate, without those on their way back.
    counting: Sums<Address>,
    /// The same of others than itself.
    backing: Sums<Address>,
    /// Shares by account, without those on their way back.
    delegated: Sums<Address>,
    /// Shares on their way back by candidate.
    leaving: Sums<Address>,
    /// Shares that moved, by candidate and account.
    moved: Sums<(Address, Address)>,
    /// Rewards by candidate.
    earned: Sums<Address>,
}

fn find(state: &dyn State, delegations: &[(Vec<u8>, Delegation)]) -> Result<Found, Fault> {
    let mut found = Found::default();
    for (key, known) in delegations {
        let (delegator, account) = present(keys::delegation_of(key), "accounts of a delegation")?;
        let record = present(candidate(state, account)?, "candidate of a delegation")?;
        add(&mut found.counting, account, known.shares)?;
        if account != delegator {
            add(&mut found.backing, account, known.shares)?;
        }
        add(&mut found.delegated, delegator, known.shares)?;
        let earned = record.earned(known.shares, known.index)?;
        add(&mut found.earned, account, earned)?;
    }
    let (from, to) = keys::delegations_due();
    for (_, entry) in scan::<Entry>(state, &from, &to, usize::MAX)? {
        match entry.left {
            None => add(&mut found.leaving, entry.candidate, entry.shares)?,
            Some(_) => add(
                &mut found.moved,
                (entry.candidate, entry.delegator),
                entry.shares,
            )?,
        }
    }
    Ok(found)
}

/// Whether a further node has a lead, which is none itself.
fn leads(state: &dyn State, record: &Candidate) -> Result<bool, Fault> {
    let Some(lead) = record.lead else {
        return Ok(true);
    };
    let found = candidate(state, lead.account)?;
    Ok(found.is_some_and(|found| found.lead.is_none()))
}

/// Checks that pots are what delegations and entries say, that rewards suffice, and that the list is that of who stands.
pub(crate) fn check(state: &dyn State) -> Result<(), Violation> {
    let (from, to) = keys::delegations();
    let delegations = scan::<Delegation>(state, &from, &to, usize::MAX)?;
    let found = find(state, &delegations)?;
    let (from, to) = keys::standing_candidates();
    let standing = scan::<Mark>(state, &from, &to, usize::MAX)?;
    let (from, to) = keys::candidates();
    let mut stands = 0usize;
    for (key, record) in scan::<Candidate>(state, &from, &to, usize::MAX)? {
        let account = present(keys::address_of(&key), "account of a candidate")?;
        let listed: Option<Mark> = load(state, &keys::standing_candidate(account))?;
        stands = stands.saturating_add(usize::from(record.stands));
        let validator: Option<ValidatorRecord> = load(state, &keys::validator(&record.validator))?;
        let validator = present(validator, "validator of a candidate")?;
        let holds = [
            (
                "shares that count",
                record.counting()? == of(&found.counting, &account),
            ),
            (
                "shares on their way back",
                record.leaving == of(&found.leaving, &account),
            ),
            (
                "shares of others",
                record.backing == of(&found.backing, &account),
            ),
            (
                "coins of shares",
                record.is_tombstoned() || record.stake == record.shares,
            ),
            ("money of a pot", record.stake <= record.shares),
            ("rewards", of(&found.earned, &account) <= record.rewards),
            ("who stands", record.stands == listed.is_some()),
            ("tombstones", record.is_tombstoned() == validator.tombstoned),
            ("accounts of candidates", validator.account == account),
            ("leads", leads(state, &record)?),
            (
                "stake of others behind a further node",
                record.lead.is_none() || record.backing == Amount::ZERO,
            ),
        ];
        if let Some((what, _)) = holds.iter().find(|(_, holds)| !holds) {
            return Err(Violation::Candidates { what });
        }
    }
    if stands != standing.len() || stands > CANDIDATES_MAX {
        return Err(Violation::Candidates {
            what: "candidates that stand",
        });
    }
    check_accounts(state, &found, &delegations)
}

fn check_accounts(
    state: &dyn State,
    found: &Found,
    delegations: &[(Vec<u8>, Delegation)],
) -> Result<(), Violation> {
    let mut moved = 0usize;
    for (key, known) in delegations {
        let (delegator, account) = present(keys::delegation_of(key), "accounts of a delegation")?;
        let waits = of(&found.moved, &(account, delegator));
        moved = moved.saturating_add(usize::from(waits > Amount::ZERO));
        if known.moved != waits
            || known.moved > known.shares
            || (known.shares == Amount::ZERO && known.notes.is_empty())
        {
            return Err(Violation::Candidates {
                what: "shares that moved",
            });
        }
    }
    let (from, to) = keys::stakes();
    let mut delegated = Amount::ZERO;
    for (key, stake) in scan::<Stake>(state, &from, &to, usize::MAX)? {
        let account = present(keys::address_of(&key), "address in a stake's key")?;
        delegated = delegated.checked_add(stake.delegated).or_fault()?;
        if stake.delegated != of(&found.delegated, &account) {
            return Err(Violation::Candidates {
                what: "what accounts have delegated",
            });
        }
    }
    let all = Amount::sum(found.delegated.values().copied()).or_fault()?;
    if all != delegated || moved != found.moved.len() {
        return Err(Violation::Candidates {
            what: "all that is delegated",
        });
    }
    Ok(())
}

//! Validators: who earns the fees of blocks, and what happens to one that votes twice.
//!
//! A validator stands in the genesis, or is registered by a candidate, with an account, whose stake answers for its votes. Two votes that no honest validator casts together
//! are evidence that anybody may submit, at any time: both are signed by its vote key for this chain. Then the validator is tombstoned: a
//! governed share of its account's stake is slashed, a part of it pays the reporter, and the validator earns no fees any more. It is tombstoned once; more evidence
//! against it, the same or other, is refused.
//!
//! An account that is a candidate (see `candidates`) shares its fees with the stake behind it, and that stake answers for its votes too. A tombstoned
//! validator votes until the epoch ends, and has no seat in the next.

mod error;
mod report_double_vote;

pub use error::ValidatorError;
pub(crate) use report_double_vote::report_double_vote;

use crate::{
    bank, candidates,
    execution::Execution,
    fault::{Fault, present},
    keys, stake,
    state::{State, load, state_record},
};
use fairweir_types::{Address, Amount, Genesis, keys::VoteKey, node_api::ValidatorReport};
use std::collections::BTreeSet;

/// A validator as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorRecord {
    /// What its votes are checked with.
    pub vote_key: VoteKey,
    /// The account that its fees go to, and whose stake answers for its votes.
    pub account: Address,
    /// Whether it was shown to have voted twice.
    pub tombstoned: bool,
    /// The last epoch in which it made a block.
    pub proposed: Option<u64>,
}
state_record!(ValidatorRecord {
    vote_key,
    account,
    tombstoned,
    proposed
});

/// The validator with an identity.
///
/// # Errors
/// [`Fault::Record`].
pub fn validator(state: &dyn State, identity: &[u8; 32]) -> Result<Option<ValidatorRecord>, Fault> {
    load(state, &keys::validator(identity))
}

/// What is known of the validators of a genesis and of those with seats, in ascending order of identity.
///
/// # Errors
/// [`Fault`].
pub fn report(state: &dyn State, genesis: &Genesis) -> Result<Vec<ValidatorReport>, Fault> {
    let seats = candidates::seats(state)?;
    let seated: BTreeSet<[u8; 32]> = seats.iter().map(|seat| seat.validator).collect();
    let of_genesis = genesis.validators.iter().map(|known| known.identity);
    let all: BTreeSet<[u8; 32]> = seated.iter().copied().chain(of_genesis).collect();
    let report = |identity| {
        let record = present(validator(state, &identity)?, "validator that is listed")?;
        Ok(ValidatorReport {
            identity,
            account: record.account,
            bonded: stake::stake(state, record.account)?.bonded,
            seated: seated.contains(&identity),
            tombstoned: record.tombstoned,
        })
    };
    all.into_iter().map(report).collect()
}

/// Pays a block's transaction fees to its proposer, or burns them when it is no validator or was tombstoned.
pub(crate) fn pay_fees(execution: &mut Execution<'_>, fees: Amount) -> Result<(), Fault> {
    match validator(&execution.overlay, &execution.context.proposer)? {
        Some(proposer) if !proposer.tombstoned => {
            let account = proposer.account;
            let identity = execution.context.proposer;
            if candidates::reward(execution, (account, &identity), fees)? {
                return Ok(());
            }
            bank::credit(execution, account, fees)
        }
        _ => bank::burn(execution, fees),
    }
}

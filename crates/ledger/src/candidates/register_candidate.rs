use super::{
    Candidate, CandidateError, candidate,
    delegation::{self, Between},
    epochs,
    operator::{self, Lead},
    pot, standing,
};
use crate::{
    bank,
    execution::Execution,
    fault::{counted, present},
    genesis::ChainRecord,
    governance::Notes,
    keys,
    params::money,
    refusal::Refusal,
    registry,
    state::Mark,
    validators::{ValidatorRecord, validator},
};
use fairweir_types::{
    Address, Amount, BoundedVec, Bps, Event,
    event::{CandidateRegistered, StakeDelegated},
    keys::VoteKey,
    limits::{CANDIDATES_MAX, REGISTRATIONS_CHECKED_MAX},
    tx::RegisterCandidate,
};

const _: () = assert!(CANDIDATES_MAX > 0, "somebody can be displaced");

/// Makes the sender a candidate that stands for a seat.
pub(crate) fn register_candidate(
    execution: &mut Execution<'_>,
    sender: Address,
    register: &RegisterCandidate,
) -> Result<(), Refusal> {
    delegation::sweep(execution, sender)?;
    check(execution, sender, register)?;
    let displaced = standing::displaced(&execution.overlay, |_| Ok(register.amount))?;
    let vote_key = proven(execution, sender, register)?;
    standing::check_peer(execution, register.peer)?;
    if let Some(lead) = register.lead {
        operator::check_lead(&execution.overlay, lead)?;
    }
    let epoch = epochs::epoch(&execution.overlay)?.number;
    bank::debit(execution, sender, register.amount)?;
    let known = validator(&execution.overlay, &register.identity)?;
    let validator = known.unwrap_or(ValidatorRecord {
        vote_key,
        account: sender,
        tombstoned: false,
        proposed: None,
    });
    let key = keys::validator(&register.identity);
    execution.overlay.store(key, &validator);
    let key = keys::vote_key(&register.vote_key);
    execution.overlay.store(key, &Mark {});
    let mut record = Candidate {
        validator: register.identity,
        commission: register.commission,
        next_commission: register.commission,
        commission_from: epoch,
        peer: register.peer,
        stands: true,
        // Its node must be let in and catch up first.
        ready: None,
        jail: None,
        lead: register.lead.map(|account| Lead {
            account,
            is_confirmed: false,
        }),
        jailed_nodes: BoundedVec::default(),
        slashed: Bps::ZERO,
        stake: Amount::ZERO,
        shares: Amount::ZERO,
        leaving: Amount::ZERO,
        backing: Amount::ZERO,
        notes: Notes::default(),
        rewards: Amount::ZERO,
        index: 0,
        rest: 0,
        entries: 0,
        deposit: Amount::ZERO,
    };
    let key = keys::candidate(sender);
    record.deposit = registry::adjust_deposit(execution, sender, Amount::ZERO, (&key, &record))?;
    record.put(register.amount)?;
    let itself = Between {
        delegator: sender,
        candidate: sender,
    };
    delegation::add(
        execution,
        itself,
        &mut record,
        (register.amount, Amount::ZERO),
    )?;
    pot::keep(execution, sender, &record);
    standing::stand_up(execution, sender, displaced);
    execution.emit(Event::CandidateRegistered(CandidateRegistered {
        candidate: sender,
        validator: register.identity,
        commission: register.commission,
    }));
    execution.emit(Event::StakeDelegated(StakeDelegated {
        candidate: sender,
        delegator: sender,
        amount: register.amount,
    }));
    Ok(())
}

fn check(
    execution: &Execution<'_>,
    sender: Address,
    register: &RegisterCandidate,
) -> Result<(), CandidateError> {
    let state = &execution.overlay;
    if candidate(state, sender)?.is_some() {
        return Err(CandidateError::AlreadyCandidate);
    }
    // A validator of the genesis may stand with the keys that it has there, if the account is its own and it has not voted twice.
    let is_own = match validator(state, &register.identity)? {
        Some(known) => {
            known.account == sender
                && known.vote_key.to_bytes() == register.vote_key
                && !known.tombstoned
        }
        None => {
            let taken: Option<Mark> = state.load(&keys::vote_key(&register.vote_key))?;
            taken.is_none()
        }
    };
    if !is_own {
        return Err(CandidateError::KeysInUse);
    }
    let max = Bps(execution.params.commission_max_bps);
    if register.commission > max {
        return Err(CandidateError::CommissionOutOfRange {
            commission: register.commission,
            max,
        });
    }
    let min = money(execution.params.candidate_stake_min);
    if register.amount < min {
        return Err(CandidateError::OwnStakeTooLow {
            own: register.amount,
            min,
        });
    }
    let balance = bank::account(state, sender)?.balance;
    if balance < register.amount {
        return Err(CandidateError::CannotPayDelegation {
            balance,
            amount: register.amount,
        });
    }
    let itself = Between {
        delegator: sender,
        candidate: sender,
    };
    delegation::check_room(state, itself)
}

/// The vote key, once both keys are proven; how many are checked in a block is bounded.
fn proven(
    execution: &mut Execution<'_>,
    sender: Address,
    register: &RegisterCandidate,
) -> Result<VoteKey, CandidateError> {
    if execution.registrations >= REGISTRATIONS_CHECKED_MAX {
        return Err(CandidateError::TooManyRegistrations {
            max: REGISTRATIONS_CHECKED_MAX,
        });
    }
    execution.registrations = counted(
        execution.registrations.checked_add(1),
        "registrations of a block",
    )?;
    let chain: Option<ChainRecord> = execution.overlay.load(&keys::chain())?;
    let genesis = present(chain, "chain")?.genesis;
    register
        .proven(genesis, sender)
        .ok_or(CandidateError::KeysNotProven)
}

use super::{
    RegistryError, VerifierRecord, committed_chain::CommittedChain, count, counters, deposit,
};
use crate::{execution::Execution, keys, params::money, stake};
use fairweir_types::{
    Address, Amount, BoundedVec, Event,
    event::VerifierEnrolled,
    limits::{LINKS_MAX, VERIFIERS_MAX},
    tx::EnrolVerifier,
};

/// Puts the sender into the pool, or replaces its entry.
pub(crate) fn enrol_verifier(
    execution: &mut Execution<'_>,
    sender: Address,
    enrol: &EnrolVerifier,
) -> Result<(), RegistryError> {
    let bonded = stake::stake(&execution.overlay, sender)?.bonded;
    let min = money(execution.params.verifier_stake_min);
    if bonded < min {
        return Err(RegistryError::VerifierStakeTooLow { bonded, min });
    }
    if enrol.kinds.is_empty() {
        return Err(RegistryError::NoKinds);
    }
    if !enrol.hash_chain.has_allowed_length() {
        return Err(RegistryError::ChainLength {
            max: LINKS_MAX,
            found: enrol.hash_chain.length,
        });
    }
    let key = keys::verifier(sender);
    let known = execution.overlay.load::<VerifierRecord>(&key)?;
    let is_new = known.is_none();
    let pool = usize::try_from(counters(&execution.overlay)?.verifiers).unwrap_or(usize::MAX);
    if is_new && pool >= VERIFIERS_MAX {
        return Err(RegistryError::PoolFull { max: VERIFIERS_MAX });
    }
    let height = execution.context.height;
    let mut record = known.unwrap_or_else(|| VerifierRecord {
        owner: enrol.owner,
        kinds: BoundedVec::default(),
        seal_key: enrol.seal_key,
        chain: CommittedChain::new(enrol.hash_chain, height),
        next: None,
        before: None,
        deposit: Amount::ZERO,
    });
    record.owner = enrol.owner;
    record.kinds = enrol.kinds.clone();
    record.seal_key = enrol.seal_key;
    record.commit(enrol.hash_chain, height, execution.params.draw_delay);
    let held = record.deposit;
    record.deposit = deposit::adjust(execution, sender, held, (&key, &record))?;
    execution.overlay.store(key, &record);
    if is_new {
        count(&mut execution.overlay, |counters| {
            counters.verifiers = counters.verifiers.checked_add(1)?;
            Some(())
        })?;
        stake::change_roles(execution, sender, |roles| roles.checked_add(1))?;
    }
    execution.emit(Event::VerifierEnrolled(VerifierEnrolled {
        verifier: sender,
    }));
    Ok(())
}

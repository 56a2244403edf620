use super::{RegistryError, VerifierRecord, count};
use crate::{bank, execution::Execution, keys, stake};
use fairweir_types::{Address, Event, event::VerifierLeft};

/// Takes the sender out of the pool.
pub(crate) fn leave_verifiers(
    execution: &mut Execution<'_>,
    sender: Address,
) -> Result<(), RegistryError> {
    let key = keys::verifier(sender);
    let Some(record) = execution.overlay.load::<VerifierRecord>(&key)? else {
        return Err(RegistryError::NotEnrolled);
    };
    execution.overlay.delete(key);
    bank::credit(execution, sender, record.deposit)?;
    count(&mut execution.overlay, |counters| {
        counters.verifiers = counters.verifiers.checked_sub(1)?;
        Some(())
    })?;
    stake::change_roles(execution, sender, |roles| roles.checked_sub(1))?;
    execution.emit(Event::VerifierLeft(VerifierLeft { verifier: sender }));
    Ok(())
}

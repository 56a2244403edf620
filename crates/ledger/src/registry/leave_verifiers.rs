use super::{RegistryError, VerifierRecord, count};
use crate::{execution::Execution, keys, stake};
use fairweir_types::{Address, Event, event::VerifierLeft};

/// Takes the sender out of the pool.
pub(crate) fn leave_verifiers(
    execution: &mut Execution<'_>,
    sender: Address,
) -> Result<(), RegistryError> {
    if execution
        .overlay
        .load::<VerifierRecord>(&keys::verifier(sender))?
        .is_none()
    {
        return Err(RegistryError::NotEnrolled);
    }
    execution.overlay.delete(keys::verifier(sender));
    count(&mut execution.overlay, |counters| {
        counters.verifiers = counters.verifiers.checked_sub(1)?;
        Some(())
    })?;
    stake::change_roles(execution, sender, |roles| roles.checked_sub(1))?;
    execution.emit(Event::VerifierLeft(VerifierLeft { verifier: sender }));
    Ok(())
}

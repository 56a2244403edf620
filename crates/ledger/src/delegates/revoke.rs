use super::{DelegateError, grant};
use crate::{bank, execution::Execution, keys};
use fairweir_types::{Address, Event, event::DelegateRevoked, tx::RevokeDelegate};

/// Takes a grant back, with its deposit.
pub(crate) fn revoke_delegate(
    execution: &mut Execution<'_>,
    owner: Address,
    action: &RevokeDelegate,
) -> Result<(), DelegateError> {
    let RevokeDelegate { delegate } = *action;
    let Some(record) = grant(&execution.overlay, owner, delegate)? else {
        return Err(DelegateError::NoGrant);
    };
    execution.overlay.delete(keys::grant(owner, delegate));
    bank::credit(execution, owner, record.deposit)?;
    execution.emit(Event::DelegateRevoked(DelegateRevoked { owner, delegate }));
    Ok(())
}

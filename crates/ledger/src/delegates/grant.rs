use super::{DelegateError, Grant, grant, of_owner};
use crate::{execution::Execution, keys, refusal::Refusal, registry};
use fairweir_types::{
    Address, Amount, Event, event::DelegateGranted, limits::DELEGATES_MAX, tx::GrantDelegate,
};

/// Grants a delegate its cap, or replaces what it was granted.
pub(crate) fn grant_delegate(
    execution: &mut Execution<'_>,
    owner: Address,
    action: &GrantDelegate,
) -> Result<(), Refusal> {
    let GrantDelegate {
        delegate,
        cap,
        until,
    } = *action;
    let known = grant(&execution.overlay, owner, delegate)?;
    check(execution, owner, action, known.is_none())?;
    let held = known.map_or(Amount::ZERO, |known| known.deposit);
    let mut record = Grant {
        cap,
        left: cap,
        until,
        since: execution.context.height,
        deposit: held,
    };
    let key = keys::grant(owner, delegate);
    record.deposit = registry::adjust_deposit(execution, owner, held, (&key, &record))?;
    execution.overlay.store(key, &record);
    execution.emit(Event::DelegateGranted(DelegateGranted {
        owner,
        delegate,
        cap,
        until,
    }));
    Ok(())
}

fn check(
    execution: &Execution<'_>,
    owner: Address,
    action: &GrantDelegate,
    is_new: bool,
) -> Result<(), DelegateError> {
    if action.delegate == owner {
        return Err(DelegateError::DelegateIsOwner);
    }
    if action.cap == Amount::ZERO {
        return Err(DelegateError::ZeroCap);
    }
    if action.until < execution.context.time {
        return Err(DelegateError::GrantOver {
            until: action.until,
        });
    }
    if is_new && of_owner(&execution.overlay, owner)?.len() >= DELEGATES_MAX {
        return Err(DelegateError::TooManyDelegates { max: DELEGATES_MAX });
    }
    Ok(())
}

use super::{StakeError, stake, store};
use crate::{
    execution::Execution,
    fault::{OrFault, counted},
    keys,
    params::money,
};
use fairweir_types::{Address, Amount, Event, event::Unbonding, tx::Unbond};

/// Starts moving stake back to the balance.
pub(crate) fn unbond(
    execution: &mut Execution<'_>,
    sender: Address,
    unbond: &Unbond,
) -> Result<(), StakeError> {
    let amount = unbond.amount;
    if amount == Amount::ZERO {
        return Err(StakeError::ZeroAmount);
    }
    let mut record = stake(&execution.overlay, sender)?;
    let Ok(left) = record.bonded.checked_sub(amount) else {
        return Err(StakeError::InsufficientStake {
            bonded: record.bonded,
            amount,
        });
    };
    if left < record.exposure {
        return Err(StakeError::CoversOpenWork {
            exposure: record.exposure,
            left,
        });
    }
    let min = money(
        execution
            .params
            .worker_stake_min
            .max(execution.params.verifier_stake_min),
    );
    // Else a hundred coins could fill the list of offers or the pool of verifiers seat by seat.
    if record.roles > 0 && left < min {
        return Err(StakeError::BelowRoleMinimum { left, min });
    }
    if left < record.charged {
        return Err(StakeError::Charged {
            charged: record.charged,
            left,
        });
    }
    record.bonded = left;
    record.unbonding = record.unbonding.checked_add(amount).or_fault()?;
    let sequence = record.unbondings;
    record.unbondings = counted(sequence.checked_add(1), "unbondings")?;
    store(execution, sender, &record)?;
    let free_at = execution.window_end(execution.params.unbonding_delay)?;
    execution.overlay.store(
        keys::unbonding(free_at, sender, sequence),
        &Entry {
            account: sender,
            amount,
        },
    );
    execution.emit(Event::Unbonding(Unbonding {
        account: sender,
        amount,
        free_at,
    }));
    Ok(())
}

/// Stake on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) account: Address,
    pub(crate) amount: Amount,
}
crate::state::state_record!(Entry { account, amount });

use super::RegistryError;
use crate::{
    bank,
    execution::Execution,
    fault::{OrFault, counted},
    params::money,
};
use commonware_codec::EncodeSize;
use fairweir_types::{Address, Amount, Rounding};

/// Makes an account's deposit for a record that is about to be written fit its size; returns the new deposit.
pub(crate) fn adjust(
    execution: &mut Execution<'_>,
    account: Address,
    held: Amount,
    (key, record): (&[u8], &impl EncodeSize),
) -> Result<Amount, RegistryError> {
    let bytes = key.len().checked_add(record.encode_size());
    let bytes = counted(
        bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        "deposit bytes",
    )?;
    let deposit = money(execution.params.deposit_per_byte)
        .checked_mul_ratio(bytes, 1, Rounding::Up)
        .or_fault()?;
    if deposit <= held {
        bank::credit(execution, account, held.checked_sub(deposit).or_fault()?)?;
        return Ok(deposit);
    }
    let missing = deposit.checked_sub(held).or_fault()?;
    let balance = bank::account(&execution.overlay, account)?.balance;
    if balance < missing {
        return Err(RegistryError::CannotPayRecordDeposit { balance, missing });
    }
    bank::debit(execution, account, missing)?;
    Ok(deposit)
}

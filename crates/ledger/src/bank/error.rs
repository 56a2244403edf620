use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::Amount;
use thiserror::Error;

/// Why a transfer is refused. The checks run in the order of the variants.
#[derive(Debug, Error)]
pub enum BankError {
    /// Nothing to transfer.
    #[error("the amount is zero")]
    ZeroAmount,
    /// To oneself.
    #[error("sender and receiver are the same account")]
    ToSelf,
    /// The balance does not suffice.
    #[error("the balance is {balance} coins, {amount} are needed")]
    InsufficientBalance {
        /// The balance after the fee.
        balance: Amount,
        /// What is needed.
        amount: Amount,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(BankError => Bank);

impl BankError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::ZeroAmount => 100,
            Self::InsufficientBalance { .. } => 101,
            Self::ToSelf => 102,
            Self::Fault(_) => 99,
        }
    }
}

use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::Amount;
use thiserror::Error;

/// Why bonding or unbonding is refused. The checks run in the order of the variants.
#[derive(Debug, Error)]
pub enum StakeError {
    /// Nothing to bond or unbond.
    #[error("the amount is zero")]
    ZeroAmount,
    /// The balance does not suffice to bond.
    #[error("the balance is {balance} coins, {amount} are to be bonded")]
    InsufficientBalance {
        /// The balance after the fee.
        balance: Amount,
        /// What is to be bonded.
        amount: Amount,
    },
    /// Less is bonded than is to be unbonded.
    #[error("{bonded} coins are bonded, {amount} are to be unbonded")]
    InsufficientStake {
        /// What is bonded.
        bonded: Amount,
        /// What is to be unbonded.
        amount: Amount,
    },
    /// The stake covers open work.
    #[error("{exposure} coins cover open work; {left} would be left: wait until it is settled")]
    CoversOpenWork {
        /// What covers open work.
        exposure: Amount,
        /// What would be left.
        left: Amount,
    },
    /// The account offers work or verifies, which needs more stake than would be left.
    #[error(
        "{left} coins would be left, offers and verifying need {min}: withdraw the offers and leave the verifiers first"
    )]
    BelowRoleMinimum {
        /// What would be left.
        left: Amount,
        /// The least.
        min: Amount,
    },
    /// A penalty motion needs more than would be left.
    #[error("{left} coins would be left, penalty motions need {charged}: wait until they are over")]
    Charged {
        /// What motions need.
        charged: Amount,
        /// What would be left.
        left: Amount,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(StakeError => Stake);

impl StakeError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::ZeroAmount => 200,
            Self::InsufficientBalance { .. } => 201,
            Self::InsufficientStake { .. } => 202,
            Self::CoversOpenWork { .. } => 203,
            Self::BelowRoleMinimum { .. } => 204,
            Self::Charged { .. } => 205,
            Self::Fault(_) => 99,
        }
    }
}

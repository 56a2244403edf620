use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::Amount;
use thiserror::Error;

/// Why registering or enrolling is refused. The checks run in the order of the codes.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// A worker needs more stake.
    #[error("{bonded} coins are bonded, a worker needs {min}")]
    WorkerStakeTooLow {
        /// What is bonded.
        bonded: Amount,
        /// The least.
        min: Amount,
    },
    /// The collateral is more than the stake.
    #[error("the collateral is {collateral} coins, only {bonded} are bonded")]
    CollateralAboveStake {
        /// The collateral.
        collateral: Amount,
        /// What is bonded.
        bonded: Amount,
    },
    /// The offer takes no work.
    #[error("the capacity is zero")]
    ZeroCapacity,
    /// Nobody could reach the worker.
    #[error("the offer names no endpoint")]
    EndpointMissing,
    /// There is no such offer.
    #[error("there is no such offer")]
    NoSuchOffer,
    /// A verifier needs more stake.
    #[error("{bonded} coins are bonded, a verifier needs {min}")]
    VerifierStakeTooLow {
        /// What is bonded.
        bonded: Amount,
        /// The least.
        min: Amount,
    },
    /// The verifier names no kind.
    #[error("a verifier must name at least one kind")]
    NoKinds,
    /// The pool is full.
    #[error("the pool of {max} verifiers is full")]
    PoolFull {
        /// How many it holds.
        max: usize,
    },
    /// The sender is not in the pool.
    #[error("the account is not enrolled as a verifier")]
    NotEnrolled,
    /// There are as many offers of the kind as one match may look at.
    #[error("there are already {max} offers")]
    TooManyOffers {
        /// How many may be listed.
        max: usize,
    },
    /// The sender cannot pay the deposit for its record.
    #[error("the balance is {balance} coins, the deposit for the record takes {missing} more")]
    CannotPayRecordDeposit {
        /// The balance.
        balance: Amount,
        /// What is still to be paid of the deposit.
        missing: Amount,
    },
    /// The hash chain has no link, or too many.
    #[error("a hash chain has 1 to {max} links, found {found}")]
    ChainLength {
        /// How many it may have.
        max: u32,
        /// How many it has.
        found: u32,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(RegistryError => Registry);

impl RegistryError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::WorkerStakeTooLow { .. } => 300,
            Self::CollateralAboveStake { .. } => 301,
            Self::ZeroCapacity => 302,
            Self::EndpointMissing => 303,
            Self::NoSuchOffer => 304,
            Self::VerifierStakeTooLow { .. } => 305,
            Self::NoKinds => 306,
            Self::PoolFull { .. } => 307,
            Self::NotEnrolled => 308,
            Self::TooManyOffers { .. } => 309,
            Self::CannotPayRecordDeposit { .. } => 310,
            Self::ChainLength { .. } => 311,
            Self::Fault(_) => 99,
        }
    }
}

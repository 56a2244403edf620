use crate::{fault::Fault, refusal::lift_faults};
use thiserror::Error;

/// Why an action about a validator is refused. The checks run in the order of the codes.
#[derive(Debug, Error)]
pub enum ValidatorError {
    /// The genesis names no such validator.
    #[error("the genesis names no validator with this identity")]
    NoSuchValidator,
    /// The validator has been tombstoned.
    #[error("the validator was tombstoned before: it is punished once")]
    AlreadyTombstoned,
    /// An honest validator may cast both votes.
    #[error("these votes do not exclude each other")]
    NoConflict,
    /// The block has checked as many reports as it may.
    #[error("{max} reports were checked in this block: send it again")]
    TooManyReports {
        /// How many it checks.
        max: usize,
    },
    /// A vote is not signed by the validator for this chain.
    #[error("a vote is not signed by the validator's vote key, for this chain, in this view")]
    NotItsVotes,
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(ValidatorError => Validator);

impl ValidatorError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NoSuchValidator => 1000,
            Self::AlreadyTombstoned => 1001,
            Self::NoConflict => 1002,
            Self::TooManyReports { .. } => 1003,
            Self::NotItsVotes => 1004,
            Self::Fault(_) => 99,
        }
    }
}

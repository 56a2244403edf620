//! What a node says about validators.

use crate::{
    amount::Amount, bounded::BoundedVec, codec::record, double_vote::DoubleVote, keys::Address,
    limits::VALIDATORS_MAX,
};

/// Asks for the validators, and for evidence against them that nobody showed the ledger yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskValidators {}
record!(AskValidators {});

/// One validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorReport {
    /// Its identity.
    pub identity: [u8; 32],
    /// The account that its fees go to, and whose stake answers for its votes.
    pub account: Address,
    /// What that account has bonded.
    pub bonded: Amount,
    /// Whether it was shown to have voted twice.
    pub tombstoned: bool,
}
record!(ValidatorReport {
    identity,
    account,
    bonded,
    tombstoned
});

/// All validators of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidatorsReport {
    /// The validators, in ascending order of identity.
    pub validators: BoundedVec<ValidatorReport, VALIDATORS_MAX>,
    /// Double votes that the node met since it started and that the ledger would take, one pair of each validator.
    pub evidence: BoundedVec<DoubleVote, VALIDATORS_MAX>,
}
record!(ValidatorsReport {
    validators,
    evidence
});

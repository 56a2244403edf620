//! Events of validators.

use crate::{amount::Amount, codec::record, keys::Address};

/// A validator was shown to have voted twice. It earns no fees any more, and its account's stake was slashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorTombstoned {
    /// Its identity.
    pub validator: [u8; 32],
    /// The account whose stake answers for it: the one that its fees went to.
    pub account: Address,
    /// The epoch of the two votes.
    pub epoch: u64,
    /// The view of the two votes.
    pub view: u64,
    /// Who showed them.
    pub reporter: Address,
    /// What was taken of the stake.
    pub amount: Amount,
    /// What of it the reporter got.
    pub to_reporter: Amount,
    /// What of it burned.
    pub burned: Amount,
}
record!(ValidatorTombstoned {
    validator,
    account,
    epoch,
    view,
    reporter,
    amount,
    to_reporter,
    burned
});

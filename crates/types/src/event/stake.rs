//! Events of stake.

use crate::{
    amount::Amount,
    codec::{record, tag},
    keys::Address,
    order::SlotId,
    quantity::Millis,
};

/// Stake grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bonded {
    /// Whose stake.
    pub account: Address,
    /// By how much.
    pub amount: Amount,
}
record!(Bonded { account, amount });

/// Stake began to unbond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbonding {
    /// Whose stake.
    pub account: Address,
    /// How much.
    pub amount: Amount,
    /// The chain time at which it is free.
    pub free_at: Millis,
}
record!(Unbonding {
    account,
    amount,
    free_at
});

/// Unbonding stake became balance again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbonded {
    /// Whose stake.
    pub account: Address,
    /// How much; less than asked if it was slashed meanwhile.
    pub amount: Amount,
}
record!(Unbonded { account, amount });

/// Why stake was slashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlashReason {
    /// A worker's trace was judged wrong.
    WrongTrace,
    /// A worker did not open its commitment in time.
    Unopened,
    /// A worker handed in no receipt in time.
    ReceiptLate,
    /// A verifier's trace was judged wrong.
    WrongVerdict,
    /// A verifier did not commit or reveal in time.
    VerdictMissing,
    /// A verifier did not reveal the link of its hash chain in time.
    LinkMissing,
}
tag!(SlashReason { 1 => WrongTrace, 2 => Unopened, 3 => ReceiptLate, 4 => WrongVerdict, 5 => VerdictMissing, 6 => LinkMissing });

/// Stake was slashed, and where it went: amount = buyer + reporters + checks + burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slashed {
    /// Whose stake.
    pub account: Address,
    /// Why.
    pub reason: SlashReason,
    /// For which slot.
    pub slot_id: SlotId,
    /// How much in all.
    pub amount: Amount,
    /// To the buyer, who is made whole first.
    pub to_buyer: Amount,
    /// To those who reported it, together.
    pub to_reporters: Amount,
    /// To the verifiers of the dispute, together: the loser pays for the checks.
    pub to_verifiers: Amount,
    /// Burned.
    pub burned: Amount,
}
record!(Slashed {
    account,
    reason,
    slot_id,
    amount,
    to_buyer,
    to_reporters,
    to_verifiers,
    burned
});

//! The envelope of a transaction: who pays, in which order, until when. Checked before any action.

use crate::{
    bank::{self, Account},
    execution::{BlockContext, Execution},
    fault::Fault,
    params::Params,
    state::State,
};
use fairweir_types::{Amount, ChainId, Height, Nonce, VerifiedTx};
use thiserror::Error;

/// Why a transaction must not be in a block. The checks run in the order of the variants.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// For another chain.
    #[error("the transaction is for chain {found}, this is {expected}")]
    OtherChain {
        /// This chain.
        expected: ChainId,
        /// The transaction's.
        found: ChainId,
    },
    /// Its expiry has passed.
    #[error("the transaction expired at height {expiry}, this is {height}")]
    Expired {
        /// The last height at which it may be included.
        expiry: Height,
        /// The block's.
        height: Height,
    },
    /// Its expiry is too far ahead.
    #[error("the transaction expires at height {expiry}, at most {max} is allowed")]
    ExpiryTooFar {
        /// The last height at which it may be included.
        expiry: Height,
        /// The greatest allowed.
        max: Height,
    },
    /// It was included before, or another with its number was.
    #[error("the nonce is {found}, the account's next is {expected}: it was used before")]
    NonceTooLow {
        /// The account's next nonce.
        expected: Nonce,
        /// The transaction's.
        found: Nonce,
    },
    /// A transaction before it is missing.
    #[error(
        "the nonce is {found}, the account's next is {expected}: an earlier transaction is missing"
    )]
    NonceTooHigh {
        /// The account's next nonce.
        expected: Nonce,
        /// The transaction's.
        found: Nonce,
    },
    /// The fee is below the minimum.
    #[error("the fee is {found}, at least {min} coins are needed")]
    FeeTooLow {
        /// The least fee for its size.
        min: Amount,
        /// The fee.
        found: Amount,
    },
    /// The account cannot pay the fee.
    #[error("the account has {balance} coins and cannot pay the fee of {fee}")]
    CannotPayFee {
        /// The balance.
        balance: Amount,
        /// The fee.
        fee: Amount,
    },
    /// The ledger's own state is broken.
    #[error("the ledger's state is broken")]
    Fault(#[from] Fault),
}

impl EnvelopeError {
    /// The stable code. Append-only.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::OtherChain { .. } => 1,
            Self::Expired { .. } => 2,
            Self::ExpiryTooFar { .. } => 3,
            Self::NonceTooLow { .. } => 4,
            Self::NonceTooHigh { .. } => 5,
            Self::FeeTooLow { .. } => 6,
            Self::CannotPayFee { .. } => 7,
            Self::Fault(_) => 99,
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OtherChain { .. } => "other_chain",
            Self::Expired { .. } => "expired",
            Self::ExpiryTooFar { .. } => "expiry_too_far",
            Self::NonceTooLow { .. } => "nonce_too_low",
            Self::NonceTooHigh { .. } => "nonce_too_high",
            Self::FeeTooLow { .. } => "fee_too_low",
            Self::CannotPayFee { .. } => "cannot_pay_fee",
            Self::Fault(_) => "fault",
        }
    }
}

fn check(
    params: &Params,
    context: &BlockContext,
    account: &Account,
    tx: &VerifiedTx,
) -> Result<(), EnvelopeError> {
    let transaction = tx.transaction();
    if transaction.chain_id != context.chain_id {
        return Err(EnvelopeError::OtherChain {
            expected: context.chain_id.clone(),
            found: transaction.chain_id.clone(),
        });
    }
    if transaction.expiry < context.height {
        return Err(EnvelopeError::Expired {
            expiry: transaction.expiry,
            height: context.height,
        });
    }
    let max = Height(
        context
            .height
            .get()
            .saturating_add(params.expiry_blocks_max),
    );
    if transaction.expiry > max {
        return Err(EnvelopeError::ExpiryTooFar {
            expiry: transaction.expiry,
            max,
        });
    }
    let (expected, found) = (account.nonce, transaction.nonce);
    if found < expected {
        return Err(EnvelopeError::NonceTooLow { expected, found });
    }
    if found > expected {
        return Err(EnvelopeError::NonceTooHigh { expected, found });
    }
    let min = params.fee_min(tx.size());
    if transaction.fee < min {
        return Err(EnvelopeError::FeeTooLow {
            min,
            found: transaction.fee,
        });
    }
    if account.balance < transaction.fee {
        return Err(EnvelopeError::CannotPayFee {
            balance: account.balance,
            fee: transaction.fee,
        });
    }
    Ok(())
}

/// Whether a transaction may be in the next block on this state; its action may be refused all the same.
///
/// # Errors
/// [`EnvelopeError`].
pub fn check_envelope(
    state: &dyn State,
    context: &BlockContext,
    tx: &VerifiedTx,
) -> Result<(), EnvelopeError> {
    let params = Params::of_envelope(state)?;
    check(&params, context, &bank::account(state, tx.sender())?, tx)
}

/// Checks the envelope, takes the fee and counts the nonce up.
pub(crate) fn charge(
    execution: &mut Execution<'_>,
    tx: &VerifiedTx,
) -> Result<Amount, EnvelopeError> {
    let mut account = bank::account(&execution.overlay, tx.sender())?;
    check(&execution.params, execution.context, &account, tx)?;
    let fee = tx.transaction().fee;
    account.balance = account.balance.checked_sub(fee).map_err(Fault::Money)?;
    account.nonce = account
        .nonce
        .next()
        .ok_or(Fault::Counter { what: "nonce" })?;
    bank::store(execution, tx.sender(), &account);
    Ok(fee)
}

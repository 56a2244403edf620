//! What the state says of accounts whose transactions wait, and of these.

use super::Core;
use crate::{
    error::SubmitError,
    handle::ChainHandle,
    mempool::{Mempool, Standing},
};
use fairweir_ledger::{BlockContext, EnvelopeError, State, Writes, bank, check_envelope};
use fairweir_types::{Address, Amount, Nonce, VerifiedTx, limits::TX_BYTES_MAX};

/// Bytes of a transaction that may wait for one before it.
const ORDINARY_BYTES_MAX: u64 = TX_BYTES_MAX as u64;

/// What an account may do.
pub(super) fn standing(state: &dyn State, account: &Address) -> Standing {
    // A record that does not decode halts the next block; here it only keeps a transaction out.
    let unreadable = Standing {
        next_nonce: Nonce(u64::MAX),
        balance: Amount::ZERO,
    };
    bank::account(state, *account).map_or(unreadable, |account| Standing {
        next_nonce: account.nonce,
        balance: account.balance,
    })
}

/// The accounts that a block changed: besides those of its senders also others whose money it moved, such as that of who lets a delegate spend it.
pub(super) fn changed_accounts(writes: &Writes) -> impl Iterator<Item = Address> {
    let [first, last] = [[0; 20], [0xff; 20]].map(|bytes| bank::key(Address(bytes)));
    let accounts = writes.range(first..=last);
    accounts.filter_map(|(key, _)| key.last_chunk().copied().map(Address))
}

/// Checks an envelope against the state. A nonce ahead of the account's may wait, so it is no reason to refuse here.
pub(super) fn check(
    state: &dyn State,
    context: &BlockContext,
    tx: &VerifiedTx,
) -> Result<(), SubmitError> {
    match check_envelope(state, context, tx) {
        // A large one that waits for another is never paid for, and fills the pool.
        Err(error @ EnvelopeError::NonceTooHigh { .. }) if tx.size().get() > ORDINARY_BYTES_MAX => {
            Err(SubmitError::Refused(error))
        }
        Ok(()) | Err(EnvelopeError::NonceTooHigh { .. }) => Ok(()),
        Err(EnvelopeError::NonceTooLow { expected, found }) => {
            Err(SubmitError::NonceTooLow { expected, found })
        }
        Err(EnvelopeError::Expired {
            expiry,
            height: next,
        }) => Err(SubmitError::Expired { expiry, next }),
        Err(error) => Err(SubmitError::Refused(error)),
    }
}

/// The transaction of an account that may be included next.
pub(super) fn head(
    pool: &Mempool,
    state: &dyn State,
    context: &BlockContext,
    sender: &Address,
) -> Option<VerifiedTx> {
    let tx = pool.get(sender, standing(state, sender).next_nonce)?;
    check_envelope(state, context, tx)
        .is_ok()
        .then(|| tx.clone())
}

/// Whether a transaction can never be included as it is: what a nonce ahead of the account's hid when it was taken. That the account cannot pay is no
/// such case: what it cannot pay does not wait ([`Mempool::finalised`]).
pub(super) fn is_hopeless(state: &dyn State, context: &BlockContext, tx: &VerifiedTx) -> bool {
    matches!(
        check_envelope(state, context, tx),
        Err(EnvelopeError::FeeTooLow { .. })
    )
}

impl Core {
    /// The first nonce of an account that no block used, and no transaction that waits here.
    fn free_nonce(&self, account: &Address) -> Nonce {
        self.cache.read(|state| {
            let next = standing(state, account).next_nonce;
            self.pool.lock().free_nonce(account, next)
        })
    }
}

impl ChainHandle {
    /// The first nonce of an account that no block used, and no transaction that waits here: who sends with it takes the place of none of them.
    #[must_use]
    pub fn free_nonce(&self, account: Address) -> Nonce {
        self.core().free_nonce(&account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_changed_the_accounts_whose_records_it_wrote_and_no_others() {
        let accounts = [[0; 20], [7; 20], [0xff; 20]].map(Address);
        let mut writes: Writes = accounts
            .iter()
            .map(|account| (bank::key(*account), Some(vec![1])))
            .collect();
        // Records of others lie before and behind those of accounts.
        writes.insert(vec![0; 21], Some(vec![1]));
        writes.insert(vec![0xff; 21], Some(vec![1]));
        assert!(changed_accounts(&writes).eq(accounts));
        assert_eq!(changed_accounts(&Writes::new()).next(), None);
    }
}

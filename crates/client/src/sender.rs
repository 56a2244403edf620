//! Sending transactions of one account.

use crate::{ClientError, NodeClient};
use commonware_codec::EncodeSize;
use fairweir_net::Network;
use fairweir_types::{
    Action, Amount, ChainId, Height, SecretKey, SignedTx, Transaction,
    node_api::{AccountReport, Included},
};
use futures::lock::Mutex;
use std::{future::Future, sync::Arc};

/// Blocks for which a transaction stays valid: long enough for a busy chain, short enough to be forgotten.
const EXPIRY_BLOCKS: u64 = 2_000;
/// How often a transaction is offered again when the reply was lost, and how often it is rebuilt with a fresh nonce.
const ATTEMPTS_MAX: usize = 6;
/// Bytes that an envelope adds to its action, at most, for the fee.
const ENVELOPE_BYTES: u64 = 256;
/// Bytes that a node's suggested fee is for.
const ORDINARY_TX_BYTES: u64 = 512;

/// Sends transactions of one account, one after the other. Clones share the order.
///
/// A lost reply is no lost transaction: the same signed bytes are offered again, and the node answers with the outcome
/// if they were included meanwhile.
#[derive(Clone, Debug)]
pub struct Sender<N> {
    client: NodeClient<N>,
    chain_id: ChainId,
    key: SecretKey,
    turn: Arc<Mutex<()>>,
}

impl<N: Network> Sender<N> {
    /// A sender for the account of a key.
    #[must_use]
    pub fn new(client: NodeClient<N>, chain_id: ChainId, key: SecretKey) -> Self {
        Self {
            client,
            chain_id,
            key,
            turn: Arc::new(Mutex::new(())),
        }
    }

    /// The account's key.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The chain.
    #[must_use]
    pub const fn chain_id(&self) -> &ChainId {
        &self.chain_id
    }

    /// The node it sends to.
    #[must_use]
    pub const fn client(&self) -> &NodeClient<N> {
        &self.client
    }

    /// Sends an action and waits until it is final; a refused action is a value here, see [`Sender::send`].
    ///
    /// # Errors
    /// [`ClientError`] when it is not known to be included.
    pub async fn include(&self, action: Action) -> Result<Included, ClientError> {
        let _turn = self.turn.lock().await;
        let mut rebuilt = 0;
        loop {
            let tx = self.build(action.clone()).await?;
            match self.offer(&tx).await {
                // Another process may send for the same account, or the node may have answered from an older block.
                Err(ClientError::Refused(refusal))
                    if matches!(
                        refusal.code.as_str(),
                        "nonce_too_low" | "underpriced" | "dropped"
                    ) && rebuilt < ATTEMPTS_MAX =>
                {
                    rebuilt += 1;
                }
                other => return other,
            }
        }
    }

    /// Sends an action and waits until it is final and done.
    ///
    /// # Errors
    /// [`ClientError::TxRefused`] when the ledger refused it, else as [`Sender::include`].
    pub async fn send(&self, action: Action) -> Result<Included, ClientError> {
        let included = self.include(action).await?;
        if included.outcome.is_done() {
            Ok(included)
        } else {
            Err(ClientError::TxRefused(included.outcome))
        }
    }

    async fn build(&self, action: Action) -> Result<SignedTx, ClientError> {
        let account = again(|| self.client.account(self.key.address())).await?;
        let tip = again(|| self.client.status()).await?.header.height;
        let transaction = Transaction {
            chain_id: self.chain_id.clone(),
            sender: self.key.account_key(),
            nonce: account.nonce,
            fee: fee(&account, &action),
            expiry: Height(tip.get().saturating_add(EXPIRY_BLOCKS)),
            action,
        };
        Ok(transaction.sign(&self.key))
    }

    async fn offer(&self, tx: &SignedTx) -> Result<Included, ClientError> {
        again(|| self.client.submit(tx)).await
    }
}

/// Asks again when the connection was lost. The deadline of the lost attempt paces us.
async fn again<T, F>(ask: impl Fn() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut attempts = 0;
    loop {
        match ask().await {
            Err(ClientError::Net(_)) if attempts < ATTEMPTS_MAX => attempts += 1,
            other => return other,
        }
    }
}

/// The node's suggestion for an ordinary transaction, in proportion for longer ones.
fn fee(account: &AccountReport, action: &Action) -> Amount {
    let bytes = u64::try_from(action.encode_size())
        .unwrap_or(u64::MAX)
        .saturating_add(ENVELOPE_BYTES);
    let scaled =
        account
            .fee_min
            .checked_mul_ratio(bytes, ORDINARY_TX_BYTES, fairweir_types::Rounding::Up);
    scaled.unwrap_or(account.fee_min).max(account.fee_min)
}

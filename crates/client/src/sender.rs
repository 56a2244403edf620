//! Sending transactions of one account.

use crate::{ClientError, NodeClient, WAITING, protocol::SUBMIT_DEADLINE};
use commonware_codec::EncodeSize;
use fairweir_net::Network;
use fairweir_types::{
    Action, Amount, ChainId, Height, Rounding, SecretKey, SignedTx, Transaction,
    node_api::{Included, ORDINARY_TX_BYTES},
};
use futures::lock::Mutex;
use std::{future::Future, sync::Arc, time::Duration};

/// Blocks for which a transaction stays valid: long enough for a busy chain, short enough to be forgotten.
const EXPIRY_BLOCKS: u64 = 2_000;
/// How often a transaction is offered again when the reply was lost, and how often it is rebuilt with a fresh nonce.
const ATTEMPTS_MAX: usize = 6;
/// How long after the first attempt another one is begun. The last one has its own deadline besides.
const ATTEMPTS_WITHIN: Duration = SUBMIT_DEADLINE.saturating_mul(2);
/// The code of a transaction that pays too little, or too little to take the place of one that waits with the same nonce.
const UNDERPRICED: &str = "underpriced";
/// Bytes that an envelope adds to its action, at most, for the fee.
const ENVELOPE_BYTES: u64 = 256;

/// Sends transactions of one account, one after the other. Clones share the order.
///
/// The chain's height is asked for once: what becomes of each transaction says it anew. A height that is too old shows when a
/// transaction is refused as expired, and is asked for again then.
///
/// A lost reply is no lost transaction: the same signed bytes are offered again, and the node answers with the outcome
/// if they were included meanwhile.
#[derive(Clone, Debug)]
pub struct Sender<N> {
    client: NodeClient<N>,
    chain_id: ChainId,
    key: SecretKey,
    /// Held while sending; the newest height that is known.
    turn: Arc<Mutex<Option<Height>>>,
}

impl<N: Network> Sender<N> {
    /// A sender for the account of a key.
    #[must_use]
    pub fn new(client: NodeClient<N>, chain_id: ChainId, key: SecretKey) -> Self {
        Self {
            client,
            chain_id,
            key,
            turn: Arc::default(),
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

    /// Sends an action and waits until it is final; a refused action is a value here, see [`Sender::send`]. Gives up after four minutes, or
    /// with the first block after two where the node has no place to wait for the transaction.
    ///
    /// # Errors
    /// [`ClientError`] when it is not known to be included.
    pub async fn include(&self, action: Action) -> Result<Included, ClientError> {
        let mut known = self.turn.lock().await;
        let until = self.now().saturating_add(ATTEMPTS_WITHIN);
        let mut rebuilt = 0;
        loop {
            let tip = match *known {
                Some(tip) => tip,
                None => {
                    let status = self.again(until, || self.client.status());
                    status.await?.header.height
                }
            };
            *known = Some(tip);
            let tx = self.build(action.clone(), tip, until).await?;
            match self.offer(&tx, tip, until).await {
                Ok(included) => {
                    *known = Some(included.height.max(tip));
                    return Ok(included);
                }
                // Another process may send for the same account, or the node may have answered from an older block.
                Err(error)
                    if error.is_outdated() && rebuilt < ATTEMPTS_MAX && self.now() < until =>
                {
                    // Another one waits with this nonce: it leaves the pool with a block.
                    if error.refusal_code() == Some(UNDERPRICED)
                        && self.block_after(tip).await.is_err()
                    {
                        return Err(error);
                    }
                    *known = None;
                    rebuilt += 1;
                }
                Err(error) => return Err(error),
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

    async fn build(
        &self,
        action: Action,
        tip: Height,
        until: Duration,
    ) -> Result<SignedTx, ClientError> {
        let account = self.again(until, || self.client.account(self.key.address()));
        let account = account.await?;
        let transaction = Transaction {
            chain_id: self.chain_id.clone(),
            sender: self.key.account_key(),
            nonce: account.nonce,
            fee: fee(account.fee_min, &action),
            expiry: Height(tip.get().saturating_add(EXPIRY_BLOCKS)),
            action,
        };
        Ok(transaction.sign(&self.key))
    }

    /// Offers a transaction until the node says what became of it, or a time of [`Network::now`] has come.
    async fn offer(
        &self,
        tx: &SignedTx,
        tip: Height,
        until: Duration,
    ) -> Result<Included, ClientError> {
        loop {
            match self.again(until, || self.client.submit(tx)).await {
                Err(error) if error.refusal_code() == Some(WAITING) && self.now() < until => {
                    if self.block_after(tip).await.is_err() {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// Waits for the block that comes next, or for one that is there already above a height: what waits in a pool leaves it with one.
    async fn block_after(&self, height: Height) -> Result<(), ClientError> {
        let tip = self.client.status().await?.header.height.max(height);
        let mut blocks = self
            .client
            .follow(Height(tip.get().saturating_add(1)))
            .await?;
        blocks.next().await.map(|_| ())
    }

    /// Asks again when the connection was lost, until a time of [`Network::now`]. The deadline of the lost attempt paces us.
    async fn again<T, F>(
        &self,
        until: Duration,
        ask: impl Fn() -> F + Send + Sync,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let mut attempts = 0;
        loop {
            match ask().await {
                Err(ClientError::Net(_)) if attempts < ATTEMPTS_MAX && self.now() < until => {
                    attempts += 1;
                }
                other => return other,
            }
        }
    }

    fn now(&self) -> Duration {
        self.client.network().now()
    }
}

/// What an action pays as a fee: the node's suggestion for an ordinary transaction, in proportion for longer ones, rounded up.
#[must_use]
pub fn fee(fee_min: Amount, action: &Action) -> Amount {
    let bytes = u64::try_from(action.encode_size())
        .unwrap_or(u64::MAX)
        .saturating_add(ENVELOPE_BYTES);
    let scaled = fee_min.checked_mul_ratio(bytes, ORDINARY_TX_BYTES.get(), Rounding::Up);
    scaled.unwrap_or(fee_min).max(fee_min)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use crate::scripted::{client_of, status};
    use commonware_runtime::{Runner as _, deterministic};
    use fairweir_types::{
        BoundedBytes, BoundedText, BoundedVec, Boxed, Digest, Millis, Nonce, TxOutcome,
        node_api::{AccountReport, EventPage, NodeReply, NodeRequest, Refusal},
        order::{OrderId, SlotId},
        outcome::TxCode,
        tx::{Bond, Exhibit},
    };
    use std::sync::Mutex as StdMutex;

    /// A node's height, and what it was asked.
    #[derive(Debug)]
    struct Node {
        height: u64,
        nonce: u64,
        statuses: usize,
    }

    fn refused(code: &str) -> NodeReply {
        NodeReply::Refused(Refusal {
            code: BoundedText::truncating(code),
            reason: BoundedText::truncating(code),
        })
    }

    /// What a follower is told of a block in which nothing happened.
    fn empty_block(height: Height) -> NodeReply {
        NodeReply::Events(EventPage {
            height,
            time: Millis(0),
            first: 0,
            more: false,
            events: BoundedVec::default(),
        })
    }

    fn bond() -> Action {
        Action::Bond(Bond {
            amount: Amount::ZERO,
        })
    }

    fn sender<N: Network>(client: NodeClient<N>, chain_id: ChainId) -> Sender<N> {
        let key = SecretKey::from_seed([3; 32]).unwrap();
        Sender::new(client, chain_id, key)
    }

    fn answer(node: &mut Node, chain_id: &ChainId, request: NodeRequest) -> NodeReply {
        let height = Height(node.height);
        match request {
            NodeRequest::Account(_) => NodeReply::Account(AccountReport {
                nonce: Nonce(node.nonce),
                ..AccountReport::default()
            }),
            NodeRequest::Status(_) => {
                node.statuses += 1;
                NodeReply::Status(Boxed::new(status(chain_id, height)))
            }
            NodeRequest::Submit(submit) => {
                let tx = SignedTx::decode_bounded(submit.tx.as_slice()).unwrap();
                if tx.transaction.expiry <= height {
                    return refused("expired");
                }
                node.nonce += 1;
                node.height += 1;
                let outcome = TxOutcome {
                    tx: tx.digest(),
                    code: TxCode::OK,
                    reason: BoundedText::truncating(""),
                };
                NodeReply::Included(Included {
                    height: Height(node.height),
                    outcome,
                })
            }
            other => panic!("an unexpected question: {other:?}"),
        }
    }

    #[test]
    fn the_status_is_asked_for_once_and_again_when_a_transaction_expired() {
        deterministic::Runner::seeded(1).start(|context| async move {
            let chain_id = ChainId::new("dev-sender").unwrap();
            let node = Arc::new(StdMutex::new(Node {
                height: 10,
                nonce: 0,
                statuses: 0,
            }));
            let (asked, chain) = (Arc::clone(&node), chain_id.clone());
            let client = client_of(&context, move |request| {
                vec![answer(&mut asked.lock().unwrap(), &chain, request)]
            });
            let sender = sender(client, chain_id);
            for _ in 0..3 {
                sender.send(bond()).await.unwrap();
            }
            assert_eq!(node.lock().unwrap().statuses, 1);
            node.lock().unwrap().height = 10 * EXPIRY_BLOCKS;
            for _ in 0..2 {
                sender.clone().send(bond()).await.unwrap();
            }
            assert_eq!(node.lock().unwrap().statuses, 2);
        });
    }

    #[test]
    fn a_node_that_takes_no_transactions_is_given_up() {
        deterministic::Runner::seeded(2).start(|context| async move {
            let chain_id = ChainId::new("dev-sender").unwrap();
            let mut node = Node {
                height: 10,
                nonce: 0,
                statuses: 0,
            };
            let chain = chain_id.clone();
            let client = client_of(&context, move |request| match request {
                NodeRequest::Submit(_) => vec![],
                other => vec![answer(&mut node, &chain, other)],
            });
            let sender = sender(client, chain_id);
            let before = sender.now();
            let error = sender.send(bond()).await.unwrap_err();
            assert!(matches!(error, ClientError::Net(_)), "{error}");
            let took = sender.now() - before;
            let most = ATTEMPTS_WITHIN + SUBMIT_DEADLINE;
            assert!(took >= ATTEMPTS_WITHIN && took <= most, "{took:?}");
        });
    }

    #[test]
    fn what_waits_in_the_pool_is_sent_again_with_each_block() {
        deterministic::Runner::seeded(3).start(|context| async move {
            let chain_id = ChainId::new("dev-sender").unwrap();
            let mut node = Node {
                height: 10,
                nonce: 0,
                statuses: 0,
            };
            let submitted = Arc::new(StdMutex::new(Vec::new()));
            let (chain, seen) = (chain_id.clone(), Arc::clone(&submitted));
            let client = client_of(&context, move |request| {
                if let NodeRequest::Submit(submit) = &request {
                    let mut seen = seen.lock().unwrap();
                    seen.push(submit.tx.clone());
                    // More often than a lost reply is asked for again.
                    if seen.len() <= 2 * ATTEMPTS_MAX {
                        return vec![refused(WAITING)];
                    }
                }
                if let NodeRequest::Follow(follow) = request {
                    return vec![empty_block(follow.from)];
                }
                vec![answer(&mut node, &chain, request)]
            });
            sender(client, chain_id).send(bond()).await.unwrap();
            let submitted = submitted.lock().unwrap();
            assert_eq!(submitted.len(), 2 * ATTEMPTS_MAX + 1);
            assert!(submitted.iter().all(|tx| *tx == submitted[0]));
        });
    }

    #[test]
    fn behind_another_one_that_waits_with_its_nonce_it_is_built_anew_after_a_block() {
        deterministic::Runner::seeded(4).start(|context| async move {
            let chain_id = ChainId::new("dev-sender").unwrap();
            let mut node = Node {
                height: 10,
                nonce: 0,
                statuses: 0,
            };
            let nonces = Arc::new(StdMutex::new(Vec::new()));
            let (chain, seen) = (chain_id.clone(), Arc::clone(&nonces));
            let client = client_of(&context, move |request| {
                if let NodeRequest::Submit(submit) = &request {
                    let tx = SignedTx::decode_bounded(submit.tx.as_slice()).unwrap();
                    seen.lock().unwrap().push(tx.transaction.nonce);
                    if node.nonce == 0 {
                        return vec![refused(UNDERPRICED)];
                    }
                }
                if let NodeRequest::Follow(follow) = request {
                    // The other one is included.
                    (node.nonce, node.height) = (1, follow.from.get());
                    return vec![empty_block(follow.from)];
                }
                vec![answer(&mut node, &chain, request)]
            });
            sender(client, chain_id).send(bond()).await.unwrap();
            assert_eq!(*nonces.lock().unwrap(), [Nonce(0), Nonce(1)]);
        });
    }

    #[test]
    fn a_fee_is_the_suggested_one_or_in_proportion_for_what_is_long() {
        let coins = |units| Amount::from_base_units(units).unwrap();
        let exhibit = |bytes| {
            let empty = Exhibit {
                slot_id: SlotId {
                    order: OrderId(Digest::ZERO),
                    slot: 0,
                },
                shown: BoundedBytes::default(),
            };
            let overhead = Action::Exhibit(Boxed::new(empty.clone())).encode_size();
            let shown = vec![0; bytes - overhead - 1];
            let action = Action::Exhibit(Boxed::new(Exhibit {
                shown: BoundedBytes::new(shown).unwrap(),
                ..empty
            }));
            assert_eq!(action.encode_size(), bytes, "a length of two bytes");
            action
        };
        for (bytes, expected) in [(256, 1_000), (257, 1_002), (768, 2_000), (1_280, 3_000)] {
            assert_eq!(
                fee(coins(1_000), &exhibit(bytes)),
                coins(expected),
                "{bytes}"
            );
        }
        let short = Action::Bond(Bond { amount: coins(1) });
        assert_eq!(fee(coins(1_000), &short), coins(1_000));
    }
}

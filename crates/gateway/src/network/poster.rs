//! Posting orders without waiting for each other: transactions of the account go out one nonce after the other, and become final
//! together.

use super::board::{Board, Listening};
use crate::market::MarketError;
use fairweir_client::{ClientError, Sender, WAITING, protocol::SUBMIT_DEADLINE};
use fairweir_net::Network;
use fairweir_types::{
    Action, Address, Amount, Boxed, Height, SignedTx, Transaction, TxCode,
    node_api::Included,
    order::{OrderHeader, OrderId},
    quantity::Nonce,
    tx::{OpenSession, PostOrder},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

/// Blocks for which a transaction stays valid: while it is, the order is not posted again, so it should not be long.
const EXPIRY_BLOCKS: u64 = 400;
/// How often a transaction is made anew, or offered again when the reply was lost.
const ATTEMPTS_MAX: u32 = 8;
/// Time before that.
const PAUSE: Duration = Duration::from_millis(20);
/// Time between one offer and the next of what waits in the node's pool.
const BLOCK_PAUSE: Duration = Duration::from_millis(250);
/// How long what waits there is asked for: as long as a lone submission may take.
const WAITING_MAX: Duration = SUBMIT_DEADLINE;

/// What is known of the account.
#[derive(Clone, Copy, Debug)]
struct Standing {
    nonce: Nonce,
    fee_min: Amount,
}

#[derive(Debug, Default)]
struct State {
    standing: Option<Standing>,
    /// Nonces of transactions that are offered and not final.
    offered: BTreeSet<Nonce>,
}

/// Posts the orders of one account.
#[derive(Debug)]
pub(super) struct Poster<N> {
    sender: Sender<N>,
    board: Arc<Board>,
    state: Mutex<State>,
}

/// An order that is in a block.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) order: OrderId,
    /// Hears of the order from the first.
    pub(super) listening: Listening,
    /// The transaction's fee.
    pub(super) fee: Amount,
}

fn failed(error: ClientError) -> MarketError {
    match error {
        ClientError::TxRefused(outcome) if outcome.code == TxCode::ABOVE_SECURED => {
            MarketError::Full(outcome.reason.to_string())
        }
        ClientError::TxRefused(outcome) if outcome.code == TxCode::DEMAND_ABOVE_SERVICE => {
            MarketError::Spec(outcome.reason.to_string())
        }
        ClientError::TxRefused(outcome) if outcome.code.is_of_catalogue() => {
            MarketError::NotTaken(outcome.reason.to_string())
        }
        ClientError::TxRefused(outcome) => {
            let reason = outcome.reason.to_string();
            if reason.contains("balance") || reason.contains("amount") || reason.contains("grant") {
                MarketError::NoFunds(reason)
            } else {
                MarketError::Failed(reason)
            }
        }
        ClientError::Refused(refusal) if refusal.code.as_str() == "cannot_pay_fee" => {
            MarketError::NoFunds(refusal.reason.to_string())
        }
        error => MarketError::Unreachable(error.to_string()),
    }
}

fn post_order(header: OrderHeader) -> Action {
    Action::PostOrder(Boxed::new(PostOrder { header }))
}

impl<N: Network> Poster<N> {
    pub(super) fn new(sender: Sender<N>, board: Arc<Board>) -> Self {
        Self {
            sender,
            board,
            state: Mutex::default(),
        }
    }

    /// Posts an order.
    ///
    /// # Errors
    /// [`MarketError`].
    pub(super) async fn post(&self, header: OrderHeader) -> Result<Posted, MarketError> {
        self.order(post_order(header), |_, _| ()).await
    }

    /// Opens a session that its owner pays for, or the account itself; before each try `prepare` is told the session, and the transaction that
    /// opens it.
    ///
    /// # Errors
    /// [`MarketError`].
    pub(super) async fn open_session(
        &self,
        owner: Option<Address>,
        header: OrderHeader,
        prepare: impl Fn(OrderId, &SignedTx),
    ) -> Result<Posted, MarketError> {
        let action = match owner {
            Some(owner) => Action::OpenSession(Boxed::new(OpenSession { owner, header })),
            None => post_order(header),
        };
        self.order(action, prepare).await
    }

    async fn order(
        &self,
        action: Action,
        prepare: impl Fn(OrderId, &SignedTx),
    ) -> Result<Posted, MarketError> {
        let listen = |order, tx: &SignedTx| {
            prepare(order, tx);
            self.board.listen(order)
        };
        let (listening, order, fee) = self.offer(action, listen).await?;
        Ok(Posted {
            order,
            listening,
            fee,
        })
    }

    /// Sends any other action of the account.
    ///
    /// # Errors
    /// [`MarketError`].
    pub(super) async fn send(&self, action: Action) -> Result<(), MarketError> {
        self.offer(action, |_, _| ()).await.map(|_| ())
    }

    /// Offers an action until the ledger took or refused it; before each try `prepare` is told the order that it would make, and the
    /// transaction.
    async fn offer<T>(
        &self,
        action: Action,
        prepare: impl Fn(OrderId, &SignedTx) -> T,
    ) -> Result<(T, OrderId, Amount), MarketError> {
        let mut attempt = 0;
        loop {
            let (tx, fee, nonce) = self.sign(action.clone()).await.map_err(failed)?;
            let key = self.sender.key();
            let order = OrderId::of(self.sender.chain_id(), key.address(), nonce);
            let prepared = prepare(order, &tx);
            let submitted = self.submit(&tx).await;
            self.state.lock().await.offered.remove(&nonce);
            match submitted {
                Ok(included) if included.outcome.is_done() => {
                    return Ok((prepared, order, fee));
                }
                Ok(included) => return Err(failed(ClientError::TxRefused(included.outcome))),
                // Another program may send for the account, or the fee rose, or the node lost what it had.
                Err(ClientError::Refused(refusal))
                    if !matches!(refusal.code.as_str(), "cannot_pay_fee" | WAITING)
                        && attempt < ATTEMPTS_MAX =>
                {
                    tracing::debug!(code = %refusal.code, "an action is offered again");
                    attempt += 1;
                    self.state.lock().await.standing = None;
                    sleep(PAUSE * attempt).await;
                }
                Err(error) => {
                    self.state.lock().await.standing = None;
                    return Err(failed(error));
                }
            }
        }
    }

    /// Signs an action with the account's next nonce.
    async fn sign(&self, action: Action) -> Result<(SignedTx, Amount, Nonce), ClientError> {
        let key = self.sender.key();
        let mut state = self.state.lock().await;
        let now = match state.standing {
            Some(now) => now,
            None => {
                let account = self.sender.client().account(key.address()).await?;
                Standing {
                    nonce: account.nonce,
                    fee_min: account.fee_min,
                }
            }
        };
        let mut nonce = now.nonce;
        while state.offered.contains(&nonce) {
            nonce = nonce.next().ok_or(ClientError::OtherAnswer)?;
        }
        let next = nonce.next().ok_or(ClientError::OtherAnswer)?;
        state.offered.insert(nonce);
        state.standing = Some(Standing { nonce: next, ..now });
        let fee = fairweir_client::fee(now.fee_min, &action);
        let tx = Transaction {
            chain_id: self.sender.chain_id().clone(),
            sender: key.account_key(),
            nonce,
            fee,
            expiry: Height(self.board.tip().get().saturating_add(EXPIRY_BLOCKS)),
            action,
        };
        Ok((tx.sign(key), fee, nonce))
    }

    /// A lost reply is no lost transaction, nor is one that waits in the node's pool without us: the same bytes are offered again.
    pub(super) async fn submit(&self, tx: &SignedTx) -> Result<Included, ClientError> {
        let until = Instant::now() + WAITING_MAX;
        let mut attempt = 0;
        loop {
            match self.sender.client().submit(tx).await {
                // It leaves the pool with a block, if ever: there is nothing to be sooner for.
                Err(error) if error.refusal_code() == Some(WAITING) && Instant::now() < until => {
                    sleep(BLOCK_PAUSE).await;
                }
                Err(ClientError::Net(_)) if attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    sleep(PAUSE * attempt).await;
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use commonware_codec::Encode as _;
    use fairweir_net::{FrameStream, Incoming, NetError, PeerAddr, PeerId, Protocol};
    use fairweir_types::{
        BoundedText, ChainId, Digest, SecretKey, TxOutcome, decode,
        node_api::{AccountReport, NodeReply, NodeRequest, Refusal},
        tx::Bond,
    };
    use std::sync::Mutex as StdMutex;

    /// How often the node has no place: more often than anything else is tried again.
    const REFUSALS: usize = 20;

    /// A node that has no place to wait for a transaction for a while, and then says that it is in a block.
    #[derive(Clone, Debug, Default)]
    struct Node {
        submitted: Arc<StdMutex<Vec<Vec<u8>>>>,
    }

    #[derive(Debug)]
    struct Asked {
        node: Node,
        question: Vec<u8>,
    }

    impl Network for Node {
        type Stream = Asked;

        fn local_addr(&self) -> PeerAddr {
            PeerAddr::from_id(PeerId::new([1; 32]))
        }

        fn now(&self) -> Duration {
            Duration::ZERO
        }

        async fn open(
            &self,
            _: &PeerAddr,
            _: Protocol,
            _: Duration,
        ) -> Result<Self::Stream, NetError> {
            Ok(Asked {
                node: self.clone(),
                question: Vec::new(),
            })
        }

        fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Self::Stream>, NetError> {
            Err(NetError::Closed)
        }

        async fn close(&self) {}
    }

    impl FrameStream for Asked {
        async fn send(&mut self, frame: &[u8], _: Duration) -> Result<(), NetError> {
            self.question = frame.to_vec();
            Ok(())
        }

        async fn recv(&mut self, _: usize, _: Duration) -> Result<Option<Vec<u8>>, NetError> {
            let NodeRequest::Submit(submit) = decode(&self.question).unwrap() else {
                let reply = NodeReply::Account(AccountReport::default());
                return Ok(Some(reply.encode().to_vec()));
            };
            let mut submitted = self.node.submitted.lock().unwrap();
            submitted.push(submit.tx.into_vec());
            let reply = if submitted.len() <= REFUSALS {
                NodeReply::Refused(Refusal {
                    code: BoundedText::truncating(WAITING),
                    reason: BoundedText::truncating("it waits"),
                })
            } else {
                NodeReply::Included(Included {
                    height: Height(7),
                    outcome: TxOutcome {
                        tx: Digest::ZERO,
                        code: TxCode::OK,
                        reason: BoundedText::truncating(""),
                    },
                })
            };
            Ok(Some(reply.encode().to_vec()))
        }

        async fn gone(&mut self) {
            std::future::pending().await
        }

        async fn finish(&mut self) -> Result<(), NetError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_in_the_pool_is_sent_again_and_not_signed_again() {
        let node = Node::default();
        let client = fairweir_client::NodeClient::new(node.clone(), node.local_addr());
        let key = SecretKey::from_seed([7; 32]).unwrap();
        let sender = Sender::new(client, ChainId::new("dev-test").unwrap(), key);
        let poster = Poster::new(sender, Arc::new(Board::default()));
        let action = Action::Bond(Bond {
            amount: Amount::ZERO,
        });
        poster.send(action).await.unwrap();
        let submitted = node.submitted.lock().unwrap();
        assert_eq!(submitted.len(), REFUSALS + 1);
        assert!(submitted.iter().all(|tx| *tx == submitted[0]));
    }
}

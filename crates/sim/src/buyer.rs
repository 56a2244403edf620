//! A buyer: orders text work as any client does, and believes nothing that it cannot check.

use commonware_codec::Encode as _;
use commonware_runtime::Clock;
use fairweir_client::{
    ClientError, NodeClient, Sender,
    orders::{self, Posted, SlotEnd},
    verify::{self, Words},
};
use fairweir_net::{Network, PeerAddr};
use fairweir_services::contract::Kind as _;
use fairweir_services::{
    AnyService, Registry,
    text::{Deduplicate, Normalise, Operations, Redact, Text, TextOutput, TextSpec},
};
use fairweir_types::{
    Address, Amount, BoundedBytes, Digest, Genesis, Millis, SecretKey, decode,
    limits::SPEC_INLINE_BYTES_MAX,
    node_api::Delivery,
    order::{
        OrderHeader, OrderId, PriceVector, Privacy, Requirements, Rounds, SlotId, SlotRole, Urgency,
    },
};
use std::{future::Future, sync::Arc, time::Duration};

/// Coins per million bytes that a buyer pays at most.
const PRICE_MAX_COINS: u64 = 10;
/// Chain time within which a worker must be matched.
const MATCH_WITHIN: Millis = Millis(30_000);
/// How often a worker is asked for its output, and the pause in between.
const FETCHES_MAX: usize = 20;
const FETCH_PAUSE: Duration = Duration::from_millis(200);
/// How often a question to the node is asked over a bad link.
const ASKS_MAX: usize = 10;

/// Asks again over a bad link; what is asked so is asked of memory or disk, and asking twice changes nothing.
async fn again<T, F>(ask: impl Fn() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut asks = 0;
    loop {
        match ask().await {
            Err(error) if error.is_retryable() && asks < ASKS_MAX => asks += 1,
            answer => return answer,
        }
    }
}

/// What a purchase came to.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The order.
    pub order: OrderId,
    /// The buyer's balance before.
    pub before: Amount,
    /// The buyer's balance after the order was closed.
    pub after: Amount,
    /// How its slot ended.
    pub end: SlotEnd,
    /// The checked output, and the words on its receipt. None if the order was refunded.
    pub bought: Option<(TextOutput, Words)>,
}

impl Purchase {
    /// Its only slot.
    #[must_use]
    pub const fn slot(&self) -> SlotId {
        SlotId {
            order: self.order,
            slot: 0,
        }
    }

    /// What it cost, fees included.
    ///
    /// # Panics
    /// If the buyer has more than before.
    #[must_use]
    pub fn cost(&self) -> Amount {
        self.before
            .checked_sub(self.after)
            .expect("an order is never a gain")
    }
}

/// A buyer.
#[derive(Clone, Debug)]
pub struct Buyer<N: Network> {
    network: N,
    sender: Sender<N>,
    genesis: Genesis,
    text: Arc<dyn AnyService>,
}

impl<N: Network> Buyer<N> {
    /// A buyer that asks a node.
    ///
    /// # Panics
    /// If no service handles text: a bug.
    #[must_use]
    pub fn new(key: SecretKey, network: N, node: PeerAddr, genesis: Genesis) -> Self {
        let client = NodeClient::new(network.clone(), node);
        let registry = Registry::standard();
        let text = registry.get(Text::ID).expect("text is a standard kind");
        Self {
            text: Arc::clone(text),
            sender: Sender::new(client, genesis.chain_id.clone(), key),
            network,
            genesis,
        }
    }

    /// Its account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.sender.key().address()
    }

    /// Its way to the node.
    #[must_use]
    pub const fn sender(&self) -> &Sender<N> {
        &self.sender
    }

    /// Its free money.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn balance(&self) -> Result<Amount, ClientError> {
        let account = again(|| self.sender.client().account(self.address())).await?;
        Ok(account.balance)
    }

    fn spec(text: &str) -> Vec<u8> {
        let operations = Operations {
            normalise: Normalise::Nfc,
            deduplicate: Deduplicate::ParagraphsAndLines,
            redact: Redact::PersonalData,
        };
        TextSpec::new(text.to_owned(), operations)
            .expect("a simulated text is short")
            .encode()
            .to_vec()
    }

    fn header(&self, spec: &[u8]) -> OrderHeader {
        let price = Amount::from_coins(PRICE_MAX_COINS).expect("a price below the cap");
        let is_inline = spec.len() <= SPEC_INLINE_BYTES_MAX;
        OrderHeader {
            kind: self.text.id(),
            spec_digest: Digest::of_blob(spec),
            spec_inline: is_inline
                .then(|| BoundedBytes::new(spec.to_vec()).expect("its length was checked")),
            demand: self.text.demand(spec).expect("the spec is well-formed"),
            slots: 1,
            role: SlotRole::Worker,
            rounds: Rounds::Fixed(1),
            price_max: PriceVector {
                input: price,
                cached_input: Amount::ZERO,
                output: price,
                time: Amount::ZERO,
            },
            urgency: Urgency::Normal,
            match_within: MATCH_WITHIN,
            requirements: Requirements::default(),
            privacy: Privacy::Public,
        }
    }

    /// Posts an order for a text. A long one goes to the node as a blob first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, text: &str) -> Result<Posted, ClientError> {
        let spec = Self::spec(text);
        let header = self.header(&spec);
        if header.spec_inline.is_none() {
            again(|| self.sender.client().put_blob(spec.clone())).await?;
        }
        orders::post(&self.sender, header).await
    }

    /// Buys: posts, follows to the end, fetches the output, and checks its receipt offline with the genesis alone.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Panics
    /// If a settled order's output or receipt does not check out, or the order had other than one end.
    pub async fn buy(&self, clock: &impl Clock, text: &str) -> Result<Purchase, ClientError> {
        let before = self.balance().await?;
        let posted = self.post(text).await?;
        self.complete(clock, text, posted, before).await
    }

    /// Follows an order to its end.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Panics
    /// If the order had other than one end.
    pub async fn end_of(&self, posted: Posted) -> Result<(SlotId, SlotEnd), ClientError> {
        let mut ends = orders::follow(self.sender.client(), posted, |_, _| {}).await?;
        assert_eq!(ends.len(), 1, "one slot has one end");
        Ok(ends.remove(0))
    }

    /// Follows an order that was posted for a text to its end and takes what it bought, as [`Buyer::buy`].
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Panics
    /// As [`Buyer::buy`].
    pub async fn complete(
        &self,
        clock: &impl Clock,
        text: &str,
        posted: Posted,
        before: Amount,
    ) -> Result<Purchase, ClientError> {
        let (slot, end) = self.end_of(posted).await?;
        let bought = match &end {
            SlotEnd::Refunded(_) => None,
            SlotEnd::Settled(settlement) => {
                let worker = settlement.settled.paid.to;
                let delivery = self.fetch(clock, worker, slot).await?;
                let spec = Self::spec(text);
                let client = self.sender.client();
                let proof =
                    again(|| orders::prove(client, settlement, &delivery, spec.clone())).await?;
                let (proof, words) = verify::verify(&self.genesis, &proof.to_file())
                    .expect("a settled receipt checks out");
                let output: TextOutput =
                    decode(proof.output.as_slice()).expect("what was settled is an output");
                Some((output, words))
            }
        };
        Ok(Purchase {
            order: posted.order,
            before,
            after: self.balance().await?,
            end,
            bought,
        })
    }

    async fn fetch(
        &self,
        clock: &impl Clock,
        worker: Address,
        slot: SlotId,
    ) -> Result<Delivery, ClientError> {
        let mut fetches = 0;
        loop {
            let client = self.sender.client();
            let endpoint = again(|| orders::endpoint(client, self.text.id(), worker)).await?;
            let endpoint = endpoint.ok_or(ClientError::OtherAnswer)?;
            match orders::fetch(&self.network, &endpoint, self.sender.key(), slot).await {
                Err(error) if error.is_retryable() && fetches < FETCHES_MAX => {
                    fetches += 1;
                    clock.sleep(FETCH_PAUSE).await;
                }
                delivery => return delivery,
            }
        }
    }
}

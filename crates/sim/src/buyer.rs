//! A buyer: orders work as any client does, and believes nothing that it cannot check.

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
    Registry,
    inference::{
        Models, NoModels,
        chat::{Chat, ChatSpec},
    },
    text::{Deduplicate, Normalise, Operations, Redact, Text, TextSpec},
};
use fairweir_types::{
    Address, Amount, BoundedBytes, Digest, Genesis, Millis, SecretKey,
    file::Filed as _,
    limits::SPEC_INLINE_BYTES_MAX,
    node_api::Delivery,
    order::{
        KindId, OrderHeader, OrderId, PriceVector, Privacy, Requirements, Rounds, SlotId, SlotRole,
        Urgency,
    },
};
use std::{future::Future, sync::Arc, time::Duration};

/// Coins per million units that a buyer pays at most.
const PRICE_MAX_COINS: u64 = 10;
/// Chain time within which a worker must be matched.
const MATCH_WITHIN: Millis = Millis(30_000);
/// How often a worker is asked for its output, and the pause in between.
const FETCHES_MAX: usize = 20;
const FETCH_PAUSE: Duration = Duration::from_millis(200);
/// How often a question to the node is asked over a bad link.
const ASKS_MAX: usize = 10;

/// Asks again over a bad link; what is asked so is asked of memory or disk, and asking twice changes nothing.
pub(crate) async fn again<T, F>(ask: impl Fn() -> F) -> Result<T, ClientError>
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

/// What a buyer asks for.
#[derive(Clone, Debug)]
pub struct Work {
    /// The kind.
    pub kind: KindId,
    /// The encoded spec.
    pub spec: Vec<u8>,
}

impl Work {
    /// A text, tidied.
    ///
    /// # Panics
    /// If the text is longer than an order may have it.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let operations = Operations {
            normalise: Normalise::Nfc,
            deduplicate: Deduplicate::ParagraphsAndLines,
            redact: Redact::PersonalData,
        };
        let spec = TextSpec::new(text.to_owned(), operations);
        Self {
            kind: Text::ID,
            spec: spec.expect("a simulated text is short").encode().to_vec(),
        }
    }

    /// A question to a language model.
    #[must_use]
    pub fn chat(spec: &ChatSpec) -> Self {
        Self {
            kind: Chat::ID,
            spec: spec.encode().to_vec(),
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
    /// The checked output as the kind encodes it, and the words on its receipt. None if the order was refunded.
    pub bought: Option<(Vec<u8>, Words)>,
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
    registry: Registry,
}

impl<N: Network> Buyer<N> {
    /// A buyer that asks a node.
    #[must_use]
    pub fn new(key: SecretKey, network: N, node: PeerAddr, genesis: Genesis) -> Self {
        let client = NodeClient::new(network.clone(), node);
        // What work needs is known without the models that do it.
        let models: Arc<dyn Models> = Arc::new(NoModels);
        Self {
            registry: Registry::with_models(&models),
            sender: Sender::new(client, genesis.chain_id.clone(), key),
            network,
            genesis,
        }
    }

    /// Its way to others.
    pub(crate) const fn network(&self) -> &N {
        &self.network
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

    pub(crate) fn header(&self, work: &Work) -> OrderHeader {
        header_of(&self.registry, work)
    }

    /// Posts an order for a text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, text: &str) -> Result<Posted, ClientError> {
        self.post_work(&Work::text(text)).await
    }

    /// Posts an order. A long spec goes to the node as a blob first.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Panics
    /// If no kind takes the spec.
    pub async fn post_work(&self, work: &Work) -> Result<Posted, ClientError> {
        let header = self.header(work);
        if header.spec_inline.is_none() {
            again(|| self.sender.client().put_blob(work.spec.clone())).await?;
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
        self.buy_work(clock, &Work::text(text)).await
    }

    /// The same for any work.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Panics
    /// As [`Buyer::buy`].
    pub async fn buy_work(&self, clock: &impl Clock, work: &Work) -> Result<Purchase, ClientError> {
        let before = self.balance().await?;
        let posted = self.post_work(work).await?;
        self.complete_work(clock, work, posted, before).await
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
        let work = Work::text(text);
        self.complete_work(clock, &work, posted, before).await
    }

    async fn complete_work(
        &self,
        clock: &impl Clock,
        work: &Work,
        posted: Posted,
        before: Amount,
    ) -> Result<Purchase, ClientError> {
        let (slot, end) = self.end_of(posted).await?;
        let bought = match &end {
            SlotEnd::Refunded(_) => None,
            SlotEnd::Settled(settlement) => {
                let worker = settlement.settled.paid.to;
                let delivery = self.fetch(clock, work.kind, worker, slot).await?;
                let client = self.sender.client();
                let proof =
                    again(|| orders::prove(client, settlement, &delivery, work.spec.clone()))
                        .await?;
                let (proof, words) = verify::verify(&self.genesis, &proof.to_file())
                    .expect("a settled receipt checks out");
                Some((proof.output.as_slice().to_vec(), words))
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
        kind: KindId,
        worker: Address,
        slot: SlotId,
    ) -> Result<Delivery, ClientError> {
        let mut fetches = 0;
        loop {
            let client = self.sender.client();
            let endpoint = again(|| orders::endpoint(client, kind, worker)).await?;
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

/// The header of an order of one slot for this work.
pub(crate) fn header_of(registry: &Registry, work: &Work) -> OrderHeader {
    let spec = work.spec.as_slice();
    let service = registry.newest(work.kind).expect("the kind is known");
    let price = Amount::from_coins(PRICE_MAX_COINS).expect("a price below the cap");
    let is_inline = spec.len() <= SPEC_INLINE_BYTES_MAX;
    OrderHeader {
        kind: work.kind,
        version: service.version(),
        spec_digest: Digest::of_blob(spec),
        spec_inline: is_inline
            .then(|| BoundedBytes::new(spec.to_vec()).expect("its length was checked")),
        demand: service.demand(spec).expect("the spec is well-formed"),
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

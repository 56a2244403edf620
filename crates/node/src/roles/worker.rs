//! The worker: offers services, runs what it is matched, hands outputs to buyers. It may verify others' work too.

use super::{bond_up_to, verifier};
use commonware_codec::Encode;
use commonware_runtime::Clock;
use fairweir_client::{
    ClientError, Sender,
    protocol::{ANSWER_DEADLINE, DELIVERY, MESSAGE_BYTES_MAX},
};
use fairweir_net::{FrameStream, Incoming, Network, PeerAddr, read_request, reply};
use fairweir_services::{
    Blobs, ChainClient, Registry,
    pipeline::{self, Desk, Follower, Identity, Shelf, Tools},
};
use fairweir_types::{
    Action, Address, Amount, BoundedBytes, BoundedVec, Boxed, ByteCount, ChainId, Digest, Height,
    Millis, Units, decode,
    limits::BLOB_BYTES_MAX,
    node_api::{DeliveryReply, DeskRequest, Refusal},
    order::{Demand, KindId, Name, Offer, PriceVector, Privacy, UnitVector},
    tx::RegisterOffer,
};
use futures::{StreamExt as _, future, stream::FuturesUnordered};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Buyers that may wait for their output, and that are served at the same time.
const WAITING_BUYERS_MAX: usize = 256;
const SERVED_BUYERS_MAX: usize = 256;
/// How long a role waits before it follows the chain again after the node was lost.
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The longest execution that a worker takes on: ten minutes.
const EXECUTION_MAX: Millis = Millis(600_000);
/// Memory that one execution may ask for.
const MEMORY_MAX: ByteCount = ByteCount(1 << 30);

/// What a worker offers of one kind, besides what it offers of all.
#[derive(Clone, Debug, Default)]
pub struct KindTerms {
    /// Coins per million units of input and of output, if not [`WorkerOptions::price`].
    pub price: Option<Amount>,
    /// What it can do: orders may ask for it.
    pub capabilities: Vec<Name>,
}

/// What a worker offers.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Coins per million units of input and of output.
    pub price: Amount,
    /// What differs by kind.
    pub kinds: BTreeMap<KindId, KindTerms>,
    /// Slots that may be open at once, per kind.
    pub capacity: u16,
    /// Stake to bond, all of it collateral for the offers.
    pub stake: Amount,
    /// The owner, if it is not the worker's own account.
    pub owner: Option<Address>,
    /// Executions at the same time.
    pub concurrency: usize,
    /// Whether it also verifies others' work.
    pub verifies: bool,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            price: Amount::from_coins(1).unwrap_or(Amount::MAX),
            kinds: BTreeMap::new(),
            capacity: 32,
            stake: Amount::from_coins(1_000).unwrap_or(Amount::MAX),
            owner: None,
            concurrency: 64,
            verifies: true,
        }
    }
}

/// The largest demand that a worker of today takes, whatever the kind.
const fn demand_max() -> Demand {
    let units = Units(16 * 1_024 * 1_024);
    Demand {
        units: UnitVector {
            input: units,
            cached_input: units,
            output: units,
            time: Units(60_000),
        },
        bytes_in: ByteCount(BLOB_BYTES_MAX as u64),
        bytes_out_max: ByteCount(BLOB_BYTES_MAX as u64),
        memory_max: MEMORY_MAX,
        execution_max: EXECUTION_MAX,
    }
}

fn offer(
    kind: KindId,
    own: Address,
    endpoint: &PeerAddr,
    options: &WorkerOptions,
) -> Result<Offer, ClientError> {
    let terms = options.kinds.get(&kind).cloned().unwrap_or_default();
    let price = terms.price.unwrap_or(options.price);
    Ok(Offer {
        kind,
        digest: Digest::ZERO,
        prices: PriceVector {
            input: price,
            cached_input: Amount::ZERO,
            output: price,
            time: Amount::ZERO,
        },
        capacity: options.capacity,
        collateral: options.stake,
        demand_max: demand_max(),
        level: 0,
        capabilities: BoundedVec::new(terms.capabilities)?,
        region: None,
        privacy_max: Privacy::Public,
        owner: options.owner.unwrap_or(own),
        endpoint: BoundedBytes::new(endpoint.to_bytes())?,
    })
}

/// Bonds the stake and registers an offer for every kind of the registry, unless they stand as wanted already.
///
/// # Errors
/// [`ClientError`].
pub async fn register<N: Network>(
    sender: &Sender<N>,
    endpoint: &PeerAddr,
    registry: &Registry,
    options: &WorkerOptions,
) -> Result<(), ClientError> {
    bond_up_to(sender, options.stake).await?;
    let own = sender.key().address();
    for service in registry.iter() {
        let wanted = offer(service.id(), own, endpoint, options)?;
        let offers = sender.client().offers(service.id()).await?;
        let stands = offers
            .iter()
            .any(|report| report.worker == own && report.offer == wanted);
        if !stands {
            sender
                .send(Action::RegisterOffer(Boxed::new(RegisterOffer {
                    offer: wanted,
                })))
                .await?;
        }
    }
    if options.verifies {
        verifier::enrol(sender, registry, options.owner).await?;
    }
    Ok(())
}

/// What a role runs with: its key, its way to the chain, and what it can run.
#[derive(Clone, Debug)]
pub struct Equipment<C> {
    /// The account.
    pub identity: Identity,
    /// The way to the chain, with the same key.
    pub chain: C,
    /// Where specs are.
    pub blobs: Arc<dyn Blobs>,
    /// What it can run.
    pub registry: Arc<Registry>,
    /// Executions at the same time.
    pub concurrency: usize,
    /// The height to follow from.
    pub from: Height,
    /// Where outputs survive a restart, if anywhere.
    pub outputs: Option<Arc<dyn Shelf>>,
}

impl<C> Equipment<C> {
    pub(super) fn tools(&self) -> Tools {
        Tools {
            registry: Arc::clone(&self.registry),
            blobs: Arc::clone(&self.blobs),
            concurrency: self.concurrency,
        }
    }
}

/// Runs a registered worker until its network is closed. `incoming` are the buyers that come for their output.
pub async fn run<C: ChainClient + Clone, S: FrameStream>(
    clock: &impl Clock,
    equipment: Equipment<C>,
    incoming: Incoming<S>,
    verifies: bool,
) {
    let mut worker = pipeline::Worker::new(
        equipment.identity.clone(),
        equipment.chain.clone(),
        equipment.tools(),
    );
    if let Some(shelf) = equipment.outputs.clone() {
        worker = worker.with_shelf(shelf);
    }
    let desk = worker.desk();
    let chain_id = equipment.chain.chain_id().clone();
    let progress = worker.progress();
    let from = equipment.from;
    let works = async {
        let mut from = from;
        loop {
            let error = worker.run(clock, from).await;
            tracing::warn!(%error, "the worker lost the chain; it tries again");
            from = progress.resume_from().max(from);
            clock.sleep(RETRY_PAUSE).await;
        }
    };
    let checks = async {
        if verifies {
            verifier::run(clock, equipment.clone()).await;
        }
        future::pending::<()>().await;
    };
    // The desk ends with the network, and with it the worker.
    let serves = serve(desk, chain_id, incoming);
    futures::pin_mut!(works, checks, serves);
    future::select(serves, future::select(works, checks)).await;
}

/// Hands outputs to buyers until the network is closed.
pub async fn serve<S: FrameStream>(desk: Desk, chain_id: ChainId, mut incoming: Incoming<S>) {
    let mut serving = FuturesUnordered::new();
    loop {
        if serving.len() >= SERVED_BUYERS_MAX {
            serving.next().await;
            continue;
        }
        if serving.is_empty() {
            let Some((_, stream)) = incoming.next().await else {
                return;
            };
            serving.push(hand_over(desk.clone(), chain_id.clone(), stream));
            continue;
        }
        let arrival = future::select(Box::pin(incoming.next()), serving.next()).await;
        if let future::Either::Left((arrival, _)) = arrival {
            let Some((_, stream)) = arrival else { return };
            serving.push(hand_over(desk.clone(), chain_id.clone(), stream));
        }
    }
}

async fn hand_over<S: FrameStream>(desk: Desk, chain_id: ChainId, mut stream: S) {
    let Ok(frame) = read_request(&mut stream, MESSAGE_BYTES_MAX, ANSWER_DEADLINE).await else {
        return;
    };
    let answer = match decode::<DeskRequest>(&frame) {
        Ok(DeskRequest::Fetch(request)) => desk.deliver(&request),
        Ok(DeskRequest::Stop(signed)) => desk.stop(&chain_id, &signed),
        Ok(DeskRequest::Follow(request)) => match desk.follow(&request) {
            Ok(follower) => {
                hand_over_as_it_comes(follower, stream).await;
                return;
            }
            Err(refusal) => refusal,
        },
        Err(error) => DeliveryReply::Refused(Refusal {
            code: fairweir_types::BoundedText::truncating("malformed"),
            reason: fairweir_types::BoundedText::truncating(&error.to_string()),
        }),
    };
    if let Err(error) = reply(stream, &answer.encode(), ANSWER_DEADLINE).await {
        tracing::debug!(%error, "a buyer did not take its output");
    }
}

/// A buyer that takes too long for one message is left; what it missed it can fetch.
async fn hand_over_as_it_comes<S: FrameStream>(mut follower: Follower, mut stream: S) {
    while let Some(reply) = follower.next().await {
        let is_last = !matches!(reply, DeliveryReply::Chunk(_));
        if let Err(error) = stream.send(&reply.encode(), ANSWER_DEADLINE).await {
            tracing::debug!(%error, "a buyer did not take its output");
            return;
        }
        if is_last {
            break;
        }
    }
    if let Err(error) = stream.finish().await {
        tracing::debug!(%error, "a buyer left before the end");
    }
}

/// Registers interest in buyers; before the offer names the endpoint.
///
/// # Errors
/// [`fairweir_net::NetError`].
pub fn open_desk<N: Network>(network: &N) -> Result<Incoming<N::Stream>, fairweir_net::NetError> {
    network.accept(DELIVERY, WAITING_BUYERS_MAX)
}

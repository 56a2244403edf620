//! The worker: offers services, runs what it is matched, hands outputs to buyers. It may verify others' work too.

use super::{
    Standing, bond_up_to,
    promised::{self, Offered},
    verifier::{self, LINKS_PAUSE},
};
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
    session::{AskError, Clerk, ClerkOptions, Lanes},
};
use fairweir_types::{
    Action, Address, Amount, BoundedBytes, BoundedVec, Boxed, ByteCount, ChainId, Digest, Height,
    Millis, Units,
    catalogue::{Catalogue, KnownKind, Versions},
    decode,
    limits::BLOB_BYTES_MAX,
    node_api::{BatchLeaves, DeliveryReply, DeskRequest, Refusal},
    order::{Demand, KindId, Name, Offer, PriceVector, Privacy, UnitVector},
    session::Ask,
    tx::{RegisterOffer, WithdrawOffer},
};
use futures::{StreamExt as _, future, stream::FuturesUnordered};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Buyers that may wait for their output, and that are served at the same time.
const WAITING_BUYERS_MAX: usize = 256;
const SERVED_BUYERS_MAX: usize = 1_024;
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
    known: KnownKind,
    own: Address,
    endpoint: &PeerAddr,
    options: &WorkerOptions,
) -> Result<Offer, ClientError> {
    let KnownKind { kind, versions } = known;
    let terms = options.kinds.get(&kind).cloned().unwrap_or_default();
    let price = terms.price.unwrap_or(options.price);
    Ok(Offer {
        kind,
        versions,
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

/// Bonds the stake and registers an offer for every kind of the registry that the chain's catalogue has in a version that this program knows,
/// unless they stand as wanted already; one that also verifies enrols with the key that what it may read is encrypted to, one that does not leaves the pool of verifiers. Says why the other
/// kinds are not offered.
///
/// Offers of the account that name what this program does not know, of an earlier program, are taken back first. A worker's account is one
/// program's: whatever is matched to it comes here, so an offer that is not served here is not served.
///
/// # Errors
/// [`ClientError`].
pub async fn register<N: Network>(
    sender: &Sender<N>,
    endpoint: &PeerAddr,
    registry: &Registry,
    (options, seed): (&WorkerOptions, &[u8; 32]),
) -> Result<Standing, ClientError> {
    let own = sender.key().address();
    let catalogue = sender.client().services().await?;
    let standing = Standing::of(&catalogue, registry);
    let offers = offers_left(sender, &catalogue, (registry, &standing)).await?;
    bond_up_to(sender, options.stake).await?;
    for &known in &standing.active {
        let wanted = offer(known, own, endpoint, options)?;
        if offers.get(&known.kind) != Some(&wanted) {
            sender
                .send(Action::RegisterOffer(Boxed::new(RegisterOffer {
                    offer: wanted,
                })))
                .await?;
        }
    }
    if options.verifies {
        verifier::enrol(sender, (registry, &standing), (options.owner, seed)).await?;
    } else {
        verifier::leave(sender).await?;
    }
    Ok(standing)
}

/// Withdraws the account's offers that this program cannot serve and does not replace; gives those that are left. There are offers of kinds in
/// the catalogue alone, and a retired kind stays in it.
async fn offers_left<N: Network>(
    sender: &Sender<N>,
    catalogue: &Catalogue,
    (registry, standing): (&Registry, &Standing),
) -> Result<BTreeMap<KindId, Offer>, ClientError> {
    let own = sender.key().address();
    let known = registry.known();
    let mut left = BTreeMap::new();
    for kind in catalogue.services.iter().map(|service| service.kind) {
        let Some(report) = sender.client().offer_of(own, kind).await? else {
            continue;
        };
        let versions = report.offer.versions;
        let Versions { oldest, newest } = versions;
        match promised::offer(KnownKind { kind, versions }, &known, &standing.active) {
            Offered::Stands => {}
            Offered::Replaced => {
                tracing::warn!(%kind, oldest, newest, "this program does not know all versions that the account's offer names; it is replaced");
            }
            Offered::Withdrawn => {
                tracing::warn!(%kind, oldest, newest, "this program does not know all versions that the account's offer names, nor the one in force, if any; it is withdrawn");
                let withdraw = Action::WithdrawOffer(WithdrawOffer { kind });
                sender.send(withdraw).await?;
                continue;
            }
        }
        left.insert(kind, report.offer);
    }
    Ok(left)
}

/// Registers again whenever the catalogue lets this worker do other work than before: a kind that becomes active is offered without a restart.
/// An offer for a version that ended stands, because it is matched to nothing else; one that names what this program does not know is taken back.
pub async fn keep_registered<N: Network>(
    clock: &impl Clock,
    sender: &Sender<N>,
    endpoint: &PeerAddr,
    (registry, mut standing): (&Registry, Standing),
    terms: (&WorkerOptions, &[u8; 32]),
) {
    loop {
        let next = standing
            .changed_within(clock, (sender.client(), registry), LINKS_PAUSE)
            .await;
        let registered = if next != standing {
            register(sender, endpoint, registry, terms).await
        } else if terms.0.verifies {
            let terms = (terms.0.owner, terms.1);
            let enrolled = verifier::enrol(sender, (registry, &next), terms).await;
            enrolled.map(|()| next)
        } else {
            continue;
        };
        match registered {
            Ok(next) => standing = next,
            Err(error) => {
                tracing::warn!(%error, "the offers could not be changed; it is tried again");
            }
        }
    }
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
    /// Where requests of sessions are kept until they are settled; without it a restart loses what was not claimed.
    pub sessions: Option<Arc<dyn Shelf>>,
    /// When requests of sessions are claimed.
    pub clerk: ClerkOptions,
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
    let lanes = Lanes::new(
        equipment.identity.clone(),
        equipment.chain.chain_id().clone(),
        Arc::clone(&equipment.registry),
    );
    if let Some(shelf) = equipment.sessions.clone() {
        lanes.use_shelf(shelf);
    }
    let mut clerk = Clerk::new(
        equipment.chain.clone(),
        lanes.clone(),
        Arc::clone(&equipment.blobs),
        equipment.clerk,
    );
    let counter = Counter {
        desk: worker.desk(),
        lanes,
        blobs: Arc::clone(&equipment.blobs),
        chain_id: equipment.chain.chain_id().clone(),
    };
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
            Box::pin(verifier::run(clock, equipment.clone())).await;
        } else {
            Box::pin(verifier::advocate(clock, equipment.clone())).await;
        }
        future::pending::<()>().await;
    };
    // A lane's first claim may lie far back: the ledger says since when there is something to do.
    let claims = async {
        loop {
            let error = clerk.run(clock, from).await;
            tracing::warn!(%error, "the worker's clerk lost the chain; it tries again");
            clock.sleep(RETRY_PAUSE).await;
        }
    };
    // The counter ends with the network, and with it the worker.
    let serves = serve(counter, clock, incoming);
    futures::pin_mut!(works, checks, claims, serves);
    let roles = future::select(claims, future::select(works, checks));
    future::select(serves, roles).await;
}

/// What a worker's buyers come to: the desk for orders, and the lanes for sessions.
#[derive(Clone, Debug)]
struct Counter {
    desk: Desk,
    lanes: Lanes,
    blobs: Arc<dyn Blobs>,
    chain_id: ChainId,
}

/// Serves buyers until the network closes.
async fn serve<S: FrameStream>(counter: Counter, clock: &impl Clock, mut incoming: Incoming<S>) {
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
            serving.push(hand_over(&counter, clock, stream));
            continue;
        }
        let arrival = future::select(Box::pin(incoming.next()), serving.next()).await;
        if let future::Either::Left((arrival, _)) = arrival {
            let Some((_, stream)) = arrival else { return };
            serving.push(hand_over(&counter, clock, stream));
        }
    }
}

fn refused(code: &str, reason: &str) -> DeliveryReply {
    DeliveryReply::Refused(Refusal {
        code: fairweir_types::BoundedText::truncating(code),
        reason: fairweir_types::BoundedText::truncating(reason),
    })
}

fn not_served(error: &AskError) -> DeliveryReply {
    let reason = std::error::Error::source(error)
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    refused(error.code(), &reason)
}

async fn hand_over<S: FrameStream>(counter: &Counter, clock: &impl Clock, mut stream: S) {
    let Ok(frame) = read_request(&mut stream, MESSAGE_BYTES_MAX, ANSWER_DEADLINE).await else {
        return;
    };
    let Counter { desk, lanes, .. } = counter;
    let answer = match decode::<DeskRequest>(&frame) {
        Ok(DeskRequest::Fetch(request)) => desk.deliver(&request),
        Ok(DeskRequest::Stop(signed)) => match lanes.stop(&signed) {
            Ok(slot_id) => DeliveryReply::Stopping(slot_id),
            Err(AskError::NoSuchLane) => desk.stop(&counter.chain_id, &signed),
            Err(error) => not_served(&error),
        },
        Ok(DeskRequest::Follow(request)) => match desk.follow(&request) {
            Ok(follower) => {
                hand_over_as_it_comes(follower, stream).await;
                return;
            }
            Err(refusal) => refusal,
        },
        Ok(DeskRequest::Ask(ask)) => {
            return answer_ask(counter, clock, (*ask).clone(), stream).await;
        }
        Ok(DeskRequest::Credit(credit)) => match lanes.credit(&credit) {
            Ok(slot_id) => DeliveryReply::Stopping(slot_id),
            Err(error) => not_served(&error),
        },
        Ok(DeskRequest::Leaves(request)) => match lanes.leaves(&request) {
            Ok(leaves) => DeliveryReply::Leaves(BatchLeaves {
                leaves: BoundedVec::truncating(leaves),
            }),
            Err(error) => not_served(&error),
        },
        Err(error) => refused("malformed", &error.to_string()),
    };
    if let Err(error) = reply(stream, &answer.encode(), ANSWER_DEADLINE).await {
        tracing::debug!(%error, "a buyer did not take its output");
    }
}

/// Runs one request of a session and hands over what it gives. A buyer that goes away pays for what its credit covers.
async fn answer_ask<S: FrameStream>(counter: &Counter, clock: &impl Clock, ask: Ask, stream: S) {
    let served = match counter.lanes.admit(ask) {
        Ok(served) => served,
        Err(error) => {
            let answer = not_served(&error).encode();
            if let Err(error) = reply(stream, &answer, ANSWER_DEADLINE).await {
                tracing::debug!(%error, "a buyer did not take its refusal");
            }
            return;
        }
    };
    let (running, follower) = served.start();
    let runs = running.run(&counter.lanes, counter.blobs.as_ref(), clock);
    let sends = hand_over_as_it_comes(follower, stream);
    futures::pin_mut!(runs, sends);
    match future::select(runs, sends).await {
        // The whole, or that there is none, is still to be told.
        future::Either::Left(((), sends)) => sends.await,
        future::Either::Right(((), runs)) => {
            running.abandoned(&counter.lanes);
            runs.await;
        }
    }
    running.keep(&counter.lanes);
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

//! Puts the parts together: simplex votes on digests, marshal stores and fetches blocks, `Deferred` and
//! [`crate::pacing`] stand between them and the application, glue applies finalised blocks to the store.
//!
//! Generic over the runtime (tokio or deterministic) and the network, so that simulation runs this same wiring.

use crate::{
    application::App,
    block::ChainBlock,
    config::ChainConfig,
    error::{StartError, StoreError},
    format,
    genesis::{self, BlockDigest, Finalization, Identity, Scheme},
    gossip,
    handle::{ChainHandle, Marshal},
    pacing::Paced,
    qmdb::{self, Database, NoStateSync, Roots},
    records::{Records, archive_config},
    replica::{Core, GOSSIP_QUEUE_MAX},
    state::StateCache,
    transport::{Network, Transport},
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    marshal::{
        self, Identifier,
        core::{Actor as MarshalActor, Floor},
        resolver::p2p as block_resolver,
        standard::{Deferred, Standard},
    },
    simplex::{
        self,
        config::{ForwardPolicy, SkipPolicy},
        elector::RoundRobin,
    },
    types::{Epoch, FixedEpocher, Height as ConsensusHeight, ViewDelta},
};
use commonware_cryptography::{
    Digested, Digestible as _, Sha256,
    certificate::{ConstantProvider, Verifier as _},
};
use commonware_glue::stateful::{
    Config as StatefulConfig, Mailbox as StatefulMailbox, Stateful, SyncPlan,
    db::{DatabaseSet, SyncEngineConfig},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::archive::prunable;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize, channel::mpsc};
use fairweir_ledger::{MemoryState, Writes};
use fairweir_types::{Digest, Height, limits::TX_BYTES_MAX};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use rand_core::CryptoRng;
use std::{
    fmt,
    num::{NonZeroU16, NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

const PAGE_BYTES: NonZeroU16 = NZU16!(16_384);
const PAGES: NonZeroUsize = NZUsize!(1_024);
/// The validator set never changes: one epoch for ever.
const EPOCH_LENGTH: NonZeroU64 = NZU64!(u64::MAX);
const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Views below the finalised one for which votes and candidate blocks are kept.
const VIEW_RETENTION: ViewDelta = ViewDelta::new(64);
const BUFFER: NonZeroUsize = NZUsize!(1 << 18);
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const FETCH_RETRY: Duration = Duration::from_millis(100);

/// What a runtime must offer.
pub trait Runtime: Clock + CryptoRng + Spawner + Storage + Metrics {}
impl<E: Clock + CryptoRng + Spawner + Storage + Metrics> Runtime for E {}

/// The tasks of a running chain.
pub struct ChainTasks {
    tasks: Vec<(&'static str, Handle<()>)>,
}

impl fmt::Debug for ChainTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.tasks.iter().map(|(name, _)| name))
            .finish()
    }
}

impl ChainTasks {
    /// Waits for the first task to end, which is a failure unless the runtime is stopping, and names it. The others are
    /// stopped: a chain of which a part is gone acknowledges nothing.
    pub async fn failed(self) -> &'static str {
        let mut running: FuturesUnordered<_> = self
            .tasks
            .into_iter()
            .map(|(name, task)| Named { name, task }.wait())
            .collect();
        running.next().await.unwrap_or("none")
    }

    /// Stops the tasks.
    pub fn stop(&self) {
        for (_, task) in &self.tasks {
            task.abort();
        }
    }
}

struct Named {
    name: &'static str,
    task: Handle<()>,
}

impl Named {
    async fn wait(self) -> &'static str {
        if let Err(error) = self.task.await {
            tracing::error!(task = self.name, %error, "a task of the chain ended");
        }
        self.name
    }
}

/// Bytes of one message on any channel, at most: what a network must let through.
///
/// # Errors
/// [`StartError::Genesis`].
pub fn message_bytes_max(genesis: &fairweir_types::Genesis) -> Result<u32, StartError> {
    let participants = u32::try_from(
        genesis::participants(genesis)
            .map_err(StartError::Genesis)?
            .len(),
    )
    .unwrap_or(u32::MAX);
    Ok(commonware_p2p::max_message_size(&[
        simplex::max_payload_size::<Scheme, BlockDigest>(participants),
        marshal::max_payload_size::<Standard<ChainBlock>, Scheme>(participants, &()),
        TX_BYTES_MAX,
    ]))
}

type Provider = ConstantProvider<Scheme, Epoch>;
type Stored<E, V> = prunable::Archive<commonware_storage::translator::EightCap, E, BlockDigest, V>;
type MarshalTask<E> = MarshalActor<
    E,
    Standard<ChainBlock>,
    Provider,
    Stored<E, Finalization>,
    Stored<E, Arc<ChainBlock>>,
    FixedEpocher,
    Sequential,
>;
type Plan<E> = SyncPlan<E, Scheme, Standard<ChainBlock>>;

/// What every part of the wiring needs.
struct Parts<E> {
    context: E,
    config: ChainConfig,
    scheme: Scheme,
    genesis: ChainBlock,
    genesis_writes: Writes,
    page_cache: CacheRef,
}

/// Starts a validator: opens or creates its store, replays what was not applied, and takes part in consensus.
///
/// Returns when the chain can be read and takes transactions.
///
/// # Errors
/// [`StartError`]. A store that is damaged below the level of its own checksums makes the runtime's tasks panic.
pub async fn start<E: Runtime, N: Network>(
    context: E,
    config: ChainConfig,
    transport: Transport<N>,
) -> Result<(ChainHandle, ChainTasks), StartError> {
    config.check()?;
    format::check(
        context.child("format"),
        &config.partition_prefix,
        config.genesis.digest(),
    )
    .await?;
    let parts = Parts::new::<E>(context, config)?;
    let (gossip_sender, gossip_queue) = mpsc::channel(GOSSIP_QUEUE_MAX);
    let page_cache = parts.page_cache.clone();
    let (records, records_task) = Records::start(
        parts.context.child("records"),
        &parts.config.partition_prefix,
        &page_cache,
    )
    .await?;
    let mut state = MemoryState::default();
    state.apply(&parts.genesis_writes);
    let cache = StateCache::new(
        parts.genesis.digest(),
        parts.genesis.header().clone(),
        state,
    );
    let core = Arc::new(Core::new(
        parts.config.clone(),
        cache,
        records,
        gossip_sender,
    ));
    let (engine_tasks, marshal) = parts.wire(&core, transport, gossip_queue).await?;
    let mut tasks = vec![("records", records_task)];
    tasks.extend(engine_tasks);
    Ok((ChainHandle::new(core, marshal), ChainTasks { tasks }))
}

impl<E: Runtime> Parts<E> {
    fn new<Same>(context: E, config: ChainConfig) -> Result<Self, StartError> {
        let scheme =
            genesis::signer(&config.genesis, &config.vote_key).map_err(StartError::Genesis)?;
        let empty = <Database<E> as DatabaseSet<E>>::initial_sync_targets();
        let roots = Roots {
            state: Digest::ZERO,
            ops: Digest(empty.root.0),
            range_start: *empty.range.start(),
            range_end: *empty.range.end(),
        };
        let genesis_writes =
            fairweir_ledger::genesis_writes(&config.genesis).map_err(StartError::LedgerGenesis)?;
        let genesis = ChainBlock::new(genesis::block(&config.genesis, roots))
            .expect("the genesis was checked: its first validator has an identity");
        Ok(Self {
            context,
            config,
            scheme,
            genesis,
            genesis_writes,
            page_cache: CacheRef::new(PAGE_BYTES, PAGES),
        })
    }
}

/// Block storage and execution, started.
struct Backend<E: Runtime> {
    marshal: Marshal,
    stateful: StatefulMailbox<E, App>,
    tasks: Vec<(&'static str, Handle<()>)>,
}

impl<E: Runtime> Parts<E> {
    /// Starts everything but consensus, loads the state, then starts consensus.
    async fn wire<N: Network>(
        self,
        core: &Arc<Core>,
        transport: Transport<N>,
        gossip_queue: mpsc::Receiver<fairweir_types::SignedTx>,
    ) -> Result<(Vec<(&'static str, Handle<()>)>, Marshal), StartError> {
        let Transport {
            votes,
            certificates,
            certificate_fetch,
            block_fetch,
            blocks,
            transactions,
            peers,
            blocker,
        } = transport;
        let fetch = (peers.clone(), blocker.clone(), block_fetch);
        let mut backend = self.start_backend::<N>(core, peers, fetch, blocks).await?;
        let deferred = Deferred::new(
            self.context.child("deferred"),
            backend.stateful.clone(),
            backend.marshal.clone(),
            FixedEpocher::new(EPOCH_LENGTH),
        );
        let engine = simplex::Engine::new(
            self.context.child("simplex"),
            simplex::Config {
                scheme: self.scheme.clone(),
                elector: RoundRobin::<Sha256>::default(),
                blocker,
                automaton: Paced::new(
                    self.context.child("pacing"),
                    deferred.clone(),
                    Arc::clone(core),
                ),
                relay: deferred.clone(),
                reporter: deferred,
                strategy: Sequential,
                partition: format!("{}-votes", self.config.partition_prefix),
                mailbox_size: MAILBOX,
                epoch: Epoch::zero(),
                floor: simplex::config::Floor::Genesis(self.genesis.digest()),
                replay_buffer: BUFFER,
                write_buffer: BUFFER,
                page_cache: self.page_cache.clone(),
                leader_timeout: self.config.leader_timeout(),
                certification_timeout: self.config.leader_timeout() + Duration::from_secs(1),
                timeout_retry: Duration::from_millis(500),
                view_retention: VIEW_RETENTION,
                skip: SkipPolicy::Enabled {
                    timeout: self.config.leader_timeout() + Duration::from_secs(4),
                    budget: simplex::SkipBudget::Participants,
                },
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
                forward: ForwardPolicy::Disabled,
                track_historical_votes: false,
            },
        );
        let mut tasks = std::mem::take(&mut backend.tasks);
        tasks.push((
            "votes",
            engine.start(votes, certificates, certificate_fetch),
        ));
        let (gossip_core, (sender, receiver)) = (Arc::clone(core), transactions);
        let gossip = self
            .context
            .child("gossip")
            .spawn(move |_| gossip::run(gossip_core, gossip_queue, sender, receiver));
        tasks.push(("gossip", gossip));
        Ok((tasks, backend.marshal))
    }

    async fn start_backend<N: Network>(
        &self,
        core: &Arc<Core>,
        peers: N::Peers,
        (fetch_peers, blocker, block_fetch): (N::Peers, N::Blocker, (N::Sender, N::Receiver)),
        blocks: (N::Sender, N::Receiver),
    ) -> Result<Backend<E>, StartError> {
        let resolver = block_resolver::init(
            self.context.child("block_fetch"),
            block_resolver::Config {
                public_key: core.identity.clone(),
                peer_provider: fetch_peers,
                blocker,
                mailbox_size: MAILBOX,
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
                priority_requests: false,
                priority_responses: false,
            },
            block_fetch,
        );
        let (broadcast, buffer) = buffered::Engine::<_, Identity, ChainBlock, _, _>::new(
            self.context.child("blocks"),
            buffered::Config {
                public_key: core.identity.clone(),
                mailbox_size: MAILBOX,
                deque_size: 16,
                priority: false,
                codec_config: (),
                peer_provider: peers,
                strategy: Sequential,
            },
        );
        let mut tasks = vec![("broadcast", broadcast.start(blocks))];
        let plan: Plan<E> =
            SyncPlan::init(self.context.child("plan"), &self.config.partition_prefix).await;
        let (marshal_task, marshal, floor) = self.open_marshal(&plan).await?;
        let (stateful_task, stateful) = self.stateful(core, plan, marshal.clone(), floor);
        // Asked before any block is delivered, so that it is answered before any block is executed.
        let mut databases = Box::pin({
            let stateful = stateful.clone();
            async move { stateful.subscribe_databases().await }
        });
        assert!(
            (&mut databases).now_or_never().is_none(),
            "the task that answers has not started"
        );
        tasks.push((
            "marshal",
            marshal_task.start(stateful.clone(), buffer, resolver),
        ));
        tasks.push(("execution", stateful_task.start()));
        let database = databases.await;
        self.load(core, &marshal, &database).await?;
        Ok(Backend {
            marshal,
            stateful,
            tasks,
        })
    }

    async fn open_marshal(
        &self,
        plan: &Plan<E>,
    ) -> Result<(MarshalTask<E>, Marshal, Floor), StartError> {
        let prefix = &self.config.partition_prefix;
        let certificates = prunable::Archive::init(
            self.context.child("certificates"),
            archive_config(
                prefix,
                "certificates",
                &self.page_cache,
                self.scheme.certificate_codec_config(),
            ),
        );
        let certificates = certificates.await.map_err(StoreError::new)?;
        let blocks = prunable::Archive::init(
            self.context.child("finalised_blocks"),
            archive_config(prefix, "blocks", &self.page_cache, ()),
        );
        let blocks = blocks.await.map_err(StoreError::new)?;
        let genesis = Digested::precomputed(self.genesis.clone(), self.genesis.digest());
        let config = marshal::Config {
            provider: ConstantProvider::new(self.scheme.clone()),
            epocher: FixedEpocher::new(EPOCH_LENGTH),
            start: plan.marshal_start(genesis),
            partition_prefix: format!("{prefix}-marshal"),
            mailbox_size: MAILBOX,
            view_retention: VIEW_RETENTION,
            prunable_items_per_section: NZU64!(4_096),
            page_cache: self.page_cache.clone(),
            replay_buffer: BUFFER,
            key_write_buffer: BUFFER,
            value_write_buffer: BUFFER,
            block_codec_config: (),
            max_repair: NZUsize!(32),
            max_pending_acks: NZUsize!(16),
            strategy: Sequential,
        };
        Ok(MarshalActor::init(self.context.child("marshal"), certificates, blocks, config).await)
    }

    fn stateful(
        &self,
        core: &Arc<Core>,
        plan: Plan<E>,
        marshal: Marshal,
        floor: Floor,
    ) -> (
        Stateful<E, App, Standard<ChainBlock>, NoStateSync, Sequential>,
        StatefulMailbox<E, App>,
    ) {
        Stateful::new(
            self.context.child("execution"),
            StatefulConfig {
                application: App::new(
                    Arc::clone(core),
                    self.genesis.clone(),
                    self.genesis_writes.clone(),
                ),
                db_config: qmdb::config(&self.config.partition_prefix, &self.page_cache),
                provider: (),
                marshal: (marshal, floor),
                mailbox_size: MAILBOX,
                plan,
                resolvers: NoStateSync,
                sync_config: SyncEngineConfig {
                    fetch_batch_size: NZU64!(1_024),
                    apply_batch_size: NZU64!(4_096),
                    max_outstanding_requests: NZUsize!(8),
                },
                prune_config: None,
                strategy: Sequential,
            },
        )
    }

    /// Reads the state at the block up to which the store is applied. Execution waits for this.
    async fn load(
        &self,
        core: &Core,
        marshal: &Marshal,
        database: &Database<E>,
    ) -> Result<(), StartError> {
        let height = marshal
            .get_processed()
            .await
            .map_or(0, |processed| processed.height().get());
        let mut state = MemoryState::default();
        let block = if height == 0 {
            state.apply(&self.genesis_writes);
            self.genesis.clone()
        } else {
            let found = marshal
                .get_block(Identifier::Height(ConsensusHeight::new(height)))
                .await;
            let block =
                found.ok_or_else(|| StoreError::new(format!("block {height} is missing")))?;
            state.apply(&qmdb::load(database).await.map_err(StoreError::new)?);
            block.inner().clone()
        };
        let ops_root = Digest(database.read().await.ops_root().0);
        if ops_root != block.header().state_ops_root {
            return Err(StoreError::new(format!("the state is not that of block {height}")).into());
        }
        core.show(block.header());
        core.cache
            .load(block.digest(), block.header().clone(), state);
        tracing::info!(height = %Height(height), chain = core.config.genesis.chain_id.as_str(), "chain opened");
        Ok(())
    }
}

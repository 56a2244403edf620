//! Puts the parts together: simplex votes on digests, marshal stores and fetches blocks, `Deferred` and
//! [`crate::pacing`] stand between them and the application, glue applies finalised blocks to the store.

use crate::{
    application::App,
    block::ChainBlock,
    compact,
    config::ChainConfig,
    double_votes,
    engine::{Part, Runtime},
    error::{StartError, StoreError},
    follow::{self, Source},
    format,
    genesis::{self, BlockDigest, Finalization, Identity, Scheme},
    gossip,
    handle::{ChainHandle, Marshal},
    pacing::Paced,
    qmdb::{self, Database, NoStateSync, Roots},
    records::{Records, archive_config},
    replica::{Core, GOSSIP_QUEUE_MAX},
    state::StateCache,
    submissions::{self, SUBMISSIONS_MAX},
    transport::{Channel, Network, Transport},
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporters,
    marshal::{
        self, Identifier,
        core::{Actor as MarshalActor, Floor},
        resolver::{handler, p2p as block_resolver},
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
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::archive::prunable;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize, channel::mpsc};
use fairweir_ledger::{MemoryState, Writes};
use fairweir_types::{Digest, Height};
use futures::FutureExt as _;
use std::{
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
struct Wiring<E> {
    context: E,
    config: ChainConfig,
    scheme: Scheme,
    genesis: ChainBlock,
    genesis_writes: Writes,
    page_cache: CacheRef,
}

/// An open chain.
pub(crate) struct Opened {
    /// The handle.
    pub(crate) chain: ChainHandle,
    /// The parts that run it.
    pub(crate) parts: Vec<Part>,
    /// The highest block of which anything was acknowledged before the start.
    pub(crate) acknowledged: Height,
}

/// Opens the store, loads the state and starts every part of a validator.
pub(crate) async fn open<E: Runtime, N: Network>(
    context: E,
    config: ChainConfig,
    transport: Transport<N>,
) -> Result<Opened, StartError> {
    let Prepared {
        wiring,
        core,
        gossip_queue,
        parts,
        acknowledged,
    } = prepare(context, config).await?;
    let started = wiring.start(&core, transport, gossip_queue).await?;
    Ok(opened(core, started, parts, acknowledged))
}

/// Opens the store, loads the state and starts every part of a node that follows.
pub(crate) async fn open_follower<E: Runtime, S: Source>(
    context: E,
    config: ChainConfig,
    source: S,
) -> Result<Opened, StartError> {
    let Prepared {
        wiring,
        core,
        // Nobody hears what a follower gossips: what waits in its pool is passed on.
        gossip_queue: _,
        parts,
        acknowledged,
    } = prepare(context, config).await?;
    let started = wiring.start_following(&core, source).await?;
    Ok(opened(core, started, parts, acknowledged))
}

/// What is there before a node takes part in anything.
struct Prepared<E> {
    wiring: Wiring<E>,
    core: Arc<Core>,
    gossip_queue: mpsc::Receiver<Digest>,
    parts: Vec<Part>,
    acknowledged: Height,
}

/// The parts that were started, and the way to block storage.
type Started = (Vec<Part>, Marshal);

async fn prepare<E: Runtime>(context: E, config: ChainConfig) -> Result<Prepared<E>, StartError> {
    let prefix = config.partition_prefix.clone();
    format::check(context.child("format"), &prefix, config.genesis.digest()).await?;
    let wiring = Wiring::new(context, config)?;
    let (gossip_sender, gossip_queue) = mpsc::channel(GOSSIP_QUEUE_MAX);
    let records_context = wiring.context.child("records");
    let (records, acknowledged, records_part) =
        Records::start(records_context, &prefix, &wiring.page_cache).await?;
    let mut state = MemoryState::default();
    state.apply(&wiring.genesis_writes);
    let genesis = &wiring.genesis;
    let cache = StateCache::new(genesis.digest(), genesis.header().clone(), state);
    let (sender, queue) = mpsc::channel(SUBMISSIONS_MAX);
    let config = wiring.config.clone();
    let core = Arc::new(Core::new(config, cache, records, gossip_sender, sender));
    let checking = Arc::clone(&core);
    let submissions = wiring
        .context
        .child("submissions")
        .spawn(move |rng| submissions::run(rng, checking, queue));
    Ok(Prepared {
        wiring,
        core,
        gossip_queue,
        parts: vec![("records", records_part), ("submissions", submissions)],
        acknowledged,
    })
}

fn opened(
    core: Arc<Core>,
    (started, marshal): Started,
    mut parts: Vec<Part>,
    acknowledged: Height,
) -> Opened {
    parts.extend(started);
    Opened {
        chain: ChainHandle::new(core, marshal),
        parts,
        acknowledged,
    }
}

impl<E: Runtime> Wiring<E> {
    fn new(context: E, config: ChainConfig) -> Result<Self, StartError> {
        let scheme = match &config.vote_key {
            Some(key) => genesis::signer(&config.genesis, key),
            None => genesis::verifier(&config.genesis),
        };
        let scheme = scheme.map_err(StartError::Genesis)?;
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

/// The channels on which blocks travel.
struct Exchange<N: Network> {
    peers: N::Peers,
    blocker: N::Blocker,
    block_fetch: Channel<N>,
    blocks: Channel<N>,
}

/// Block storage and execution, started.
struct Backend<E: Runtime> {
    marshal: Marshal,
    stateful: StatefulMailbox<E, App>,
    parts: Vec<Part>,
}

type Application<E> = Deferred<E, Scheme, StatefulMailbox<E, App>, ChainBlock, FixedEpocher>;
type Automaton<E> = Paced<E, Application<E>>;
type SimplexConfig<E, N> = simplex::Config<
    Scheme,
    RoundRobin<Sha256>,
    <N as Network>::Blocker,
    BlockDigest,
    Automaton<E>,
    Application<E>,
    Reporters<Application<E>, double_votes::Hears>,
    Sequential,
>;
type Execution<E> = Stateful<E, App, Standard<ChainBlock>, NoStateSync, Sequential>;

impl<E: Runtime> Wiring<E> {
    /// Starts everything but consensus, loads the state, then starts consensus.
    async fn start<N: Network>(
        self,
        core: &Arc<Core>,
        transport: Transport<N>,
        gossip_queue: mpsc::Receiver<Digest>,
    ) -> Result<Started, StartError> {
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
        let exchange = Exchange::<N> {
            peers,
            blocker: blocker.clone(),
            block_fetch,
            blocks,
        };
        let Backend {
            marshal,
            stateful,
            mut parts,
        } = self.start_exchanging(core, exchange).await?;
        let deferred = Deferred::new(
            self.context.child("deferred"),
            stateful,
            marshal.clone(),
            FixedEpocher::new(EPOCH_LENGTH),
        );
        let config: SimplexConfig<E, N> = self.simplex_config::<N>(core, deferred, blocker);
        let engine = simplex::Engine::new(self.context.child("simplex"), config);
        parts.push((
            "votes",
            engine.start(votes, certificates, certificate_fetch),
        ));
        let (gossip_core, (sender, receiver)) = (Arc::clone(core), transactions);
        let gossip = self.context.child("gossip").spawn(move |runtime| {
            gossip::run(runtime, gossip_core, gossip_queue, sender, receiver)
        });
        parts.push(("gossip", gossip));
        Ok((parts, marshal))
    }

    /// Starts block storage and execution, fed by another node, and loads the state.
    async fn start_following<S: Source>(
        self,
        core: &Arc<Core>,
        source: S,
    ) -> Result<Started, StartError> {
        let (fetcher, fetching) = follow::fetcher();
        let (receiver, handler) = handler::init(self.context.child("handler"), MAILBOX);
        let launch = |task: MarshalTask<E>, stateful: StatefulMailbox<E, App>| {
            task.start_unbuffered(stateful, (receiver, fetcher))
        };
        let Backend {
            marshal,
            stateful: _,
            mut parts,
        } = self.start_backend(core, launch).await?;
        let (fetch_source, hint_source) = (source.clone(), source.clone());
        let fetch = self
            .context
            .child("fetch")
            .spawn(move |clock| follow::fetch(clock, fetch_source, fetching, handler));
        let (hint_core, hint_marshal) = (Arc::clone(core), marshal.clone());
        let hint = self
            .context
            .child("hint")
            .spawn(move |clock| follow::hint(clock, hint_source, hint_core, hint_marshal));
        let forward_core = Arc::clone(core);
        let forward = self
            .context
            .child("forward")
            .spawn(move |clock| follow::forward(clock, source, forward_core));
        parts.extend([("fetch", fetch), ("hint", hint), ("forward", forward)]);
        Ok((parts, marshal))
    }

    fn simplex_config<N: Network>(
        &self,
        core: &Arc<Core>,
        deferred: Application<E>,
        blocker: N::Blocker,
    ) -> SimplexConfig<E, N> {
        let (leader_timeout, certification_timeout) = self.config.view_timeouts();
        simplex::Config {
            scheme: self.scheme.clone(),
            elector: RoundRobin::default(),
            blocker,
            automaton: Paced::new(
                self.context.child("pacing"),
                deferred.clone(),
                Arc::clone(core),
            ),
            relay: deferred.clone(),
            reporter: Reporters::from((deferred, double_votes::Hears(Arc::clone(core)))),
            strategy: Sequential,
            partition: format!("{}-votes", self.config.partition_prefix),
            mailbox_size: MAILBOX,
            epoch: Epoch::zero(),
            floor: simplex::config::Floor::Genesis(self.genesis.digest()),
            replay_buffer: BUFFER,
            write_buffer: BUFFER,
            page_cache: self.page_cache.clone(),
            leader_timeout,
            certification_timeout,
            timeout_retry: Duration::from_millis(500),
            view_retention: VIEW_RETENTION,
            skip: SkipPolicy::Enabled {
                timeout: certification_timeout + Duration::from_secs(3),
                budget: simplex::SkipBudget::Participants,
            },
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            forward: ForwardPolicy::Disabled,
            // A second vote may come when the first is counted already; without the first it would be no evidence.
            track_historical_votes: true,
        }
    }

    /// Starts block exchange among validators, block storage and execution, and loads the state.
    async fn start_exchanging<N: Network>(
        &self,
        core: &Arc<Core>,
        exchange: Exchange<N>,
    ) -> Result<Backend<E>, StartError> {
        let resolver = block_resolver::init(
            self.context.child("block_fetch"),
            block_resolver::Config {
                public_key: core.identity.clone(),
                peer_provider: exchange.peers.clone(),
                blocker: exchange.blocker,
                mailbox_size: MAILBOX,
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
                priority_requests: false,
                priority_responses: false,
            },
            exchange.block_fetch,
        );
        let (broadcast, buffer) = buffered::Engine::<_, Identity, ChainBlock, _, _>::new(
            self.context.child("blocks"),
            buffered::Config {
                public_key: core.identity.clone(),
                mailbox_size: MAILBOX,
                deque_size: 16,
                priority: false,
                codec_config: (),
                peer_provider: exchange.peers,
                strategy: Sequential,
            },
        );
        let blocks = compact::channel::<N>(Arc::clone(core), exchange.blocks);
        let broadcast = broadcast.start(blocks);
        let launch = |task: MarshalTask<E>, stateful: StatefulMailbox<E, App>| {
            task.start(stateful, buffer, resolver)
        };
        let mut backend = self.start_backend(core, launch).await?;
        backend.parts.push(("broadcast", broadcast));
        Ok(backend)
    }

    /// Starts block storage and execution, and loads the state. `launch` gives block storage its ways to other nodes.
    async fn start_backend(
        &self,
        core: &Arc<Core>,
        launch: impl FnOnce(MarshalTask<E>, StatefulMailbox<E, App>) -> Handle<()>,
    ) -> Result<Backend<E>, StartError> {
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
        let parts = vec![
            ("marshal", launch(marshal_task, stateful.clone())),
            ("execution", stateful_task.start()),
        ];
        let database = databases.await;
        self.load(core, &marshal, &database).await?;
        Ok(Backend {
            marshal,
            stateful,
            parts,
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
    ) -> (Execution<E>, StatefulMailbox<E, App>) {
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

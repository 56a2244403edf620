//! Puts the parts together: [`crate::consensus`] votes on digests, marshal stores and fetches blocks, `Deferred` and
//! [`crate::pacing`] stand between them and the application, glue applies finalised blocks to the store.

use crate::{
    application::App,
    blobs,
    block::ChainBlock,
    compact,
    config::ChainConfig,
    consensus::{ACKS_MAX, BUFFER, Consensus, FETCH_RETRY, FETCH_TIMEOUT, MAILBOX, VIEW_RETENTION},
    engine::{Part, Runtime},
    epochs::{Epochs, Schemes},
    error::{StartError, StoreError},
    follow::{self, Source},
    format,
    genesis::{self, BlockDigest, Finalization, Identity, Scheme},
    gossip,
    handle::{ChainHandle, Marshal},
    handovers::{self, Handovers},
    qmdb::{self, Database, Roots},
    records::{Records, archive_config},
    replica::{Core, GOSSIP_QUEUE_MAX, Ways},
    state::StateCache,
    state_server::{self, QUESTIONS_MAX, Question},
    state_sync::{self, Floor, StateSource},
    submissions::{self, SUBMISSIONS_MAX},
    transport::{Channel, Network, Transport},
};
use commonware_broadcast::buffered;
use commonware_consensus::marshal::{
    self,
    core::{Actor as MarshalActor, Floor as MarshalFloor},
    resolver::{handler, p2p as block_resolver},
    standard::{Deferred, Standard},
};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_glue::stateful::{
    Config as StatefulConfig, Mailbox as StatefulMailbox, PruneConfig, Stateful, SyncPlan,
    db::{DatabaseSet, SyncEngineConfig},
};
use commonware_macros::select;
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::archive::prunable;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize, channel::mpsc};
use fairweir_ledger::{MemoryState, Writes};
use fairweir_types::{
    Digest, Height,
    limits::{STATE_OPERATIONS_MAX, VALIDATORS_MAX},
};
use futures::FutureExt as _;
use std::{
    num::{NonZeroU16, NonZeroU64, NonZeroUsize},
    sync::Arc,
};

const PAGE_BYTES: NonZeroU16 = NZU16!(16_384);
const PAGES: NonZeroUsize = NZUsize!(1_024);
/// Operations that a copy of the state asks for at once: as many as one answer has.
const FETCH_BATCH: NonZeroU64 = match NonZeroU64::new(STATE_OPERATIONS_MAX as u64) {
    Some(batch) => batch,
    None => NonZeroU64::MIN,
};

type Stored<E, V> = prunable::Archive<commonware_storage::translator::EightCap, E, BlockDigest, V>;
type MarshalTask<E> = MarshalActor<
    E,
    Standard<ChainBlock>,
    Schemes,
    Stored<E, Finalization>,
    Stored<E, Arc<ChainBlock>>,
    Epochs,
    Sequential,
>;
/// Whether a node begins with a copy of the state.
pub(crate) type Plan<E> = SyncPlan<E, Scheme, Standard<ChainBlock>>;

/// What every part of the wiring needs.
struct Wiring<E> {
    context: E,
    config: ChainConfig,
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
    /// Whether no other node gives it blocks.
    pub(crate) is_alone: bool,
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
        questions,
        blobs: (ask_blobs, blob_questions),
        parts,
        acknowledged,
    } = prepare(context, config).await?;
    let queues = (gossip_queue, questions, blob_questions);
    let keeping = wiring.context.child("keep_handovers");
    let (started, marshal) = wiring.start(&core, transport, queues).await?;
    let chain = ChainHandle::new(core, marshal, ask_blobs);
    Ok(opened(keeping, chain, started, (parts, acknowledged)))
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
        questions,
        blobs: (ask_blobs, blob_questions),
        mut parts,
        acknowledged,
    } = prepare(context, config).await?;
    let keeping = wiring.context.child("keep_handovers");
    parts.push(blobs::ask(&wiring.context, source.clone(), blob_questions));
    let (started, marshal) = wiring.start_following(&core, source, questions).await?;
    let chain = ChainHandle::new(core, marshal, ask_blobs);
    Ok(opened(keeping, chain, started, (parts, acknowledged)))
}

/// Opens the store and loads the state, asks nobody, and takes part in nothing.
pub(crate) async fn open_alone<E: Runtime>(
    context: E,
    config: ChainConfig,
) -> Result<Opened, StartError> {
    let Prepared {
        wiring,
        core,
        gossip_queue: _,
        questions,
        blobs: (ask_blobs, _),
        mut parts,
        acknowledged,
    } = prepare(context, config).await?;
    let plan = wiring.whole_plan().await?;
    let (fetcher, unanswered) = follow::fetcher();
    let (receiver, handler) = handler::init(wiring.context.child("handler"), MAILBOX);
    let launch = |task: MarshalTask<E>, stateful: StatefulMailbox<E, App>| {
        task.start_unbuffered(stateful, (receiver, fetcher))
    };
    let start = BackendStart {
        plan,
        state: StateSource::none(),
        begun: None,
        questions,
    };
    let backend = wiring.start_backend(&core, start, launch).await?;
    parts.extend(backend.parts);
    let nobody = wiring.context.child("nobody").spawn(move |_| async move {
        // Questions for blocks of others stay open as long as the store is.
        std::future::pending::<()>().await;
        drop((unanswered, handler));
    });
    parts.push(("nobody", nobody));
    Ok(Opened {
        chain: ChainHandle::new(core, backend.marshal, ask_blobs),
        parts,
        acknowledged,
        is_alone: true,
    })
}

/// What is there before a node takes part in anything.
struct Prepared<E> {
    wiring: Wiring<E>,
    core: Arc<Core>,
    gossip_queue: mpsc::Receiver<Digest>,
    questions: mpsc::Receiver<Question>,
    blobs: blobs::Questions,
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
    let (records, ends, records_part) =
        Records::start(records_context, &prefix, wiring.files()).await?;
    let handovers_context = wiring.context.child("handovers");
    let (handovers, handovers_part) =
        Handovers::start(handovers_context, &prefix, wiring.files()).await?;
    let mut state = MemoryState::default();
    state.apply(&wiring.genesis_writes);
    let genesis = &wiring.genesis;
    let cache = StateCache::new(genesis.digest(), genesis.header().clone(), state);
    let (sender, queue) = mpsc::channel(SUBMISSIONS_MAX);
    let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
    let ways = Ways {
        gossip: gossip_sender,
        submissions: sender,
        state: ask,
    };
    let core = Arc::new(Core::new(
        wiring.config.clone(),
        cache,
        (records, handovers),
        ways,
    ));
    if let Some((first, _)) = ends {
        core.begins_at(first);
    }
    let checking = Arc::clone(&core);
    let submissions = wiring
        .context
        .child("submissions")
        .spawn(move |rng| submissions::run(rng, checking, queue));
    Ok(Prepared {
        wiring,
        core,
        gossip_queue,
        questions,
        blobs: mpsc::channel(blobs::QUESTIONS_MAX),
        parts: vec![
            ("records", records_part),
            ("handovers", handovers_part),
            ("submissions", submissions),
        ],
        acknowledged: ends.map_or(Height::ZERO, |(_, last)| last),
    })
}

fn opened<E: Runtime>(
    keeping: E,
    chain: ChainHandle,
    started: Vec<Part>,
    (mut parts, acknowledged): (Vec<Part>, Height),
) -> Opened {
    parts.extend(started);
    if chain.core().config.retain_blocks.is_some() {
        let kept_of = chain.clone();
        let keeping = keeping.spawn(move |_| async move {
            if let Err(error) = handovers::keep(kept_of).await {
                tracing::debug!(%error, "no handovers of seats are kept any more");
            }
        });
        parts.push(("handovers of seats", keeping));
    }
    Opened {
        chain,
        parts,
        acknowledged,
        is_alone: false,
    }
}

impl<E: Runtime> Wiring<E> {
    fn new(context: E, config: ChainConfig) -> Result<Self, StartError> {
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
            genesis,
            genesis_writes,
            page_cache: CacheRef::new(PAGE_BYTES, PAGES),
        })
    }
}

impl<E> Wiring<E> {
    /// How archives by height lie on the disk.
    fn files(&self) -> (&CacheRef, NonZeroU64) {
        (&self.page_cache, self.config.blocks_per_file)
    }
}

/// What the parts of a validator are asked: for transactions to tell of, parts of the state, and blobs.
type Queues = (
    mpsc::Receiver<Digest>,
    mpsc::Receiver<Question>,
    mpsc::Receiver<blobs::Question>,
);

/// The channels on which blocks travel.
struct Exchange<N: Network> {
    peers: N::Peers,
    blocker: N::Blocker,
    block_fetch: Channel<N>,
    blocks: Channel<N>,
}

/// What block storage and execution begin with.
struct BackendStart<E: Runtime> {
    plan: Plan<E>,
    /// Where the state comes from, if it is copied.
    state: StateSource,
    /// The block whose state is copied.
    begun: Option<Height>,
    /// What others ask of the state.
    questions: mpsc::Receiver<Question>,
}

/// Block storage and execution, started.
struct Backend<E: Runtime> {
    marshal: Marshal,
    stateful: StatefulMailbox<E, App>,
    parts: Vec<Part>,
}

type Execution<E> = Stateful<E, App, Standard<ChainBlock>, StateSource, Sequential>;

impl<E: Runtime> Wiring<E> {
    /// Starts everything but consensus, loads the state, then starts consensus.
    async fn start<N: Network>(
        self,
        core: &Arc<Core>,
        transport: Transport<N>,
        (gossip_queue, questions, blob_questions): Queues,
    ) -> Result<Started, StartError> {
        let Transport {
            votes,
            certificates,
            certificate_fetch,
            block_fetch,
            blocks,
            transactions,
            blobs,
            peers,
            blocker,
        } = transport;
        let peers_of_epochs = peers.clone();
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
        } = self.start_exchanging(core, exchange, questions).await?;
        core.rules.check_start(core)?;
        let application = Deferred::new(
            self.context.child("deferred"),
            stateful,
            marshal.clone(),
            core.epochs,
        );
        let consensus = Consensus::<E, N> {
            context: self.context.child("consensus"),
            core: Arc::clone(core),
            marshal: marshal.clone(),
            application,
            peers: peers_of_epochs,
            blocker,
            page_cache: self.page_cache.clone(),
            is_voting: false,
        };
        let voting = self
            .context
            .child("voting")
            .spawn(move |_| consensus.run(votes, certificates, certificate_fetch));
        parts.push(("votes", voting));
        let (gossip_core, (sender, receiver)) = (Arc::clone(core), transactions);
        let gossip = self.context.child("gossip").spawn(move |runtime| {
            gossip::run(runtime, gossip_core, gossip_queue, sender, receiver)
        });
        parts.push(("gossip", gossip));
        parts.push(blobs::exchange::<E, N>(
            &self.context,
            core,
            blobs,
            blob_questions,
        ));
        Ok((parts, marshal))
    }

    /// Starts block storage and execution, fed by another node, and loads the state.
    async fn start_following<S: Source>(
        self,
        core: &Arc<Core>,
        source: S,
        questions: mpsc::Receiver<Question>,
    ) -> Result<Started, StartError> {
        let clock = self.context.child("sync");
        let (plan, floor) = state_sync::choose(&clock, &source, core, self.plan().await).await?;
        let state = floor.as_ref().map_or_else(StateSource::none, |floor| {
            StateSource::of(clock, source.clone(), floor, core.config.progress.clone())
        });
        let begun = floor.as_ref().map(Floor::height);
        let (fetcher, fetching) = follow::fetcher();
        let (receiver, handler) = handler::init(self.context.child("handler"), MAILBOX);
        let launch = |task: MarshalTask<E>, stateful: StatefulMailbox<E, App>| {
            task.start_unbuffered(stateful, (receiver, fetcher))
        };
        let (fetch_source, hint_source) = (source.clone(), source.clone());
        // Before the rest: the block at which a copy of the state begins is got by it.
        let fetch = self
            .context
            .child("fetch")
            .spawn(move |clock| follow::fetch(clock, fetch_source, fetching, handler, floor));
        let start = BackendStart {
            plan,
            state,
            begun,
            questions,
        };
        let Backend {
            marshal,
            stateful: _,
            mut parts,
        } = self.start_backend(core, start, launch).await?;
        core.rules.check_start(core)?;
        core.config.progress.end();
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

    /// Starts block exchange among validators, block storage and execution, and loads the state.
    async fn start_exchanging<N: Network>(
        &self,
        core: &Arc<Core>,
        exchange: Exchange<N>,
        questions: mpsc::Receiver<Question>,
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
        let plan = self.whole_plan().await?;
        let start = BackendStart {
            plan,
            state: StateSource::none(),
            begun: None,
            questions,
        };
        let mut backend = self.start_backend(core, start, launch).await?;
        backend.parts.push(("broadcast", broadcast));
        Ok(backend)
    }

    async fn plan(&self) -> Plan<E> {
        SyncPlan::init(self.context.child("plan"), &self.config.partition_prefix).await
    }

    /// The plan of a store that is not half a copy.
    async fn whole_plan(&self) -> Result<Plan<E>, StartError> {
        let plan = self.plan().await;
        if plan.should_sync(false) {
            return Err(StartError::UnfinishedCopy);
        }
        Ok(plan)
    }

    /// Starts block storage and execution, and loads the state. `launch` gives block storage its ways to other nodes.
    async fn start_backend(
        &self,
        core: &Arc<Core>,
        start: BackendStart<E>,
        launch: impl FnOnce(MarshalTask<E>, StatefulMailbox<E, App>) -> Handle<()>,
    ) -> Result<Backend<E>, StartError> {
        let BackendStart {
            plan,
            state,
            begun,
            questions,
        } = start;
        let (marshal_task, marshal, floor) = self.open_marshal(core, &plan).await?;
        let execution = (plan, state.clone());
        let (stateful_task, stateful) = self.stateful(core, execution, marshal.clone(), floor);
        // Asked before any block is delivered, so that it is answered before any block is executed.
        let mut databases = Box::pin({
            let stateful = stateful.clone();
            async move { stateful.subscribe_databases().await }
        });
        assert!(
            (&mut databases).now_or_never().is_none(),
            "the task that answers has not started"
        );
        let mut storage = launch(marshal_task, stateful.clone());
        let mut execution = stateful_task.start();
        let ended = |part| StoreError::new(format!("{part} ended while it was opened"));
        let database = select! {
            // First: what ends drops the question about the state, too.
            _ = &mut storage => return Err(ended("the storage of blocks").into()),
            _ = &mut execution => return Err(ended("the execution of blocks").into()),
            database = &mut databases => database,
            () = state.given_up() => {
                let height = begun.unwrap_or(Height::ZERO);
                return Err(StartError::StateGone { height });
            },
        };
        self.load(core, &marshal, &database).await?;
        let serving = self
            .context
            .child("state_server")
            .spawn(move |_| state_server::run(database, questions));
        let parts = vec![
            ("marshal", storage),
            ("execution", execution),
            ("state", serving),
        ];
        Ok(Backend {
            marshal,
            stateful,
            parts,
        })
    }

    async fn open_marshal(
        &self,
        core: &Core,
        plan: &Plan<E>,
    ) -> Result<(MarshalTask<E>, Marshal, MarshalFloor), StartError> {
        let prefix = &self.config.partition_prefix;
        let certificates = prunable::Archive::init(
            self.context.child("certificates"),
            archive_config(
                prefix,
                "certificates",
                self.files(),
                // As many signers as any epoch has.
                VALIDATORS_MAX,
            ),
        );
        let certificates = certificates.await.map_err(StoreError::new)?;
        let blocks = prunable::Archive::init(
            self.context.child("finalised_blocks"),
            archive_config(prefix, "blocks", self.files(), ()),
        );
        let blocks = blocks.await.map_err(StoreError::new)?;
        let genesis = Digested::precomputed(self.genesis.clone(), self.genesis.digest());
        let config = marshal::Config {
            provider: core.schemes.clone(),
            epocher: core.epochs,
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
            max_pending_acks: ACKS_MAX,
            strategy: Sequential,
        };
        Ok(MarshalActor::init(self.context.child("marshal"), certificates, blocks, config).await)
    }

    fn stateful(
        &self,
        core: &Arc<Core>,
        (plan, state): (Plan<E>, StateSource),
        marshal: Marshal,
        floor: MarshalFloor,
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
                resolvers: state,
                sync_config: SyncEngineConfig {
                    fetch_batch_size: FETCH_BATCH,
                    apply_batch_size: NZU64!(4_096),
                    max_outstanding_requests: NZUsize!(8),
                },
                prune_config: self.config.retain_blocks.map(|retained| {
                    let retained = usize::try_from(retained).unwrap_or(usize::MAX);
                    PruneConfig {
                        maintenance_interval: NonZeroUsize::try_from(self.config.prune_every())
                            .unwrap_or(NonZeroUsize::MAX),
                        retained_marshal_blocks: retained,
                        // Who copies the state at a block needs the blocks after it too.
                        retained_qmdb_blocks: retained,
                    }
                }),
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
        // Of a node that copied the state and has executed nothing yet it is the block at which it began.
        let anchor = marshal.get_anchor().await;
        let anchor = anchor.filter(|(processed, _)| processed.anchor().get() > 0);
        let mut state = MemoryState::default();
        let block = if let Some((_, block)) = anchor {
            state.apply(&qmdb::load(database).await.map_err(StoreError::new)?);
            block.inner().clone()
        } else {
            state.apply(&self.genesis_writes);
            self.genesis.clone()
        };
        let height = block.header().height;
        let ops_root = Digest(database.read().await.ops_root().0);
        let root = Digest(database.read().await.root().0);
        let is_the_blocks = ops_root == block.header().state_ops_root
            && (height == Height::ZERO || root == block.header().state_root);
        if !is_the_blocks {
            return Err(StoreError::new(format!("the state is not that of block {height}")).into());
        }
        let seats = core.schemes.enter(&state);
        seats.map_err(|fault| StoreError::new(format!("the state of block {height}: {fault}")))?;
        core.show(block.header());
        core.begins_at(Height(height.get().saturating_add(1)));
        core.cache
            .load(block.digest(), block.header().clone(), state);
        tracing::info!(%height, chain = core.config.genesis.chain_id.as_str(), "chain opened");
        Ok(())
    }
}

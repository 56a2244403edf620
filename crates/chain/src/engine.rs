//! Starts a chain, and says when it ended.
//!
//! Generic over the runtime (tokio or deterministic) and the network, so that simulation runs this same wiring.

use crate::{
    blobs,
    block::ChainBlock,
    config::{ChainConfig, SyncMode},
    consensus::PARTICIPANTS_MAX,
    error::{StartError, StoreError},
    follow::Source,
    genesis::{BlockDigest, Scheme},
    gossip::GOSSIP_BYTES_MAX,
    handle::ChainHandle,
    state_sync,
    transport::{Network, Transport},
    upgrade::UpgradeStop,
    wiring::{self, Opened},
};
use commonware_consensus::{
    marshal::{self, standard::Standard},
    simplex,
};
use commonware_macros::select;
use commonware_p2p::utils::mux;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_utils::channel::oneshot;
use fairweir_types::Height;
use futures::future::select_all;
use rand_core::CryptoRng;
use std::{fmt, future::Future, pin::pin, time::Duration};

/// What a runtime must offer.
pub trait Runtime: Clock + CryptoRng + Spawner + Storage + Metrics {}
impl<E: Clock + CryptoRng + Spawner + Storage + Metrics> Runtime for E {}

/// Time within which a block that is in the store is executed when a chain is opened.
const REPLAY_WITHIN: Duration = Duration::from_secs(60);
/// Time for the parts of a chain to end before it is begun anew, or otherwise.
const BEGIN_ANEW: Duration = Duration::from_secs(1);

/// The task under which a chain runs.
pub struct ChainTask {
    root: Handle<Ended>,
}

/// How a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A part of it ended, which is a failure unless the runtime is stopping. The other parts end with it: a chain of which a part is gone acknowledges nothing.
    Part(&'static str),
    /// It goes on by rules that this program cannot follow. What was acknowledged is in the store, for the next program.
    Upgrade(UpgradeStop),
}

impl fmt::Debug for ChainTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainTask")
    }
}

impl ChainTask {
    /// Waits until the chain ends.
    pub async fn ended(self) -> Ended {
        self.root.await.unwrap_or(Ended::Part("runtime"))
    }

    /// Stops the chain at once, as a crash would: what was acknowledged is in the store.
    pub fn stop(&self) {
        self.root.abort();
    }
}

/// A part of the chain and its name.
pub(crate) type Part = (&'static str, Handle<()>);

async fn first_ended(parts: Vec<Part>) -> &'static str {
    let (names, handles): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let (ended, position, _) = select_all(handles).await;
    let name = names.get(position).copied().unwrap_or("unknown");
    match ended {
        Ok(()) => tracing::error!(part = name, "a part of the chain ended"),
        Err(error) => tracing::error!(part = name, %error, "a part of the chain failed"),
    }
    name
}

/// Waits until a chain shows what it acknowledged. False for one that no other node gives blocks to, if none came for a while: then some of its own are gone.
async fn shows(
    clock: &impl Clock,
    chain: &ChainHandle,
    acknowledged: Height,
    is_alone: bool,
) -> bool {
    let mut seen = chain.tip().height;
    // Closed only when the chain is gone, which somebody else reports.
    let mut shown = pin!(chain.wait_height(acknowledged));
    loop {
        select! {
            _ = &mut shown => return true,
            () = clock.sleep(REPLAY_WITHIN) => {},
        }
        let newest = chain.tip().height;
        if newest == seen && is_alone {
            return false;
        }
        if newest == seen {
            tracing::warn!(%newest, %acknowledged, "blocks that were here are missing: other nodes are asked for them");
        }
        seen = newest;
    }
}

/// Hands out the chain once it shows everything that it ever acknowledged, and runs until a part ends.
async fn run(
    clock: impl Clock,
    opened: Opened,
    sender: oneshot::Sender<Result<ChainHandle, StartError>>,
) -> Ended {
    let Opened {
        chain,
        parts,
        acknowledged,
        is_alone,
    } = opened;
    let mut ended = pin!(first_ended(parts));
    let asked = chain.clone();
    let mut stopped = pin!(asked.core().rules.stopped(&clock));
    select! {
        name = &mut ended => return Ended::Part(name),
        // What was acknowledged may lie before the rules that this program cannot follow, and not be replayed to its end.
        stop = &mut stopped => {
            let _ = sender.send(Err(StartError::Upgrade(stop)));
            return Ended::Upgrade(stop);
        },
        is_shown = shows(&clock, &chain, acknowledged, is_alone) => if !is_shown {
            let newest = chain.tip().height;
            let missing = StoreError::new(format!("blocks {newest} to {acknowledged} were here, and those behind the first are not there any more"));
            let _ = sender.send(Err(missing.into()));
            return Ended::Part("start");
        },
    }
    // Without a receiver nobody wants the chain, and it stops.
    if sender.send(Ok(chain)).is_err() {
        return Ended::Part("start");
    }
    select! {
        name = &mut ended => Ended::Part(name),
        stop = &mut stopped => Ended::Upgrade(stop),
    }
}

/// Starts a validator or a candidate: opens or creates its store, replays what was not applied, and takes part in consensus while it has a seat.
///
/// Returns when the chain shows everything that it acknowledged before, and takes transactions.
///
/// # Errors
/// [`StartError`]. A store that is damaged below the level of its own checksums makes the runtime's tasks panic.
pub async fn start<E: Runtime, N: Network>(
    context: E,
    config: ChainConfig,
    transport: Transport<N>,
) -> Result<(ChainHandle, ChainTask), StartError> {
    config.check()?;
    if config.vote_key.is_none() {
        return Err(StartError::NotAValidator);
    }
    run_opened(context, |context| wiring::open(context, config, transport)).await
}

/// Starts a node that follows another: opens or creates its store, replays what was not applied, and takes final blocks from
/// the source; if the store is empty it may copy the state first ([`crate::SyncMode`]). It has no vote; transactions given to it are passed on.
///
/// Returns when the chain shows everything that it acknowledged before.
///
/// # Errors
/// [`StartError`], as for [`start`].
pub async fn follow<E: Runtime, S: Source>(
    context: E,
    mut config: ChainConfig,
    source: S,
) -> Result<(ChainHandle, ChainTask), StartError> {
    config.vote_key = None;
    config.check()?;
    loop {
        let (again, source) = (config.clone(), source.clone());
        let opened = run_opened(context.child("node"), |context| {
            wiring::open_follower(context, again, source)
        });
        match opened.await {
            Err(error @ StartError::StateGone { .. }) => {
                tracing::warn!(%error, "the state of a newer block is copied");
                context.sleep(BEGIN_ANEW).await;
            }
            opened => return opened,
        }
    }
}

/// Copies the state of other nodes into the empty store of a validator or candidate, which starts on it afterwards ([`start`]). Does nothing where the store has a state;
/// a copy that was begun goes on. Whoever copied executes what comes after, and takes part as any other.
///
/// # Errors
/// [`StartError`], as for [`follow`].
pub async fn copy_state<E: Runtime, S: Source>(
    context: E,
    mut config: ChainConfig,
    source: S,
) -> Result<(), StartError> {
    config.sync = SyncMode::State;
    if !state_sync::is_missing(&context, &config).await {
        return Ok(());
    }
    let (_, task) = follow(context.child("copy"), config, source).await?;
    task.stop();
    // It was stopped, so how it ended says nothing; rules that this program cannot follow are told by the start behind this.
    let _ = task.ended().await;
    context.sleep(BEGIN_ANEW).await;
    Ok(())
}

/// Opens the store of a node that does not run, to read what it holds: it asks nobody, votes for nothing, and takes no transactions anywhere. Also under rules that this program
/// cannot follow.
///
/// Returns when the chain shows everything that it acknowledged before.
///
/// # Errors
/// [`StartError`], as for [`start`]; [`StartError::UnfinishedCopy`] where a part of a copied state lies.
pub async fn open<E: Runtime>(
    context: E,
    mut config: ChainConfig,
) -> Result<(ChainHandle, ChainTask), StartError> {
    config.vote_key = None;
    config.check()?;
    run_opened(context, |context| wiring::open_alone(context, config)).await
}

async fn run_opened<E, F, O>(context: E, open: F) -> Result<(ChainHandle, ChainTask), StartError>
where
    E: Runtime,
    F: FnOnce(E) -> O + Send + 'static,
    O: Future<Output = Result<Opened, StartError>> + Send,
{
    let (sender, receiver) = oneshot::channel();
    // Parts are children of this task, so they end with it.
    let root = context.spawn(move |context| async move {
        let clock = context.child("clock");
        match Box::pin(open(context)).await {
            Ok(opened) => run(clock, opened, sender).await,
            Err(error) => {
                // The receiver may be gone; then nobody asks why.
                let _ = sender.send(Err(error));
                Ended::Part("start")
            }
        }
    });
    let chain = receiver.await.map_err(|_| StartError::Stopped)??;
    Ok((chain, ChainTask { root }))
}

/// Bytes of one message on any channel, at most: what a network must let through.
///
/// # Errors
/// [`StartError::Genesis`].
pub fn message_bytes_max(genesis: &fairweir_types::Genesis) -> Result<u32, StartError> {
    genesis.check().map_err(StartError::Genesis)?;
    let participants = PARTICIPANTS_MAX;
    Ok(commonware_p2p::max_message_size(&[
        mux::prefixed(simplex::max_payload_size::<Scheme, BlockDigest>(
            participants,
        )),
        marshal::max_payload_size::<Standard<ChainBlock>, Scheme>(participants, &()),
        GOSSIP_BYTES_MAX,
        blobs::MESSAGE_BYTES_MAX,
    ]))
}

//! A whole network on one thread, in virtual time.

use crate::{
    Actor, Audit, Buyer, Part, Plan, Story,
    plan::{buyer_name, coins, key, seed_of, vote_key},
};
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use fairweir_chain::{ChainConfig, ChainHandle};
use fairweir_net::{
    Network as _, PeerId,
    memory::{Hub, MemoryNetwork},
};
use fairweir_node::{
    BlobStore,
    network::names,
    roles::{validator, worker::WorkerOptions},
};
use fairweir_types::{Genesis, Height};
use futures::future::join_all;
use std::{fmt, future::Future, time::Duration};

/// Virtual time that a story may take: an hour. A story that hangs is a failure, not a wait.
const STORY_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of blobs that the node keeps.
const BLOB_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// The runtime of a simulation.
pub type Context = deterministic::Context;

/// Runs a story under the deterministic runtime: the same seed gives the same run.
pub fn play<F: Future>(seed: u64, story: impl FnOnce(Context) -> F) -> F::Output {
    deterministic::Runner::new(config(seed)).start(story)
}

/// How the runtime of a story is set up.
#[must_use]
pub fn config(seed: u64) -> deterministic::Config {
    deterministic::Config::new()
        .with_seed(seed)
        .with_timeout(Some(STORY_MAX))
}

/// The peer of a name.
#[must_use]
pub fn peer(name: &str) -> PeerId {
    PeerId::new(seed_of(name))
}

/// A running network. It must be dropped before its story ends, and so must everything it hands out.
pub struct World {
    context: Context,
    plan: Plan,
    genesis: Genesis,
    hub: Hub<Context>,
    node: MemoryNetwork<Context>,
    chain: ChainHandle,
    audit: Audit,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("plan", &self.plan)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Boots a network, or the next life of one whose disk the runtime still has: validator, node, workers, verifiers. Returns
    /// when all of them are registered.
    ///
    /// # Panics
    /// If it does not start: then no story can be told.
    pub async fn boot(context: &Context, plan: &Plan) -> Self {
        let world = Self::boot_node(context, plan).await;
        let starting = plan
            .parts()
            .map(|(name, part)| world.start(name, part));
        join_all(starting).await;
        world
    }

    /// Boots the validator and its node alone.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn boot_node(context: &Context, plan: &Plan) -> Self {
        let genesis = plan.genesis();
        let hub = Hub::new(context.child("net"), plan.seed);
        let node = hub
            .join(peer(names::NODE))
            .expect("the node is the first to join");
        let config = ChainConfig::new(genesis.clone(), key(names::VALIDATOR), vote_key());
        let blobs = BlobStore::in_memory(BLOB_BYTES_MAX);
        let starting =
            validator::start_alone(context.child("validator"), config, &node, blobs);
        let (chain, _task) = Box::pin(starting).await.expect("the validator starts");
        let audit = Audit::new(genesis.clone());
        audit.follow(context.child("audit"), &chain);
        chain
            .wait_height(Height(1))
            .await
            .expect("the chain runs");
        Self {
            context: context.child("world"),
            plan: plan.clone(),
            genesis,
            hub,
            node,
            chain,
            audit,
        }
    }

    async fn start(&self, name: String, part: Part) {
        let is_worker = self.plan.workers.len() >= 1 && name.starts_with("worker");
        let context = self.context.child("actor");
        let network = self.join(&name);
        let actor = Actor::new(
            (key(&name), seed_of(&name)),
            network,
            self.node.local_addr(),
            self.genesis.chain_id.clone(),
            Height::ZERO,
        );
        let twist = part.behaviour.map(|behaviour| behaviour.twist());
        let stake = coins(part.stake_coins);
        let started = if is_worker {
            let price = fairweir_types::Amount::from_base_units(
                part.price_hundredths * fairweir_types::Amount::COIN_BASE_UNITS / 100,
            )
            .expect("a price below the cap");
            let options = WorkerOptions {
                price,
                stake,
                ..WorkerOptions::default()
            };
            actor.work(context, options, twist).await
        } else {
            actor.verify(context, stake, twist).await
        };
        started.expect("the actor registers");
    }

    fn join(&self, name: &str) -> MemoryNetwork<Context> {
        self.hub
            .join(peer(name))
            .expect("everybody joins once in a life")
    }

    /// A buyer by number, from 1; each once.
    #[must_use]
    pub fn buyer(&self, number: usize) -> Buyer<MemoryNetwork<Context>> {
        let name = buyer_name(number);
        Buyer::new(
            key(&name),
            self.join(&name),
            self.node.local_addr(),
            self.genesis.clone(),
        )
    }

    /// Its clock.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Its links.
    #[must_use]
    pub const fn hub(&self) -> &Hub<Context> {
        &self.hub
    }

    /// Its chain.
    #[must_use]
    pub const fn chain(&self) -> &ChainHandle {
        &self.chain
    }

    /// What happened so far, audited.
    pub async fn story(&self) -> Story {
        self.audit.catch_up(&self.context, &self.chain).await
    }

    /// Ends the story: every order is closed, no honest participant lost stake, and the chain's state is what its blocks
    /// make.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub async fn end(self) -> Story {
        let story = self.story().await;
        assert_eq!(story.open_orders(), Vec::new(), "every order is closed");
        assert_eq!(self.audit.open_orders(), 0, "no order is open");
        let honest = self.plan.honest_accounts();
        let lost = story
            .slashes()
            .find(|slashed| honest.contains(&slashed.account));
        assert_eq!(lost, None, "no honest participant is slashed");
        story
    }
}

//! A whole network on one thread, in virtual time.

use crate::{
    Actor, Audit, Buyer, Part, Plan, Story,
    byzantine::{Role, Twist},
    plan::{ACCOUNT_BALANCE, buyer_name, key, seed_of, vote_key},
};
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use fairweir_chain::{ChainConfig, ChainHandle};
use fairweir_ledger::report;
use fairweir_net::{
    Network as _, PeerAddr, PeerId,
    memory::{Hub, Link, MemoryNetwork},
};
use fairweir_node::{
    BlobStore,
    network::names,
    roles::{validator, worker::WorkerOptions},
};
use fairweir_services::{
    Registry,
    inference::{
        Models,
        testing::{TinyModels, tiny_chat_file},
    },
};
use fairweir_types::{
    Address, Amount, Genesis, Height, event::SlashReason, node_api::AccountReport,
};
use futures::future::join_all;
use std::{
    fmt,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Virtual time that a story may take: an hour. A story that hangs is a failure, not a wait.
const STORY_MAX: Duration = Duration::from_secs(3_600);
/// Virtual time for a story at default parameters: some challenge windows of an hour.
const LONG_STORY_MAX: Duration = Duration::from_secs(6 * 3_600);
/// Bytes of blobs that the node keeps.
const BLOB_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// The runtime of a simulation.
pub(crate) type Context = deterministic::Context;

/// Runs a story under the deterministic runtime: the same seed gives the same run.
pub fn play<F: Future>(seed: u64, story: impl FnOnce(Context) -> F) -> F::Output {
    deterministic::Runner::new(config(seed)).start(story)
}

/// The same for a story with the windows of default parameters, which are longer than a story otherwise may take.
pub(crate) fn play_long<F: Future>(seed: u64, story: impl FnOnce(Context) -> F) -> F::Output {
    deterministic::Runner::new(config(seed).with_timeout(Some(LONG_STORY_MAX))).start(story)
}

/// How the runtime of a story is set up.
pub(crate) fn config(seed: u64) -> deterministic::Config {
    deterministic::Config::new()
        .with_seed(seed)
        .with_timeout(Some(STORY_MAX))
}

/// The kinds with the tiny models; for a cheat, with what it runs in their place.
pub(crate) fn tiny_registry(twist: Option<&dyn Twist>) -> Registry {
    static HONEST: OnceLock<Arc<TinyModels>> = OnceLock::new();
    let other = twist.and_then(|twist| twist.model_file(&tiny_chat_file(1)));
    let models: Arc<dyn Models> = match other {
        Some(file) => TinyModels::with_chat(&file),
        None => Arc::<TinyModels>::clone(HONEST.get_or_init(TinyModels::load)),
    };
    Registry::with_models(&models)
}

/// The peer of a name.
pub(crate) fn peer(name: &str) -> PeerId {
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
            .map(|(name, role, part)| world.start(name, role, part));
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
        let blobs = BlobStore::in_memory(4 * BLOB_BYTES_MAX);
        let starting = validator::start_alone(context.child("validator"), config, &node, blobs);
        let (chain, _task) = Box::pin(starting).await.expect("the validator starts");
        let audit = Audit::new(genesis.clone());
        audit.follow(context.child("audit"), &chain);
        chain.wait_height(Height(1)).await.expect("the chain runs");
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

    async fn start(&self, name: String, role: Role, part: Part) {
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
        let actor = if self.plan.models {
            actor.serving(tiny_registry(None), tiny_registry(twist.as_deref()))
        } else {
            actor
        };
        let stake = part.stake;
        let started = if role == Role::Worker {
            let options = WorkerOptions {
                price: part.price,
                stake,
                ..WorkerOptions::default()
            };
            actor.work(context, options, twist).await
        } else {
            actor.verify(context, stake, twist).await
        };
        started.expect("the actor registers");
    }

    /// A place in the network for a name.
    pub(crate) fn join(&self, name: &str) -> MemoryNetwork<Context> {
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

    /// Where its node is reached.
    pub(crate) fn node_addr(&self) -> PeerAddr {
        self.node.local_addr()
    }

    /// Its clock.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    fn people(&self) -> impl Iterator<Item = String> {
        let buyers = (1..=self.plan.buyers).map(buyer_name);
        self.plan.parts().map(|(name, ..)| name).chain(buyers)
    }

    /// Makes every link, both ways, from now on like this one.
    pub fn degrade(&self, link: Link) {
        let peers: Vec<_> = self
            .people()
            .chain([names::NODE.to_owned()])
            .map(|name| peer(&name))
            .collect();
        for from in &peers {
            for to in peers.iter().filter(|to| *to != from) {
                self.hub.set_link(*from, *to, link);
            }
        }
    }

    /// Cuts somebody off from the node, both ways.
    pub fn cut(&self, name: &str) {
        self.hub.cut(peer(name), peer(names::NODE));
        self.hub.cut(peer(names::NODE), peer(name));
    }

    /// Undoes [`World::cut`].
    pub fn restore(&self, name: &str) {
        self.hub.restore(peer(name), peer(names::NODE));
        self.hub.restore(peer(names::NODE), peer(name));
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

    /// The bonded stake of an account.
    ///
    /// # Panics
    /// If the state does not read.
    #[must_use]
    pub fn bonded(&self, account: Address) -> Amount {
        self.report(account).bonded
    }

    fn report(&self, account: Address) -> AccountReport {
        let report = self.chain.read(|state| report::account(state, account));
        report.expect("the state reads")
    }

    /// Ends the story: every order is closed, no honest participant lost stake, every buyer's bill adds up to the base unit,
    /// and the chain's state is what its blocks make.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub async fn end(self) -> Story {
        self.end_excusing(&[]).await
    }

    /// The same, but honest participants may have lost stake for these reasons: nobody can tell a dead link from a
    /// participant that keeps silent.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub async fn end_excusing(self, reasons: &[SlashReason]) -> Story {
        let story = self.story().await;
        assert_eq!(story.open_orders(), Vec::new(), "every order is closed");
        assert_eq!(self.audit.open_orders(), 0, "no order is open");
        for (name, _, part) in self.plan.parts() {
            let account = key(&name).address();
            if part.behaviour.is_some() {
                continue;
            }
            let lost: Vec<_> = story.slashes_of(account).collect();
            let unexcused = lost
                .iter()
                .find(|slashed| !reasons.contains(&slashed.reason));
            assert_eq!(unexcused, None, "{name} is honest and is not slashed");
            if lost.is_empty() {
                assert_eq!(self.bonded(account), part.stake, "the stake of {name}");
            }
        }
        for number in 1..=self.plan.buyers {
            let account = key(&buyer_name(number)).address();
            let expected = story
                .balance_of_buyer(account, ACCOUNT_BALANCE)
                .expect("no buyer pays what it does not have");
            let report = self.report(account);
            // What a buyer bonds to vote with is still its own.
            let found = report.balance.checked_add(report.bonded);
            assert_eq!(found, Ok(expected), "the bill of buyer {number}");
        }
        story
    }
}

//! Validators over simulated links, which can be stopped and cut.

use super::{
    Broken, Byzantine, Change, Faults, Seats,
    clock::WrongClock,
    disk::{Disk, Machine},
    liars::{Censor, Forger, Lies},
    links::{Echo, Faulty, Links},
    newcomer::{Joined, Newcomer},
};
use crate::validators::{Keys, genesis};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Config, Link, Network, Oracle};
use commonware_runtime::{Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZU32, NZU64, NZUsize, Probability};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, SimulatedMachine, StartError, message_bytes_max, start,
    testing::{Dishonest, vote_twice},
    transport::{self, Simulated, Transport},
};
use fairweir_ledger::{Fault, candidates, params};
use fairweir_net::memory;
use fairweir_node::roles::candidate::say_ready;
use fairweir_types::{
    Action, Amount, BoundedVec, Boxed, Bps, Genesis, GenesisAccount, Height, Nonce, SecretKey,
    Transaction, genesis::GenesisParam, keys::VoteSecretKey, tx::RegisterCandidate,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The chain of all stories.
pub(super) const CHAIN: &str = "dev-faults";
/// The longest time between blocks.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
/// Accounts that send.
pub(super) const SENDERS: u8 = 3;
/// Blocks of an epoch where epochs are short.
const EPOCH: u64 = 12;
/// Turns that each validator has in an epoch where silence is judged, and epochs of a jail, which are over within a story.
const JAIL_TURNS: u64 = 8;
const JAIL: u64 = 1;
/// Blocks that who keeps the newest ones only forgets at once, and after how many it looks for them.
const FORGETS_AT_ONCE: NonZeroU64 = NZU64!(8);
const FORGETS_EVERY: NonZeroU32 = NZU32!(8);
const COIN: u64 = 1_000_000_000;
const FEE: u64 = 10_000_000;
/// How much the clock of one half of a validator that is two is ahead of the other's, in milliseconds: their blocks differ at least by that.
const TWIN_AHEAD_MS: i64 = 7;
/// How much later than others a message may come while links are bad, in milliseconds.
const DISORDER_MS: u64 = 150;

/// Accounts that only hold money where a node joins, so that its copy of the state comes in several parts.
const HOLDERS: u16 = 600;

type Running = BTreeMap<usize, ChainHandle>;

/// Those that run now, for whoever sends to them.
#[derive(Clone, Default)]
pub(super) struct Directory(Arc<Mutex<Running>>);

impl Directory {
    pub(super) fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes epochs short, lets few coins do for a seat, and gives some to every validator.
fn shorten(genesis: &mut Genesis, keys: &[Keys], seats: Seats) {
    let validators = u64::try_from(keys.len()).expect("few validators");
    let epoch = match seats {
        Seats::MoveAndJail => JAIL_TURNS * validators,
        Seats::Stay | Seats::StayOverEpochs | Seats::Move => EPOCH,
    };
    let value = |name, value| GenesisParam {
        param: params::number_of(name).expect("a governed value"),
        value,
    };
    let mut values = vec![
        value("epoch_blocks", epoch),
        value("jail_epochs", JAIL),
        value("candidate_stake_min", COIN),
        value("seats_stake_min", COIN),
        value("seats_min", 2),
    ];
    values.sort_unstable_by_key(|value| value.param);
    genesis.params = BoundedVec::truncating(values);
    let mut accounts = genesis.accounts.as_slice().to_vec();
    accounts.extend(keys.iter().map(|keys| GenesisAccount {
        address: keys.identity.address(),
        balance: Amount::from_coins(100).expect("a number of coins"),
    }));
    accounts.sort_by_key(|account| account.address);
    genesis.accounts = BoundedVec::truncating(accounts);
    genesis.check().expect("a genesis");
}

/// Gives some coins to many.
fn enlarge(genesis: &mut Genesis) {
    let mut accounts = genesis.accounts.as_slice().to_vec();
    accounts.extend((0..HOLDERS).map(|number| {
        let mut seed = [250; 32];
        seed[..2].copy_from_slice(&number.to_be_bytes());
        GenesisAccount {
            address: SecretKey::from_seed(seed)
                .expect("this seed is a key")
                .address(),
            balance: Amount::from_coins(1).expect("a number of coins"),
        }
    }));
    accounts.sort_by_key(|account| account.address);
    genesis.accounts = BoundedVec::truncating(accounts);
    genesis.check().expect("a genesis");
}

/// Makes a validator a candidate if it is none, and says in every epoch that it is there, until it stops.
async fn stand(
    clock: WrongClock,
    chain: ChainHandle,
    identity: SecretKey,
    vote_key: VoteSecretKey,
) {
    let peer = SocketAddr::from(([127, 0, 0, 1], 7_641));
    let account = identity.address();
    while let Ok(None) = chain.read(|state| candidates::candidate(state, account)) {
        let transaction = Transaction {
            chain_id: chain.genesis().chain_id.clone(),
            sender: identity.account_key(),
            nonce: Nonce::ZERO,
            fee: Amount::from_base_units(FEE).expect("a fee"),
            expiry: Height(100_000),
            action: Action::RegisterCandidate(Boxed::new(RegisterCandidate::sign(
                (chain.genesis().digest(), account),
                (&identity, &vote_key),
                (Bps::ZERO, Amount::from_coins(20).expect("coins"), peer),
            ))),
        };
        // It may wait already; and after a crash it has to be told again.
        let _ = chain.submit(transaction.sign(&identity));
        if chain
            .wait_height(Height(chain.tip().height.get() + 2))
            .await
            .is_err()
        {
            return;
        }
    }
    say_ready(clock, chain, identity.clone(), vec![identity]).await;
}

/// How often faults did something that the chain shows nothing of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Blocks that were made invalid, and looks at a transaction that was left out.
    pub lies: u64,
    /// Messages that came twice.
    pub echoes: u64,
    /// Writes that waited for a slow disk.
    pub waits: u64,
}

/// The validators of a story.
pub(super) struct Cluster {
    context: deterministic::Context,
    oracle: Oracle<PublicKey, deterministic::Context>,
    genesis: Genesis,
    keys: Vec<Keys>,
    faults: Faults,
    tasks: BTreeMap<usize, ChainTask>,
    directory: Directory,
    lives: u64,
    /// How many faults keep each validator down, each pair apart.
    down: BTreeMap<usize, usize>,
    cut: BTreeMap<(usize, usize), usize>,
    loss: Vec<u64>,
    disks: Vec<Disk>,
    echo: Echo,
    lies: Lies,
    /// Liars that run whole chains.
    liars: Vec<ChainTask>,
    /// Who joins, with the nodes that it asks.
    newcomer: Option<Newcomer>,
    /// Whether it was time for it to come.
    has_come: bool,
}

impl Cluster {
    /// Starts all validators, over whole links.
    pub(super) async fn start(
        context: &deterministic::Context,
        faults: &Faults,
    ) -> Result<Self, Broken> {
        let validators = u8::try_from(faults.validators).expect("seven validators at most");
        let (mut genesis, keys) = genesis(CHAIN, validators, SENDERS);
        if faults.seats != Seats::Stay {
            shorten(&mut genesis, &keys, faults.seats);
        }
        if faults.joiner.is_some() {
            enlarge(&mut genesis);
        }
        let identities: Vec<_> = keys.iter().map(Keys::public).collect();
        let p2p = Config {
            max_size: message_bytes_max(&genesis).expect("the genesis was checked"),
            max_peers_per_set: NZUsize!(8),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            Network::new_with_peers(context.child("network"), p2p, identities).await;
        network.start();
        let mut cluster = Self {
            context: context.child("cluster"),
            oracle,
            genesis,
            keys,
            faults: faults.clone(),
            tasks: BTreeMap::new(),
            directory: Directory::default(),
            lives: 0,
            down: BTreeMap::new(),
            cut: BTreeMap::new(),
            loss: Vec::new(),
            // One more, for who joins.
            disks: (0..=faults.validators).map(|_| Disk::default()).collect(),
            echo: Echo::default(),
            lies: Lies::default(),
            liars: Vec::new(),
            newcomer: None,
            has_come: false,
        };
        if let Some(joiner) = &faults.joiner {
            cluster.newcomer = Some(Newcomer::new(context, faults, joiner));
        }
        cluster.link().await;
        for validator in 0..faults.honest() {
            cluster.run(validator).await?;
        }
        for (number, byzantine) in faults.byzantine.iter().enumerate() {
            Box::pin(cluster.lie(faults.honest() + number, byzantine)).await?;
        }
        Ok(cluster)
    }

    pub(super) fn directory(&self) -> Directory {
        self.directory.clone()
    }

    pub(super) fn running(&self) -> Vec<(usize, ChainHandle)> {
        let running = self.directory.lock();
        running
            .iter()
            .map(|(n, chain)| (*n, chain.clone()))
            .collect()
    }

    /// The same, with the node that joined if it shows its chain.
    pub(super) fn showing(&self) -> Result<Vec<(usize, ChainHandle)>, Broken> {
        let mut showing = self.running();
        showing.extend(self.newcomer()?);
        Ok(showing)
    }

    /// The node that joined, if it shows its chain.
    pub(super) fn newcomer(&self) -> Result<Option<(usize, ChainHandle)>, Broken> {
        match &self.newcomer {
            Some(newcomer) => newcomer.chain(),
            None => Ok(None),
        }
    }

    /// How many validators there are; who joins has the number after theirs.
    pub(super) const fn validators(&self) -> usize {
        self.faults.validators
    }

    /// Whether a node joins in this story.
    pub(super) const fn joins(&self) -> bool {
        self.newcomer.is_some()
    }

    /// How it got on.
    pub(super) fn joined(&self) -> Result<Option<Joined>, Broken> {
        match &self.newcomer {
            Some(newcomer) => newcomer.joined(),
            None => Ok(None),
        }
    }

    /// The height of each honest validator; 0 of one that is down.
    pub(super) fn heights(&self) -> Vec<u64> {
        let running = self.directory.lock();
        let height = |number| {
            running
                .get(&number)
                .map_or(0, |chain: &ChainHandle| chain.tip().height.get())
        };
        (0..self.faults.honest()).map(height).collect()
    }

    /// Validators that keep the rules: the first so many.
    pub(super) const fn honest(&self) -> usize {
        self.faults.honest()
    }

    pub(super) fn highest(&self) -> Height {
        Height(self.heights().into_iter().max().unwrap_or_default())
    }

    /// The epoch since which the same validators have the seats; zero if they never moved.
    pub(super) fn seats_since(&self) -> u64 {
        let running = self.directory.lock();
        let since =
            |chain: &ChainHandle| chain.read(candidates::epoch).map_or(0, |epoch| epoch.since);
        running.values().map(since).max().unwrap_or_default()
    }

    /// Who was jailed.
    pub(super) fn jailed(&self) -> Result<BTreeSet<usize>, Broken> {
        let mut jailed = BTreeSet::new();
        for (validator, chain) in self.running() {
            let broken = |what: Fault| Broken::State {
                validator,
                what: what.to_string(),
            };
            for (number, keys) in self.keys.iter().enumerate() {
                let account = keys.identity.address();
                let found = chain.read(|state| candidates::candidate(state, account));
                let jail = found.map_err(broken)?.and_then(|found| found.jail);
                jailed.extend(jail.map(|_| number));
            }
        }
        Ok(jailed)
    }

    pub(super) fn lowest(&self) -> Height {
        Height(self.heights().into_iter().min().unwrap_or_default())
    }

    /// Something breaks, or is whole again.
    pub(super) async fn change(&mut self, change: &Change) -> Result<(), Broken> {
        match change {
            Change::Stop(validator) => {
                *self.down.entry(*validator).or_default() += 1;
                self.crash(*validator).await;
            }
            Change::Start(validator) => {
                let down = self.down.entry(*validator).or_default();
                *down = down.saturating_sub(1);
                if *down == 0 {
                    self.run(*validator).await?;
                }
            }
            Change::Cut(pairs) => {
                for pair in pairs {
                    *self.cut.entry(*pair).or_default() += 1;
                }
                self.link().await;
            }
            Change::Join(pairs) => {
                for pair in pairs {
                    let cut = self.cut.entry(*pair).or_default();
                    *cut = cut.saturating_sub(1);
                }
                self.link().await;
            }
            Change::Lossy(hundredths) => {
                self.loss.push(*hundredths);
                self.link().await;
            }
            Change::Lossless(hundredths) => {
                let at = self.loss.iter().position(|loss| loss == hundredths);
                at.map(|at| self.loss.remove(at));
                self.link().await;
            }
            Change::Echo(hundredths) => self.echo.more(*hundredths),
            Change::NoEcho(hundredths) => self.echo.fewer(*hundredths),
            Change::SlowDisk(validator, by_ms) => self.disks[*validator].slow_down(*by_ms),
            Change::QuickDisk(validator, by_ms) => self.disks[*validator].speed_up(*by_ms),
            Change::Come => {
                self.has_come = true;
                self.start_newcomer();
            }
        }
        Ok(())
    }

    /// Everything is whole.
    pub(super) async fn heal(&mut self) -> Result<(), Broken> {
        self.down.clear();
        self.cut.clear();
        self.loss.clear();
        self.echo.mend();
        self.disks.iter().for_each(Disk::mend);
        self.link().await;
        for validator in 0..self.faults.honest() {
            self.run(validator).await?;
        }
        self.start_newcomer();
        Ok(())
    }

    /// Starts who joins, if it is time and it does not run.
    fn start_newcomer(&mut self) {
        let number = self.faults.validators;
        let is_down = self.down.get(&number).is_some_and(|faults| *faults > 0);
        if let Some(newcomer) = self.newcomer.as_mut()
            && self.has_come
            && !is_down
        {
            newcomer.start(&self.genesis, self.disks[number].clone());
        }
    }

    /// Starts a validator that does not run, or who joins.
    async fn run(&mut self, validator: usize) -> Result<(), Broken> {
        if validator == self.faults.validators {
            self.start_newcomer();
            return Ok(());
        }
        if self.tasks.contains_key(&validator) {
            return Ok(());
        }
        let links = self.links();
        let transport = links.whole(self.channels(validator).await);
        let skew_ms = self.faults.skews_ms[validator];
        let name = format!("validator-{validator}");
        let (chain, task) = self
            .start_chain(validator, name, skew_ms, None, transport)
            .await?;
        let keys = &self.keys[validator];
        if self.faults.seats.is_moving() {
            let (identity, vote_key) = (keys.identity.clone(), keys.vote_key.clone());
            let standing = chain.clone();
            self.context
                .child("candidate")
                .with_attribute("life", self.lives)
                .spawn(move |context| {
                    // Whose clock is wrong by much does not say that it is there, or it would be among fewer seats.
                    let clock = WrongClock::new(context, skew_ms);
                    stand(clock, standing, identity, vote_key)
                });
        }
        if let Some(newcomer) = self.newcomer.as_mut() {
            newcomer.open_door(validator, &chain);
        }
        self.tasks.insert(validator, task);
        self.directory.lock().insert(validator, chain);
        Ok(())
    }

    /// Ends a validator at once: what its store did not sync is gone.
    async fn crash(&mut self, validator: usize) {
        if let Some(newcomer) = self.newcomer.as_mut() {
            if validator == self.faults.validators {
                return newcomer.crash().await;
            }
            newcomer.close_door(validator).await;
        }
        self.directory.lock().remove(&validator);
        if let Some(task) = self.tasks.remove(&validator) {
            task.stop();
            task.ended().await;
        }
    }

    /// A new life's links.
    fn links(&mut self) -> Links {
        self.lives += 1;
        Links {
            context: self
                .context
                .child("links")
                .with_attribute("life", self.lives),
            echo: self.echo.clone(),
            seed: self.faults.seed.wrapping_mul(1_000) + self.lives,
        }
    }

    async fn channels(&self, validator: usize) -> Transport<Simulated<deterministic::Context>> {
        let transport = transport::simulated(&self.oracle, self.keys[validator].public()).await;
        transport.expect("the network is there")
    }

    /// Starts a chain with a validator's keys.
    async fn start_chain(
        &mut self,
        validator: usize,
        partition_prefix: String,
        clock_skew_ms: i64,
        dishonest: Option<Arc<dyn Dishonest>>,
        transport: Transport<Faulty>,
    ) -> Result<(ChainHandle, ChainTask), Broken> {
        let keys = &self.keys[validator];
        let mut config = ChainConfig {
            heartbeat: HEARTBEAT,
            partition_prefix,
            simulated: SimulatedMachine {
                clock_skew_ms,
                ..SimulatedMachine::default()
            },
            dishonest,
            ..ChainConfig::new(
                self.genesis.clone(),
                keys.identity.clone(),
                keys.vote_key.clone(),
            )
        };
        if self.faults.forgets(validator) {
            config.retain_blocks = Some(2 * params::of_genesis(&self.genesis).blocks_of_an_epoch());
            config.blocks_per_file = FORGETS_AT_ONCE;
            config.simulated.retain_min = Some(0);
            config.simulated.prune_every = Some(FORGETS_EVERY);
        }
        self.lives += 1;
        let context = self
            .context
            .child("validator")
            .with_attribute("life", self.lives);
        let machine = Machine::new(context, self.disks[validator].clone());
        let started = Box::pin(start(machine, config, transport)).await;
        started.map_err(|error: StartError| Broken::Start {
            validator,
            error: error.to_string(),
        })
    }

    async fn lie(&mut self, validator: usize, byzantine: &Byzantine) -> Result<(), Broken> {
        let name = format!("liar-{validator}");
        let seed = self.faults.seed;
        let dishonest: Arc<dyn Dishonest> = match byzantine {
            Byzantine::Silent => return Ok(()),
            Byzantine::VotesTwice => {
                let transport = self.channels(validator).await;
                let vote_key = self.keys[validator].vote_key.clone();
                let genesis = self.genesis.clone();
                self.context.child("liar").spawn(|_| async move {
                    let voting = vote_twice(&genesis, &vote_key, transport);
                    voting.await.expect("the genesis was checked");
                });
                return Ok(());
            }
            Byzantine::Twins { first, second } => {
                let of = |half: &BTreeSet<usize>| {
                    let keys = half.iter().map(|number| self.keys[*number].public());
                    keys.collect()
                };
                let halves = [of(first), of(second)];
                let channels = self.channels(validator).await;
                let halves = self.links().halves(channels, halves);
                for (half, transport) in halves.into_iter().enumerate() {
                    let name = format!("{name}-{half}");
                    let ahead_ms = if half == 0 { 0 } else { TWIN_AHEAD_MS };
                    let started = self.start_chain(validator, name, ahead_ms, None, transport);
                    let (_, task) = started.await?;
                    self.liars.push(task);
                }
                return Ok(());
            }
            Byzantine::Censor => Arc::new(Censor::of_seed(seed, self.lies.clone())),
            Byzantine::Forger => Arc::new(Forger {
                seed,
                lies: self.lies.clone(),
            }),
        };
        let channels = self.channels(validator).await;
        let transport = self.links().whole(channels);
        let started = self.start_chain(validator, name, 0, Some(dishonest), transport);
        let (_, task) = started.await?;
        self.liars.push(task);
        Ok(())
    }

    /// The number of the validator with an identity.
    pub(super) fn number_of(&self, identity: &[u8; 32]) -> Option<usize> {
        let mut keys = self.keys.iter();
        keys.position(|keys| keys.public().as_ref() == identity)
    }

    /// What was done that leaves no trace in the chain.
    pub(super) fn done(&self) -> Done {
        Done {
            lies: self.lies.number(),
            echoes: self.echo.echoed(),
            waits: self.disks.iter().map(Disk::waited).sum(),
        }
    }

    /// Makes the links what the faults leave of them.
    async fn link(&mut self) {
        let lost: u64 = self.loss.iter().sum();
        let loss = self.faults.loss + lost;
        let disorder = if self.loss.is_empty() { 0 } else { DISORDER_MS };
        let link = Link {
            latency: Duration::from_millis(self.faults.latency_ms),
            jitter: Duration::from_millis(self.faults.jitter_ms + disorder),
            success_rate: Probability::new(100 - loss.min(90), 100).expect("a part of a hundred"),
        };
        let identities: Vec<_> = self.keys.iter().map(Keys::public).collect();
        for (from, sender) in identities.iter().enumerate() {
            for (to, receiver) in identities.iter().enumerate() {
                if from == to {
                    continue;
                }
                let (sender, receiver) = (sender.clone(), receiver.clone());
                let oracle = &self.oracle;
                // There may be none.
                let _ = oracle.remove_link(sender.clone(), receiver.clone()).await;
                if self.cut.get(&(from, to)).is_none_or(|count| *count == 0) {
                    let added = oracle.add_link(sender, receiver, link.clone()).await;
                    added.expect("the network is there");
                }
            }
        }
        let Some(newcomer) = &self.newcomer else {
            return;
        };
        let link = memory::Link {
            latency: Duration::from_millis(self.faults.latency_ms),
            jitter: Duration::from_millis(self.faults.jitter_ms + disorder),
            // What is lost now and then a connection sends again.
            loss_bps: u16::try_from(lost.min(90) * 100).unwrap_or_default(),
        };
        let itself = self.validators();
        let is_cut = |pair| self.cut.get(&pair).is_some_and(|count| *count > 0);
        for node in 0..itself {
            newcomer.link(node, link, [is_cut((itself, node)), is_cut((node, itself))]);
        }
    }
}

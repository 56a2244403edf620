//! Joins a running network on this machine as a worker or verifier that cheats, over the real transport.
//!
//! For showing that cheating does not pay, and for nothing else: it is never in a release.

use anyhow::Context as _;
use clap::Parser;
use commonware_runtime::{Runner as _, Supervisor as _, tokio as runtime};
use fairweir_client::{NodeClient, Sender};
use fairweir_net::{
    Network as _, PeerAddr,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
};
use fairweir_node::{
    DataDir, Keystore, Passphrase,
    network::names,
    random_seed,
    roles::worker::{KindTerms, WorkerOptions},
    transport_seed,
};
use fairweir_services::{
    Kind as _, Registry,
    inference::{Engines, EnginesOptions, ModelStore, Models, chat::Chat, embedding::Embedding},
};
use fairweir_sim::{
    Actor,
    byzantine::{
        Behaviour, ListeningVerifier, Planter, PrivateChannel, Role, SwappedModels, Twist,
        UnknownBehaviour,
    },
};
use fairweir_types::{Action, Address, Amount, Digest, SecretKey, order::KindId, tx::Transfer};
use std::{
    collections::BTreeMap, io::Write as _, net::Ipv4Addr, path::PathBuf, str::FromStr, sync::Arc,
};
use zeroize::Zeroizing;

/// The file in the data folder that says where its node listens.
const ADDRESS_FILE: &str = "node.address";
/// Coins that a cheat with a fresh key is given: its stake and some for fees.
const FUNDS_COINS: u64 = 1_010;
/// Coins that it bonds.
const STAKE_COINS: u64 = 1_000;

/// Cheat on a running network of this machine, until Ctrl-C.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The data folder of the running network.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Whose key to cheat with, by its name in the keystore. Without one a fresh account is funded by the buyer.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// How to cheat: as one of the adversary table's workers and verifiers, or as `listening-verifier` or `planter`. A planter lies to whoever is matched with it: let that be your own buyer.
    #[arg(long, value_name = "BEHAVIOUR")]
    behaviour: Cheat,
    /// Where a planter tells what it will open, and a listening verifier hears it: a folder that both can reach.
    #[arg(long, value_name = "FOLDER")]
    channel: Option<PathBuf>,
    /// Of ten thousand pieces of work so many are planted by a planter.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    plant_bps: u16,
    /// Coins per million bytes, as a worker: low, so that it is matched.
    #[arg(long, value_name = "COINS", default_value = "0.01", value_parser = coins)]
    price: Amount,
    /// The folder of models, for behaviours at language models: then it offers every model there. It may be the network's own.
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
}

/// A cheat by its name.
#[derive(Clone, Copy, Debug)]
enum Cheat {
    /// One that needs nothing but its name.
    Behaviour(Behaviour),
    /// [`Planter`].
    Planter,
    /// [`ListeningVerifier`].
    ListeningVerifier,
}

impl FromStr for Cheat {
    type Err = UnknownBehaviour;

    fn from_str(name: &str) -> Result<Self, UnknownBehaviour> {
        match name {
            "planter" => Ok(Self::Planter),
            "listening-verifier" => Ok(Self::ListeningVerifier),
            _ => name.parse().map(Self::Behaviour),
        }
    }
}

impl Cheat {
    const fn name(self) -> &'static str {
        match self {
            Self::Behaviour(behaviour) => behaviour.name(),
            Self::Planter => "planter",
            Self::ListeningVerifier => "listening-verifier",
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Behaviour(behaviour) => behaviour.role(),
            Self::Planter => Role::Worker,
            Self::ListeningVerifier => Role::Verifier,
        }
    }

    const fn is_about_models(self) -> bool {
        match self {
            Self::Behaviour(behaviour) => behaviour.is_about_models(),
            Self::Planter | Self::ListeningVerifier => false,
        }
    }

    fn twist(self, arguments: &Arguments) -> anyhow::Result<Arc<dyn Twist>> {
        if let Self::Behaviour(behaviour) = self {
            return Ok(behaviour.twist());
        }
        let folder = arguments.channel.clone();
        let folder = folder.context("this behaviour needs --channel FOLDER")?;
        std::fs::create_dir_all(&folder)?;
        let channel = Arc::new(PrivateChannel::Folder(folder));
        if matches!(self, Self::ListeningVerifier) {
            return Ok(Arc::new(ListeningVerifier::new(channel)));
        }
        let secret = Digest(*random_seed()?);
        Ok(Arc::new(Planter::new(channel, secret, arguments.plant_bps)))
    }
}

/// Reads an amount of coins such as `0.01`.
fn coins(text: &str) -> Result<Amount, String> {
    text.parse()
        .map_err(|error| format!("{text} is no amount of coins: {error}"))
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

fn passphrase(data: &DataDir) -> anyhow::Result<Passphrase> {
    if let Some(dev) = Passphrase::of_dev_if_any(data)? {
        return Ok(dev);
    }
    let given =
        std::env::var("FAIRWEIR_PASSPHRASE").context("FAIRWEIR_PASSPHRASE opens the keystore")?;
    Ok(Passphrase::new(given))
}

/// The key to cheat with, and the seed it is made of.
struct Who {
    seed: Zeroizing<[u8; 32]>,
    key: SecretKey,
    is_fresh: bool,
}

fn who(keys: &Keystore, name: Option<&str>) -> anyhow::Result<Who> {
    let seed = match name {
        Some(name) => Zeroizing::new(*keys.seed(name)?),
        None => random_seed()?,
    };
    Ok(Who {
        key: SecretKey::from_seed(*seed).context("a seed of 32 bytes is a key")?,
        seed,
        is_fresh: name.is_none(),
    })
}

/// A network of its own on loopback. Its transport key is not the account's role's: that role may run.
async fn bind() -> anyhow::Result<QuicNetwork> {
    let options = QuicOptions {
        secret_key: transport_seed(&*random_seed()?),
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        policy: DialPolicy::LoopbackOnly,
        advertise: Vec::new(),
    };
    QuicNetwork::bind(options)
        .await
        .context("a network on loopback")
}

async fn fund(
    client: &NodeClient<QuicNetwork>,
    chain_id: &fairweir_types::ChainId,
    keys: &Keystore,
    to: Address,
) -> anyhow::Result<()> {
    let buyer = keys.account(names::BUYER)?;
    let amount = Amount::from_coins(FUNDS_COINS).context("a number of coins")?;
    Sender::new(client.clone(), chain_id.clone(), buyer)
        .send(Action::Transfer(Transfer { to, amount }))
        .await
        .context("the buyer funds the cheat")?;
    Ok(())
}

/// What it offers of each kind, what it checks with, and what runs its own work.
struct Kinds {
    terms: BTreeMap<KindId, KindTerms>,
    honest: Registry,
    worker: Registry,
}

/// The kinds with the models of a folder, changed as the behaviour has it; text alone without a folder.
fn kinds(arguments: &Arguments, twist: &dyn Twist) -> anyhow::Result<Kinds> {
    let Some(folder) = &arguments.models else {
        anyhow::ensure!(
            !arguments.behaviour.is_about_models(),
            "this behaviour needs --models FOLDER"
        );
        return Ok(Kinds {
            terms: BTreeMap::new(),
            honest: Registry::standard(),
            worker: Registry::standard(),
        });
    };
    let store = ModelStore::open(folder.clone())?;
    let mut terms: BTreeMap<KindId, KindTerms> = BTreeMap::new();
    for (id, info) in store.list()? {
        let kind = if info.is_chat() {
            Chat::ID
        } else {
            Embedding::ID
        };
        let terms = terms.entry(kind).or_default();
        terms.capabilities.push(id.capability());
    }
    let options = EnginesOptions::default();
    let honest: Arc<dyn Models> = Arc::new(Engines::new(store.clone(), options.clone()));
    let changed = arguments.data.join("byzantine-models");
    std::fs::create_dir_all(&changed)?;
    let worker: Arc<dyn Models> =
        SwappedModels::make(&store, Arc::clone(&honest), twist, &changed, options)?;
    let registry = |models| {
        [Chat::ID, Embedding::ID]
            .into_iter()
            .filter(|kind| !terms.contains_key(kind))
            .fold(Registry::with_models(models), Registry::without)
    };
    Ok(Kinds {
        honest: registry(&honest),
        worker: registry(&worker),
        terms,
    })
}

async fn cheat(context: runtime::Context, arguments: Arguments) -> anyhow::Result<()> {
    let data = DataDir::open(&arguments.data)?;
    let keys = Keystore::open(&data, &passphrase(&data)?)?;
    let address = data
        .read(ADDRESS_FILE)?
        .context("no node runs in this folder")?;
    let node: PeerAddr = String::from_utf8_lossy(&address).trim().parse()?;
    let who = who(&keys, arguments.key.as_deref())?;
    let twist = arguments.behaviour.twist(&arguments)?;
    let network = bind().await?;
    let client = NodeClient::new(network.clone(), node.clone());
    let header = client.status().await.context("the node answers")?.header;
    if who.is_fresh {
        fund(&client, &header.chain_id, &keys, who.key.address()).await?;
    }
    let kinds = kinds(&arguments, twist.as_ref())?;
    let actor = Actor::new(
        (who.key, *who.seed),
        network.clone(),
        node,
        header.chain_id,
        header.height,
    )
    .serving(kinds.honest, kinds.worker);
    let account = actor.address();
    let stake = Amount::from_coins(STAKE_COINS).context("a number of coins")?;
    let behaviour = arguments.behaviour;
    let twist = Some(twist);
    let role = context.child("cheat");
    let running = match behaviour.role() {
        Role::Worker => {
            let options = WorkerOptions {
                price: arguments.price,
                stake,
                verifies: false,
                kinds: kinds.terms,
                ..WorkerOptions::default()
            };
            actor.work(role, options, twist).await?
        }
        Role::Verifier => actor.verify(role, stake, twist).await?,
    };
    line(&format!("ready: {account} {}", behaviour.name()))?;
    let stopped = std::pin::pin!(tokio::signal::ctrl_c());
    futures::future::select(stopped, running).await;
    network.close().await;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    runtime::Runner::default().start(|context| cheat(context, arguments))
}

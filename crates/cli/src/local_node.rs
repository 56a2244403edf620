//! The node of a data folder, as `up` and `node run` start it.

use crate::{
    Global,
    commands::{doctor, repair},
    connection::listen_failure,
    failure::{Exit, code},
    output, rules,
};
use commonware_runtime::{Spawner as _, Supervisor as _, tokio as runtime};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, StartError, SyncProgress,
    transport::{self, TcpConfig},
};
use fairweir_net::{
    PeerAddr,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
};
use fairweir_node::{
    BlobStore, Config, DataDir, Keystore, Passphrase, Upstream,
    network::{self, names},
    roles::{
        candidate,
        validator::{self, ValidatorError},
    },
    transport_seed,
};
use fairweir_types::{AccountKey, ChainId, Digest, Genesis, SecretKey, handover::NoCheckpoint};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

/// Time between two lines about progress.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// A running node: its network, its chain, and the tasks that keep it going, one for each validator of the folder.
pub(crate) struct LocalNode {
    pub(crate) network: QuicNetwork,
    pub(crate) chain: ChainHandle,
    pub(crate) tasks: Vec<ChainTask>,
}

/// Starts the validators of a folder and its clients' door, which is that of the first.
pub(crate) async fn start(
    context: &runtime::Context,
    data: &DataDir,
    config: &Config,
    keys: &Keystore,
    genesis: &Genesis,
) -> Result<LocalNode, Exit> {
    let options = QuicOptions {
        secret_key: transport_seed(keys.seed(names::NODE)?),
        listen: config.listen,
        policy: policy(&genesis.chain_id),
        advertise: config.advertise.clone(),
    };
    let network = QuicNetwork::bind(options)
        .await
        .map_err(|error| listen_failure(&error))?;
    let bytes_max = usize::try_from(config.blob_bytes_max).unwrap_or(usize::MAX);
    let blobs = BlobStore::at(&data.join("blobs"), bytes_max)
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    let blobs = Arc::new(blobs);
    if !config.follow.is_empty() {
        check_no_validator(keys)?;
    }
    let mut configs = chain_configs(config, keys, genesis)?;
    let votes_from = repair::votes_from(data)?;
    configs
        .iter_mut()
        .for_each(|chain| chain.votes_from = votes_from);
    if let Some(first) = configs.first_mut() {
        first.shelf = Arc::<BlobStore>::clone(&blobs);
    }
    let opening = Opening::begin();
    let identities: Vec<SecretKey> = configs.iter().map(|chain| chain.identity.clone()).collect();
    let (chain, tasks) = match <[ChainConfig; 1]>::try_from(configs) {
        Ok([only]) => {
            let (chain, task) = start_one(context, only, (data, config), &network).await?;
            (chain, vec![task])
        }
        Err(configs) if configs.is_empty() => {
            let (chain, task) =
                start_following((context, data), &network, config, keys, genesis).await?;
            (chain, vec![task])
        }
        Err(configs) => start_together(context, data, configs).await?,
    };
    drop(opening);
    explain_full_disk(data);
    let accounts: Vec<SecretKey> = keys
        .names()
        .filter_map(|name| keys.account(name).ok())
        .collect();
    for identity in identities {
        let (chain, accounts) = (chain.clone(), accounts.clone());
        context
            .child("candidate")
            .spawn(move |clock| candidate::say_ready(clock, chain, identity, accounts));
    }
    validator::open_door(context.child("api"), &chain, &network, blobs)
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    check_chain_time(&chain)?;
    Ok(LocalNode {
        network,
        chain,
        tasks,
    })
}

/// A folder that follows others must not hold a validator's keys: with them it would vote, perhaps a second time.
pub(crate) fn check_no_validator(keys: &Keystore) -> Result<(), Exit> {
    if network::validators(keys).next().is_none() {
        return Ok(());
    }
    let message = "this folder holds the keys of a validator, which would vote here too: follow from a folder of its own (--data)";
    Err(Exit::message(code::MACHINE, message))
}

/// How each validator of a keystore is set up; each has a store of its own.
fn chain_configs(
    config: &Config,
    keys: &Keystore,
    genesis: &Genesis,
) -> Result<Vec<ChainConfig>, Exit> {
    let mut configs = Vec::new();
    for (number, (identity, vote)) in (1..).zip(network::validators(keys)) {
        let mut chain = ChainConfig::new(
            genesis.clone(),
            keys.account(&identity)?,
            keys.vote_key(&vote)?,
        );
        if number > 1 {
            chain.partition_prefix = format!("chain-{number}");
        }
        chain.heartbeat = Duration::from_millis(config.heartbeat_ms);
        chain.retain_blocks = config.retain_blocks;
        configs.push(chain);
    }
    Ok(configs)
}

/// Starts the folder's one validator or candidate: alone, or among those of other machines. If its disk is empty it may copy the state first.
async fn start_one(
    context: &runtime::Context,
    chain: ChainConfig,
    (data, config): (&DataDir, &Config),
    network: &QuicNetwork,
) -> Result<(ChainHandle, ChainTask), Exit> {
    let context = context.child("validator");
    if let Some(upstream) = upstream(network, config, ("copy", &config.copy))? {
        let copying = Box::pin(validator::copy(
            context.child("copying"),
            chain.clone(),
            upstream,
        ));
        let copied = telling(chain.progress.clone(), copying).await;
        copied.map_err(|error| chain_failure(data, &error))?;
    }
    let started = if config.peers.is_empty() && chain.genesis.validators.len() == 1 {
        let AccountKey::Ed25519(identity) = chain.identity.account_key();
        validator::start_replica(context, chain, transport::solo(identity)).await
    } else {
        let tcp = TcpConfig {
            listen: config.peer_listen,
            addresses: peer_addresses(&chain.genesis, config)?,
        };
        // The transport's own task would only say that it ended.
        std::net::TcpListener::bind(tcp.listen)
            .map_err(|error| peer_failure(tcp.listen, &error))?;
        let (transport, _) = transport::tcp(&context, &chain.genesis, &chain.identity, &tcp)
            .map_err(|error| Exit::new(code::MACHINE, error))?;
        validator::start_replica(context, chain, transport).await
    };
    started.map_err(|error| chain_failure(data, &error))
}

/// Starts a node without a vote.
async fn start_following(
    (context, data): (&runtime::Context, &DataDir),
    network: &QuicNetwork,
    config: &Config,
    keys: &Keystore,
    genesis: &Genesis,
) -> Result<(ChainHandle, ChainTask), Exit> {
    let upstream = upstream(network, config, ("follow", &config.follow))?.ok_or_else(|| {
        let message =
            "this folder has no validator and follows no node: see `fairweir node --help`";
        Exit::message(code::MACHINE, message)
    })?;
    let mut chain = ChainConfig::follower(genesis.clone(), keys.account(names::NODE)?);
    chain.heartbeat = Duration::from_millis(config.heartbeat_ms);
    chain.retain_blocks = config.retain_blocks;
    chain.sync = config.sync.into();
    let progress = chain.progress.clone();
    let following = validator::start_follower(context.child("follower"), chain, upstream);
    let started = telling(progress, following).await;
    started.map_err(|error| chain_failure(data, &error))
}

/// The nodes of a setting, as a source; none if it names none.
fn upstream(
    network: &QuicNetwork,
    config: &Config,
    (setting, nodes): (&str, &[String]),
) -> Result<Option<Upstream<QuicNetwork>>, Exit> {
    let addresses: Result<Vec<PeerAddr>, _> = nodes.iter().map(|address| address.parse()).collect();
    let mut addresses = addresses
        .map_err(|_| {
            let message = format!(
                "fairweir.toml: {setting} must hold node addresses, which begin with fwpeer1"
            );
            Exit::message(code::MACHINE, message)
        })?
        .into_iter();
    let Some(first) = addresses.next() else {
        return Ok(None);
    };
    let checkpoint = config.checkpoint.as_ref().map(|text| text.parse());
    let checkpoint = checkpoint.transpose().map_err(|error: NoCheckpoint| {
        Exit::message(code::MACHINE, format!("fairweir.toml: {error}"))
    })?;
    let upstream = Upstream::new(network, first, addresses.collect());
    Ok(Some(upstream.trusting(checkpoint)))
}

/// Waits for a node that may copy a state, and tells how far that is.
async fn telling<T>(progress: SyncProgress, node: impl Future<Output = T>) -> T {
    tokio::select! {
        started = node => started,
        never = tell(progress) => match never {},
    }
}

/// Tells how far a copy of the state is, while there is one.
async fn tell(progress: SyncProgress) -> Infallible {
    let mut told = None;
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let now = progress.get();
        if let Some((height, copied, of)) = now
            && now != told
        {
            output::progress(format!(
                "copying the state of block {height}: {copied} of {of} entries"
            ));
        }
        told = now;
    }
}

/// What to do about a store that cannot be read.
const DAMAGED: &str = "a damaged or truncated store looks like this: `fairweir node repair` sets it aside and gets the chain from other nodes";

/// While a store is opened, whatever panics ends the program, and says what to do about a damaged store: the library's own words speak of its parts. It panics in a
/// task; whether the rest would come to its end is left to how far that was.
struct Opening;

impl Opening {
    fn begin() -> Self {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            output::progress(format!("error: the chain does not start: {DAMAGED}"));
            // Nothing was acknowledged yet.
            std::process::exit(i32::from(code::MACHINE));
        }));
        Self
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // Back to the default, which was there before: what panics from here on is another fault.
        drop(std::panic::take_hook());
    }
}

/// From here on whoever panics on a disk that is full says so: a library that cannot write does not always tell why.
fn explain_full_disk(data: &DataDir) {
    let (before, place) = (std::panic::take_hook(), data.path().to_owned());
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if let Some(said) = doctor::full_disk(&place) {
            output::progress(format!(
                "error: No space left: {said}, and start again; nothing that was acknowledged is lost"
            ));
        }
    }));
}

fn chain_failure(data: &DataDir, error: &ValidatorError) -> Exit {
    if let ValidatorError::Chain(StartError::Upgrade(stop)) = error {
        return rules::stopped(data, stop);
    }
    let whole = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    });
    let whole: Vec<String> = whole.map(ToString::to_string).collect();
    let message = whole.join(": ");
    match error {
        ValidatorError::Chain(StartError::Store(_) | StartError::Stopped) => {
            Exit::message(code::MACHINE, format!("{message}; {DAMAGED}"))
        }
        _ => Exit::message(code::MACHINE, message),
    }
}

fn peer_failure(listen: SocketAddr, error: &std::io::Error) -> Exit {
    let message = format!(
        "cannot listen for other validators on {listen} ({error}): stop the other program, or change peer_listen in fairweir.toml"
    );
    Exit::message(code::MACHINE, message)
}

/// Where each validator is reached, in the order of the genesis.
fn peer_addresses(genesis: &Genesis, config: &Config) -> Result<Vec<SocketAddr>, Exit> {
    let address = |identity: &[u8; 32]| {
        let identity = Digest(*identity).to_string();
        config.peers.get(&identity).copied().ok_or_else(|| {
            let message = format!(
                "fairweir.toml does not say where validator {identity} is: join the network with `fairweir node join FILE`, or add it under [peers]"
            );
            Exit::message(code::MACHINE, message)
        })
    };
    let validators = genesis.validators.iter();
    validators
        .map(|validator| address(&validator.identity))
        .collect()
}

/// Starts all validators of a chain in this process, each on a free port of loopback.
async fn start_together(
    context: &runtime::Context,
    data: &DataDir,
    configs: Vec<ChainConfig>,
) -> Result<(ChainHandle, Vec<ChainTask>), Exit> {
    let mut ports = Vec::new();
    for _ in &configs {
        ports.push(std::net::TcpListener::bind((
            std::net::Ipv4Addr::LOCALHOST,
            0,
        ))?);
    }
    let addresses = ports
        .iter()
        .map(std::net::TcpListener::local_addr)
        .collect::<Result<Vec<_>, _>>()?;
    drop(ports);
    let machine = |error: &dyn std::fmt::Display| Exit::message(code::MACHINE, error.to_string());
    let mut started = Vec::new();
    for (number, config) in configs.into_iter().enumerate() {
        // Addresses stand in the order of the genesis, validators in that of their keys.
        let AccountKey::Ed25519(identity) = config.identity.account_key();
        let of_genesis = config.genesis.validators.iter();
        let mut places = of_genesis.map(|validator| validator.identity.as_slice());
        let place = places.position(|place| place == identity.as_ref());
        let tcp = TcpConfig {
            listen: *place
                .and_then(|place| addresses.get(place))
                .ok_or_else(|| machine(&"a validator's key is not in the genesis"))?,
            addresses: addresses.clone(),
        };
        let context = context
            .child("validator")
            .with_attribute("number", number + 1);
        let (transport, _) = transport::tcp(&context, &config.genesis, &config.identity, &tcp)
            .map_err(|error| machine(&error))?;
        started.push(validator::start_replica(context, config, transport));
    }
    let mut chains = Vec::new();
    let mut tasks = Vec::new();
    for started in futures::future::join_all(started).await {
        let (chain, task) = started.map_err(|error| chain_failure(data, &error))?;
        chains.push(chain);
        tasks.push(task);
    }
    let first = chains.into_iter().next();
    Ok((
        first.ok_or_else(|| machine(&"the folder has no validator"))?,
        tasks,
    ))
}

/// The passphrase of the network's keys: a development network's lies beside them, any other is the user's.
pub(crate) fn passphrase(
    global: &Global,
    data: &DataDir,
    chain_id: &ChainId,
) -> Result<Passphrase, Exit> {
    if chain_id.is_dev() {
        Ok(Passphrase::of_dev(data)?)
    } else {
        global.passphrase(data)
    }
}

/// A development chain's keys deserve no trust, so its node talks to this machine only.
pub(crate) fn check_address(chain_id: &ChainId, listen: SocketAddr) -> Result<(), Exit> {
    if chain_id.is_dev() && !listen.ip().is_loopback() {
        return Err(Exit::message(
            code::MACHINE,
            format!(
                "{chain_id} is a development chain and stays on loopback: for other machines give --chain-id a name of your own"
            ),
        ));
    }
    Ok(())
}

pub(crate) fn policy(chain_id: &ChainId) -> DialPolicy {
    if chain_id.is_dev() {
        DialPolicy::LoopbackOnly
    } else {
        DialPolicy::Any
    }
}

/// A clock that is behind the chain's newest block cannot propose the next one honestly.
fn check_chain_time(chain: &ChainHandle) -> Result<(), Exit> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let tip = Duration::from_millis(chain.tip().time.get());
    if tip > now + Duration::from_secs(60) {
        let behind = (tip - now).as_secs();
        return Err(Exit::message(
            code::MACHINE,
            format!(
                "the clock of this machine is {behind} seconds behind the chain's newest block: set it, then start again"
            ),
        ));
    }
    Ok(())
}

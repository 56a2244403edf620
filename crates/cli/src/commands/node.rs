use crate::{
    Global,
    commands::{doctor, export, genesis, repair},
    connection::{self, Connection, TICKET_FILE},
    ending::wait_for_end,
    failure::{Exit, code},
    local_node::{self, LocalNode},
    output, rules, wall_clock,
};
use commonware_runtime::{Metrics as _, Runner as _, Supervisor as _, tokio as runtime};
use fairweir_chain::{ChainHandle, Ended};
use fairweir_gateway::monitor::{self, Health, Watched};
use fairweir_net::{Network as _, PeerAddr};
use fairweir_node::{
    Config, DataDir, DataDirError, Keystore, SyncSetting,
    ceremony::{CeremonyError, ValidatorCard},
    network::{self, names},
};
use fairweir_types::{ChainId, Digest, Genesis, handover::Checkpoint};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The file in the data folder that its validator hands over to found a network.
pub(crate) const CARD_FILE: &str = "validator-card.toml";

/// Run or set up a node: the ledger and its clients' door, without workers and verifiers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Node {
    /// Found a network: keys, genesis, settings. Its first money is in the account `buyer`.
    ///
    /// With --peer, prepare this machine for a network of several instead: keys, settings, and a card for the person who makes
    /// the genesis file (see `fairweir genesis --help`).
    Init {
        /// The chain's name: 1 to 31 of a-z, 0-9 and -; the first digits of its genesis are put behind it. A name that begins with dev- stays on this machine.
        #[arg(long, value_name = "NAME")]
        chain_id: String,
        /// Where the node will listen for clients, workers and verifiers.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// Where the validators of other machines will reach this one, over TCP.
        #[arg(long, value_name = "ADDRESS:PORT")]
        peer: Option<SocketAddr>,
        /// Where this machine listens for them, if that is another address.
        #[arg(long, value_name = "ADDRESS:PORT", requires = "peer")]
        peer_listen: Option<SocketAddr>,
    },
    /// Join the network of a finished genesis file as the validator whose card this folder holds.
    ///
    /// With --candidate, join a network that runs already: the node follows it among its validators, and makes blocks when stake gives it a seat (see
    /// `fairweir validator --help`).
    Join {
        /// The genesis file.
        file: PathBuf,
        /// The digest that it must have.
        #[arg(long, value_name = "DIGEST")]
        digest: Option<Digest>,
        /// Join with a card that is not in the file, to stand for a seat later.
        #[arg(long)]
        candidate: bool,
        /// Begin with a copy of the state of this node, as `fairweir node address` prints it there, rather than with every block since the genesis: on a long chain, and where
        /// nodes do not keep the first blocks. Give more than one, each with --copy, and the next is asked when one fails. The copy is checked against the genesis, or the checkpoint.
        #[arg(long, value_name = "NODE")]
        copy: Vec<PeerAddr>,
        /// A block that you trust for the copy, not only the genesis, as `fairweir validator handovers` prints it on a machine that you trust.
        #[arg(long, value_name = "HEIGHT:DIGEST", requires = "copy")]
        checkpoint: Option<Checkpoint>,
    },
    /// Prepare a node without a vote, which follows others: it checks and executes blocks, keeps its own store, and answers
    /// clients. It believes nothing but the genesis.
    ///
    /// On a long chain it begins with a copy of the state at a newest block, not with every block since the genesis. Every part of the copy is checked against that
    /// block, and the block by the signatures of more than two thirds of those who have seats, from the genesis on. What happened before that block is then not executed
    /// here, and not kept: `--sync blocks` executes everything since the genesis, as long as a node has the first blocks.
    Follow {
        /// Nodes to follow, as `fairweir node address` prints them: the first, and the next when one fails.
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<PeerAddr>,
        /// The digest that the chain's genesis must have; ask people that you trust, not the node.
        #[arg(long, value_name = "DIGEST")]
        genesis: Digest,
        /// Where the node will listen.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// How it gets to the present.
        #[arg(long, value_enum, default_value_t)]
        sync: SyncArg,
        /// Copy the state, and trust this block for it, not only the genesis: as `fairweir validator handovers` prints it on a machine that you trust. Validators
        /// of long ago could sign another history; they cannot sign one with this block.
        #[arg(long, value_name = "HEIGHT:DIGEST")]
        checkpoint: Option<Checkpoint>,
    },
    /// Run the node until Ctrl-C.
    ///
    /// Ends with code 7 where the network goes on by other rules than this program has: it then says which release to install, and loses nothing.
    Run {
        /// Serve /health and /metrics here, over HTTP, for tools that watch the node.
        #[arg(long, value_name = "ADDRESS:PORT")]
        monitor: Option<SocketAddr>,
    },
    /// Set a damaged chain aside, and get it anew from other nodes with the next `node run`.
    ///
    /// Keys and settings stay. What this node voted may be damaged too, so a validator votes again only after the newest epoch in which it did. Repair one
    /// validator of a network after the other.
    Repair {
        /// The first epoch in which this node may vote, where nothing tells when it did last; one that has not begun is safe.
        #[arg(long, value_name = "EPOCH")]
        votes_from: Option<u64>,
    },
    /// Write the whole state of a node that does not run to a file: a backup, or what a new chain begins from.
    ///
    /// The file is of the newest block that the folder holds, says so, and has a digest of its own. It holds no keys, no blocks, and no votes.
    Export {
        /// The file, which must not be there yet.
        file: PathBuf,
    },
    /// Print the address under which clients and workers reach the running node.
    Address,
}

/// How a node that follows gets to the present.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum SyncArg {
    /// By the state if there are more than 10,000 blocks, or no node has the first ones; else by blocks
    #[default]
    Auto,
    /// By a copy of the state at a newest final block
    State,
    /// By executing every block since the genesis
    Blocks,
}

impl From<SyncArg> for SyncSetting {
    fn from(sync: SyncArg) -> Self {
        match sync {
            SyncArg::Auto => Self::Auto,
            SyncArg::State => Self::State,
            SyncArg::Blocks => Self::Blocks,
        }
    }
}

impl Node {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Init {
                chain_id,
                listen,
                peer: None,
                ..
            } => init(global, &chain_id, listen),
            Self::Init {
                chain_id,
                listen,
                peer: Some(peer),
                peer_listen,
            } => prepare(global, &chain_id, listen, (peer, peer_listen)),
            Self::Join {
                file,
                digest,
                candidate,
                copy,
                checkpoint,
            } => join(global, &file, digest, candidate, (&copy, checkpoint)),
            Self::Follow {
                nodes,
                genesis,
                listen,
                sync,
                checkpoint,
            } => {
                let sync = sync_from(sync, checkpoint);
                follow(global, &nodes, genesis, (listen, sync, checkpoint))
            }
            Self::Run { monitor } => run(global, monitor),
            Self::Repair { votes_from } => repair::repair(global, votes_from),
            Self::Export { file } => export::export(global, &file),
            Self::Address => {
                output::line(global.node_address()?.to_string());
                Ok(())
            }
        }
    }
}

/// Fails if the folder holds a network.
fn check_empty(data: &DataDir) -> Result<(), Exit> {
    match data.genesis() {
        Err(DataDirError::Empty { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => {
            let message = format!("{} holds a network already", data.path().display());
            Err(Exit::message(code::MACHINE, message))
        }
    }
}

fn init(global: &Global, chain_id: &str, listen: Option<SocketAddr>) -> Result<(), Exit> {
    doctor::check_clock()?;
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    check_empty(&data)?;
    let chain_id = ChainId::new(chain_id).map_err(|error| Exit::new(code::FAILED, error))?;
    let mut config = Config::load(&data)?;
    config.listen = listen.unwrap_or(config.listen);
    local_node::check_address(&chain_id, config.listen)?;
    let passphrase = local_node::passphrase(global, &data, &chain_id)?;
    let founded = network::open_or_found(&data, chain_id, &passphrase, (&config, 1))
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    if global.json {
        output::json_pretty(&json!({
            "chain_id": founded.genesis.chain_id.as_str(), "genesis": founded.genesis.digest().to_string(),
        }));
    } else {
        output::line(format!(
            "{} is founded; genesis {}",
            founded.genesis.chain_id,
            founded.genesis.digest()
        ));
        output::line("Run it with: fairweir node run");
    }
    Ok(())
}

/// Makes keys, settings and card of a validator of a network that is still to be founded.
fn prepare(
    global: &Global,
    chain_id: &str,
    listen: Option<SocketAddr>,
    (peer, peer_listen): (SocketAddr, Option<SocketAddr>),
) -> Result<(), Exit> {
    doctor::check_clock()?;
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    check_empty(&data)?;
    let chain_id = ChainId::new(chain_id).map_err(|error| Exit::new(code::FAILED, error))?;
    let mut config = Config::load(&data)?;
    config.listen = listen.unwrap_or(config.listen);
    config.peer_listen = peer_listen.unwrap_or(peer);
    for address in [config.listen, config.peer_listen, peer] {
        local_node::check_address(&chain_id, address)?;
    }
    let passphrase = local_node::passphrase(global, &data, &chain_id)?;
    let mut keys = if Keystore::exists(&data)? {
        Keystore::open(&data, &passphrase)?
    } else {
        Keystore::empty()
    };
    // Keys that are there stay: the card may be with others already.
    for name in [names::NODE, names::BUYER, names::VALIDATOR, names::VOTE] {
        if !keys.contains(name) {
            keys.generate(name)?;
        }
    }
    let card = ValidatorCard::of(&keys, peer)?;
    keys.save(&data, &passphrase)?;
    config.save(&data)?;
    data.write(CARD_FILE, card.to_toml().as_bytes())?;
    let path = data.join(CARD_FILE);
    if global.json {
        output::json_pretty(
            &json!({"card": path.display().to_string(), "identity": card.identity, "payout": card.payout, "peer": card.peer}),
        );
    } else {
        output::line(path.display().to_string());
        output::progress(
            "Hand this card to the person who makes the genesis file; nothing in it is secret. With the finished file: fairweir node join FILE",
        );
    }
    Ok(())
}

/// Takes a finished genesis file, if it invites this folder's validator just as its card says.
fn join(
    global: &Global,
    file: &Path,
    digest: Option<Digest>,
    candidate: bool,
    (copy, checkpoint): (&[PeerAddr], Option<Checkpoint>),
) -> Result<(), Exit> {
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    let file = genesis::load(file)?;
    let genesis = file.genesis().map_err(genesis::refused)?;
    let made = genesis.digest();
    if let Some(expected) = digest
        && expected != made
    {
        let message = format!("the file makes genesis {made}, not {expected}: ask who made it");
        return Err(Exit::message(code::DOES_NOT_HOLD, message));
    }
    match data.genesis() {
        Ok(found) if found.digest() == made => {}
        _ => check_empty(&data)?,
    }
    let card = data.read(CARD_FILE)?.ok_or_else(|| {
        let message = format!(
            "{} has no card: `fairweir node init --chain-id {} --peer ADDRESS:PORT` makes one",
            data.path().display(),
            file.chain_id()
        );
        Exit::message(code::MACHINE, message)
    })?;
    let card = ValidatorCard::parse(&String::from_utf8_lossy(&card)).map_err(genesis::refused)?;
    let is_candidate = match file.check_invites(&card) {
        Err(CeremonyError::NotInvited) if candidate => true,
        invited => invited.map(|()| false).map_err(genesis::refused)?,
    };
    let mut config = Config::load(&data)?;
    for address in [config.listen, config.peer_listen] {
        local_node::check_address(&genesis.chain_id, address)?;
    }
    config.peers = file.peers();
    config.copy = copy.iter().map(ToString::to_string).collect();
    config.checkpoint = checkpoint.map(|checkpoint| checkpoint.to_string());
    config.save(&data)?;
    // Last: a folder with a genesis can run.
    data.write_genesis(&genesis)?;
    let validators = genesis.validators.len();
    if global.json {
        output::json_pretty(
            &json!({"chain_id": genesis.chain_id.as_str(), "genesis": made.to_string(), "validators": validators}),
        );
    } else {
        let place = if is_candidate {
            "may stand for a seat"
        } else {
            "is one"
        };
        output::line(format!(
            "{} begins with {validators} validators, and this folder {place}; genesis {made}",
            genesis.chain_id
        ));
        for (identity, peer) in &config.peers {
            output::line(format!("  {peer}  {identity}"));
        }
        output::line(
            "Compare the genesis and these addresses with the others, then: fairweir node run",
        );
        if is_candidate {
            output::line("Stand for a seat with: fairweir validator candidate");
        }
    }
    Ok(())
}

/// How a node gets to the present that trusts a block: by copying the state, since who executes everything begins at the genesis.
fn sync_from(sync: SyncArg, checkpoint: Option<Checkpoint>) -> SyncArg {
    match (sync, checkpoint) {
        (sync, None) => sync,
        (SyncArg::Blocks, Some(_)) => clap::Error::raw(
            clap::error::ErrorKind::ArgumentConflict,
            "who executes every block begins at the genesis: leave out --checkpoint, or --sync blocks\n",
        )
        .exit(),
        (SyncArg::Auto | SyncArg::State, Some(_)) => SyncArg::State,
    }
}

/// Prepares a folder for a node that follows others.
fn follow(
    global: &Global,
    nodes: &[PeerAddr],
    expected: Digest,
    (listen, sync, checkpoint): (Option<SocketAddr>, SyncArg, Option<Checkpoint>),
) -> Result<(), Exit> {
    doctor::check_clock()?;
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    check_empty(&data)?;
    let mut asked = Err(Exit::message(code::FAILED, "no node is named"));
    for node in nodes {
        asked = ask_genesis(node, expected);
        if asked.is_ok() {
            break;
        }
    }
    let genesis = asked?;
    let mut config = Config::load(&data)?;
    config.listen = listen.unwrap_or(config.listen);
    local_node::check_address(&genesis.chain_id, config.listen)?;
    config.follow = nodes.iter().map(ToString::to_string).collect();
    config.sync = sync.into();
    config.checkpoint = checkpoint.map(|checkpoint| checkpoint.to_string());
    let passphrase = local_node::passphrase(global, &data, &genesis.chain_id)?;
    let mut keys = if Keystore::exists(&data)? {
        Keystore::open(&data, &passphrase)?
    } else {
        Keystore::empty()
    };
    // The keys of a validator vote wherever they run: on two machines they would vote twice.
    local_node::check_no_validator(&keys)?;
    for name in [names::NODE, names::BUYER] {
        if !keys.contains(name) {
            keys.generate(name)?;
        }
    }
    keys.save(&data, &passphrase)?;
    config.save(&data)?;
    // Last: a folder with a genesis can run.
    data.write_genesis(&genesis)?;
    if global.json {
        output::json_pretty(
            &json!({"chain_id": genesis.chain_id.as_str(), "genesis": expected.to_string()}),
        );
    } else {
        output::line(format!("this folder follows {}", genesis.chain_id));
        output::line("Run it with: fairweir node run");
    }
    Ok(())
}

/// The genesis that a node says it is of, if it is the expected one.
fn ask_genesis(node: &PeerAddr, expected: Digest) -> Result<Genesis, Exit> {
    let genesis = connection::runtime()?.block_on(async {
        let connection = Connection::open(node.clone()).await?;
        let genesis = connection.client.genesis().await;
        connection.network.close().await;
        Ok::<_, Exit>(genesis?)
    })?;
    let found = genesis.digest();
    if found != expected {
        let message = format!(
            "the node is of genesis {found}, not {expected}: it belongs to another network"
        );
        return Err(Exit::message(code::DOES_NOT_HOLD, message));
    }
    Ok(genesis)
}

fn run(global: &Global, monitor: Option<SocketAddr>) -> Result<(), Exit> {
    doctor::check_clock()?;
    let data = global.data_dir()?;
    doctor::check_disk(data.path())?;
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let mut config = Config::load(&data)?;
    config.monitor = monitor.or(config.monitor);
    local_node::check_address(&genesis.chain_id, config.listen)?;
    let keys = Keystore::open(
        &data,
        &local_node::passphrase(global, &data, &genesis.chain_id)?,
    )?;
    let runner =
        runtime::Runner::new(runtime::Config::new().with_storage_directory(data.join("chain")));
    runner.start(|context| async move { live(global, context, &data, &config, &keys).await })
}

async fn live(
    global: &Global,
    context: runtime::Context,
    data: &DataDir,
    config: &Config,
    keys: &Keystore,
) -> Result<(), Exit> {
    let genesis = data.genesis()?;
    let LocalNode {
        network,
        chain,
        tasks,
    } = local_node::start(&context, data, config, keys, &genesis).await?;
    let address = network.local_addr();
    data.write(TICKET_FILE, address.to_string().as_bytes())?;
    if global.json {
        output::json(
            &json!({"chain_id": genesis.chain_id.as_str(), "height": chain.tip().height.get(), "oldest_block": chain.oldest_kept().get(), "address": address.to_string()}),
        );
    } else {
        output::line(format!(
            "{} runs at block {}; its address is {address}",
            genesis.chain_id,
            chain.tip().height
        ));
    }
    let watched = async {
        match config.monitor {
            Some(listen) => watch(&context, listen, chain.clone(), config.heartbeat_ms).await,
            None => std::future::pending().await,
        }
    };
    let failed = futures::future::select_all(tasks.into_iter().map(|task| Box::pin(task.ended())));
    let result = tokio::select! {
        ended = wait_for_end() => ended,
        refused = watched => refused,
        Err(set_back) = wall_clock::watch() => Err(set_back),
        (ended, ..) = failed => Err(match ended {
            Ended::Upgrade(stop) => rules::stopped(data, &stop),
            Ended::Part(part) => Exit::message(code::FAILED, format!("the chain stopped: its part {part:?} ended; see the log with -v")),
        }),
    };
    network.close().await;
    match std::fs::remove_file(data.join(TICKET_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => result.and(Err(error.into())),
        _ => result,
    }
}

/// A running node, as tools that watch it see it.
struct WatchedNode {
    context: runtime::Context,
    chain: ChainHandle,
    /// The age of the newest block above which something is wrong: a few leaders may be gone one after the other.
    age_max: Duration,
}

impl std::fmt::Debug for WatchedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchedNode")
    }
}

impl Watched for WatchedNode {
    fn health(&self) -> Health {
        let tip = self.chain.tip();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let age = now.saturating_sub(Duration::from_millis(tip.time.get()));
        let is_well = age <= self.age_max && self.chain.stopped().is_none();
        let detail = json!({
            "well": is_well,
            "chain_id": self.chain.genesis().chain_id.as_str(),
            "height": tip.height.get(),
            "newest_block_age_seconds": age.as_secs(),
            "transactions_waiting": self.chain.waiting(),
            "rules": rules::detail(&self.chain),
        });
        Health { is_well, detail }
    }

    fn metrics(&self) -> String {
        rules::metrics(&self.chain, &self.context.encode())
    }
}

/// Serves a node's monitor; ends only if it cannot.
async fn watch(
    context: &runtime::Context,
    listen: SocketAddr,
    chain: ChainHandle,
    heartbeat_ms: u64,
) -> Result<(), Exit> {
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| {
        let message = format!("cannot serve the monitor on {listen} ({error}): choose another address with --monitor");
        Exit::message(code::MACHINE, message)
    })?;
    let node = WatchedNode {
        context: context.child("monitor"),
        chain,
        age_max: Duration::from_millis(heartbeat_ms) * 5 + Duration::from_secs(10),
    };
    monitor::serve(Arc::new(node), listener, std::future::pending()).await;
    Ok(())
}

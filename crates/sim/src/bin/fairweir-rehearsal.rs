//! The next program, as far as an upgrade goes: runs the node of a folder as `fairweir node run` does, and knows one plan that no release has.
//!
//! For showing what becomes of a network that changes its rules, and for nothing else: it is never in a release.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use commonware_runtime::{Runner as _, Supervisor as _, tokio as runtime};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, Ended,
    testing::rehearsal::{REHEARSAL, TEXT},
    transport::{self, TcpConfig},
};
use fairweir_net::{
    Network as _, PeerAddr,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
};
use fairweir_node::{
    BlobStore, Config, DataDir, Keystore, Passphrase, Upstream,
    network::{self, names},
    roles::validator,
    transport_seed,
};
use fairweir_types::{Digest, Genesis, SecretKey};
use futures::future::{Either, select};
use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

/// The file that says where the running node is reached.
const TICKET_FILE: &str = "node.address";

/// Rehearse an upgrade with a program that knows its plan.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the text of the plan, for `fairweir proposal submit upgrade HEIGHT --plan FILE`.
    Plan,
    /// Run the node of a folder until Ctrl-C.
    Run {
        /// The data folder of a node that does not run: of one validator, or of a node that follows.
        data: PathBuf,
    },
}

/// The folder of a node, opened.
struct Folder {
    data: DataDir,
    config: Config,
    keys: Keystore,
    genesis: Genesis,
}

impl Folder {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let data = DataDir::open(path)?;
        let genesis = data.genesis()?;
        let passphrase = if genesis.chain_id.is_dev() {
            Passphrase::of_dev(&data)?
        } else {
            let passphrase = std::env::var("FAIRWEIR_PASSPHRASE");
            Passphrase::new(passphrase.context("FAIRWEIR_PASSPHRASE opens the keystore")?)
        };
        Ok(Self {
            config: Config::load(&data)?,
            keys: Keystore::open(&data, &passphrase)?,
            genesis,
            data,
        })
    }

    /// How its chain is set up, but for what depends on its kind.
    fn set_up(&self, chain: ChainConfig) -> ChainConfig {
        ChainConfig {
            heartbeat: Duration::from_millis(self.config.heartbeat_ms),
            retain_blocks: self.config.retain_blocks,
            sync: self.config.sync.into(),
            plans: REHEARSAL,
            ..chain
        }
    }

    /// Starts the folder's one validator.
    async fn validate(
        &self,
        context: &runtime::Context,
        shelf: Arc<BlobStore>,
    ) -> anyhow::Result<(ChainHandle, ChainTask)> {
        let mut validators = network::validators(&self.keys);
        let (identity, vote) = validators.next().context("the folder has no validator")?;
        if validators.next().is_some() {
            bail!("the folder has more than one validator");
        }
        let identity: SecretKey = self.keys.account(&identity)?;
        let vote_key = self.keys.vote_key(&vote)?;
        let mut config = ChainConfig::new(self.genesis.clone(), identity.clone(), vote_key);
        config.shelf = shelf;
        let address = |identity: &[u8; 32]| -> Option<SocketAddr> {
            let identity = Digest(*identity).to_string();
            self.config.peers.get(&identity).copied()
        };
        let validators = self.genesis.validators.iter();
        let addresses: Option<Vec<_>> = validators
            .map(|validator| address(&validator.identity))
            .collect();
        let tcp = TcpConfig {
            listen: self.config.peer_listen,
            addresses: addresses.context("the settings say where each validator is")?,
        };
        let context = context.child("validator");
        let (transport, _) = transport::tcp(&context, &self.genesis, &identity, &tcp)?;
        Ok(validator::start_replica(context, self.set_up(config), transport).await?)
    }

    /// Starts a node without a vote.
    async fn follow(
        &self,
        context: &runtime::Context,
        network: &QuicNetwork,
    ) -> anyhow::Result<(ChainHandle, ChainTask)> {
        let nodes: Result<Vec<PeerAddr>, _> =
            self.config.follow.iter().map(|node| node.parse()).collect();
        let mut nodes = nodes?.into_iter();
        let first = nodes.next().context("the folder follows a node")?;
        let upstream = Upstream::new(network, first, nodes.collect());
        let identity = self.keys.account(names::NODE)?;
        let config = self.set_up(ChainConfig::follower(self.genesis.clone(), identity));
        Ok(validator::start_follower(context.child("follower"), config, upstream).await?)
    }
}

async fn run(context: runtime::Context, folder: Folder) -> anyhow::Result<()> {
    let options = QuicOptions {
        secret_key: transport_seed(folder.keys.seed(names::NODE)?),
        listen: folder.config.listen,
        policy: if folder.genesis.chain_id.is_dev() {
            DialPolicy::LoopbackOnly
        } else {
            DialPolicy::Any
        },
        advertise: folder.config.advertise.clone(),
    };
    let network = QuicNetwork::bind(options).await?;
    let bytes_max = usize::try_from(folder.config.blob_bytes_max).unwrap_or(usize::MAX);
    let blobs = Arc::new(BlobStore::at(&folder.data.join("blobs"), bytes_max)?);
    let (chain, task) = if folder.config.follow.is_empty() {
        folder
            .validate(&context, Arc::<BlobStore>::clone(&blobs))
            .await?
    } else {
        folder.follow(&context, &network).await?
    };
    validator::open_door(context.child("api"), &chain, &network, blobs)?;
    let address = network.local_addr().to_string();
    folder.data.write(TICKET_FILE, address.as_bytes())?;
    let stopped = pin!(tokio::signal::ctrl_c());
    match select(stopped, pin!(task.ended())).await {
        Either::Left((stopped, _)) => stopped?,
        Either::Right((Ended::Upgrade(stop), _)) => bail!("{stop}"),
        Either::Right((Ended::Part(part), _)) => bail!("the part {part} of the chain ended"),
    }
    network.close().await;
    std::fs::remove_file(folder.data.join(TICKET_FILE))?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let path = match Arguments::parse().command {
        Command::Plan => {
            std::io::stdout().write_all(TEXT.as_bytes())?;
            return Ok(());
        }
        Command::Run { data } => data,
    };
    let folder = Folder::open(&path)?;
    let _lock = folder.data.lock()?;
    let chain = folder.data.join("chain");
    let runner = runtime::Runner::new(runtime::Config::new().with_storage_directory(chain));
    runner.start(|context| run(context, folder))
}

use crate::{
    Global,
    commands::{doctor, up},
    connection::TICKET_FILE,
    failure::{Exit, code},
    local_node::{self, LocalNode},
    output,
};
use commonware_runtime::{Runner as _, tokio as runtime};
use fairweir_net::Network as _;
use fairweir_node::{Config, DataDir, Keystore, network};
use fairweir_types::ChainId;
use serde_json::json;
use std::net::SocketAddr;

/// Run or set up a node: the ledger and its clients' door, without workers and verifiers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Node {
    /// Found a network: keys, genesis, settings. Its first money is in the account `buyer`.
    Init {
        /// The chain's name: 1 to 32 of a-z, 0-9 and -. A name that begins with dev- stays on this machine.
        #[arg(long, value_name = "NAME")]
        chain_id: String,
        /// Where the node will listen.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Run the node until Ctrl-C.
    Run,
    /// Print the address under which clients and workers reach the running node.
    Address,
}

impl Node {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Init { chain_id, listen } => init(global, &chain_id, listen),
            Self::Run => run(global),
            Self::Address => {
                output::line(global.node_address()?.to_string());
                Ok(())
            }
        }
    }
}

fn init(global: &Global, chain_id: &str, listen: Option<SocketAddr>) -> Result<(), Exit> {
    doctor::check_clock()?;
    let data = global.data_dir()?;
    let _lock = data.lock()?;
    if data.genesis().is_ok() {
        return Err(Exit::message(
            code::MACHINE,
            format!("{} holds a network already", data.path().display()),
        ));
    }
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

fn run(global: &Global) -> Result<(), Exit> {
    doctor::check_clock()?;
    let data = global.data_dir()?;
    doctor::check_disk(data.path())?;
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let config = Config::load(&data)?;
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
            &json!({"chain_id": genesis.chain_id.as_str(), "height": chain.tip().height.get(), "address": address.to_string()}),
        );
    } else {
        output::line(format!(
            "{} runs at block {}; its address is {address}",
            genesis.chain_id,
            chain.tip().height
        ));
    }
    let failed = futures::future::select_all(tasks.into_iter().map(|task| Box::pin(task.failed())));
    let result = tokio::select! {
        ended = up::wait_for_end() => ended,
        (part, ..) = failed => Err(Exit::message(code::FAILED, format!("the chain stopped: its part {part:?} ended; see the log with -v"))),
    };
    network.close().await;
    std::fs::remove_file(data.join(TICKET_FILE))?;
    result
}

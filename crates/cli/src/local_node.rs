//! The node of a data folder, as `up` and `node run` start it.

use crate::{
    Global,
    connection::listen_failure,
    failure::{Exit, code},
};
use commonware_runtime::{Supervisor as _, tokio as runtime};
use fairweir_chain::{ChainConfig, ChainHandle, ChainTask};
use fairweir_net::quic::{DialPolicy, QuicNetwork, QuicOptions};
use fairweir_node::{
    BlobStore, Config, DataDir, Keystore, Passphrase, network::names, roles::validator,
    transport_seed,
};
use fairweir_types::{ChainId, Genesis};
use std::{net::SocketAddr, time::Duration};

/// A running node: its network, its chain, and the task that keeps it going.
pub(crate) struct LocalNode {
    pub(crate) network: QuicNetwork,
    pub(crate) chain: ChainHandle,
    pub(crate) task: ChainTask,
}

/// Starts the validator of a folder and its clients' door.
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
    let mut chain_config = ChainConfig::new(
        genesis.clone(),
        keys.account(names::VALIDATOR)?,
        keys.vote_key(names::VOTE)?,
    );
    chain_config.heartbeat = Duration::from_millis(config.heartbeat_ms);
    let bytes_max = usize::try_from(config.blob_bytes_max).unwrap_or(usize::MAX);
    let blobs = BlobStore::at(&data.join("blobs"), bytes_max)
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    let (chain, task) =
        validator::start_alone(context.child("validator"), chain_config, &network, blobs)
            .await
            .map_err(|error| Exit::new(code::MACHINE, error))?;
    check_chain_time(&chain)?;
    Ok(LocalNode {
        network,
        chain,
        task,
    })
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

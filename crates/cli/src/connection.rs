//! A command's way to a node: folder, keys, network.

use crate::{
    Global,
    failure::{Exit, code},
};
use fairweir_client::{NodeClient, Sender};
use fairweir_net::{
    NetError, Network as _, PeerAddr,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
};
use fairweir_node::{DataDir, Keystore, Passphrase, random_seed};
use fairweir_types::{Action, ChainId, node_api::Included};
use std::{
    future::Future,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// The file in the data folder that says where its node listens.
pub(crate) const TICKET_FILE: &str = "node.address";

impl Global {
    /// The data folder's path: the option, else the user's data folder.
    pub(crate) fn data_path(&self) -> PathBuf {
        if let Some(path) = &self.data {
            return path.clone();
        }
        let home = || {
            std::env::var_os("HOME")
                .map_or_else(|| PathBuf::from("."), PathBuf::from)
                .join(".local/share")
        };
        std::env::var_os("XDG_DATA_HOME")
            .map_or_else(home, PathBuf::from)
            .join("fairweir")
    }

    /// Opens the data folder.
    pub(crate) fn data_dir(&self) -> Result<DataDir, Exit> {
        Ok(DataDir::open(&self.data_path())?)
    }

    /// The passphrase: the file, the environment, a development network's own, or asked for.
    pub(crate) fn passphrase(&self, data: &DataDir) -> Result<Passphrase, Exit> {
        if let Some(passphrase) = self.passphrase_given()? {
            return Ok(passphrase);
        }
        if let Some(dev) = Passphrase::of_dev_if_any(data)? {
            return Ok(dev);
        }
        let asked = rpassword::prompt_password("Passphrase of the keys: ");
        match asked {
            Ok(text) if !text.is_empty() => Ok(Passphrase::new(text)),
            _ => Err(fairweir_node::KeystoreError::NoPassphrase.into()),
        }
    }

    /// The passphrase, if the command line or the environment gives one.
    pub(crate) fn passphrase_given(&self) -> Result<Option<Passphrase>, Exit> {
        if let Some(path) = &self.passphrase_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
            })?;
            let line = text.lines().next().unwrap_or_default();
            if line.is_empty() {
                let message = format!("{}: the first line must be the passphrase", path.display());
                return Err(Exit::message(code::MACHINE, message));
            }
            return Ok(Some(Passphrase::new(line.to_owned())));
        }
        Ok(std::env::var("FAIRWEIR_PASSPHRASE")
            .ok()
            .filter(|text| !text.is_empty())
            .map(Passphrase::new))
    }

    /// The keys of the data folder.
    pub(crate) fn keystore(&self) -> Result<Keystore, Exit> {
        let data = self.data_dir()?;
        if !Keystore::exists(&data)? {
            return Err(fairweir_node::KeystoreError::Missing.into());
        }
        Ok(Keystore::open(&data, &self.passphrase(&data)?)?)
    }

    /// The address of the node to ask.
    pub(crate) fn node_address(&self) -> Result<PeerAddr, Exit> {
        let text = match &self.node {
            Some(text) => text.clone(),
            None => {
                let bytes = self.data_dir()?.read(TICKET_FILE)?.ok_or_else(|| {
                    let path = self.data_path();
                    let path = path.display();
                    Exit::message(code::UNREACHABLE, format!("no node runs in {path}: start one with `fairweir up`, or name one with --node"))
                })?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        text.trim().parse().map_err(|_| {
            Exit::message(
                code::FAILED,
                "this is no node address: it is one word that begins with fwpeer1",
            )
        })
    }
}

/// A client of the node, with a network of its own.
pub(crate) struct Connection {
    pub(crate) client: NodeClient<QuicNetwork>,
    pub(crate) network: QuicNetwork,
}

impl Connection {
    /// Opens a network that can reach `node`.
    pub(crate) async fn open(node: PeerAddr) -> Result<Self, Exit> {
        let network = bind_for(&node, None, None).await?;
        Ok(Self {
            client: NodeClient::new(network.clone(), node),
            network,
        })
    }

    /// A sender for a key.
    pub(crate) async fn sender(
        &self,
        keys: &Keystore,
        name: &str,
    ) -> Result<Sender<QuicNetwork>, Exit> {
        let chain_id: ChainId = self.client.status().await?.header.chain_id;
        Ok(Sender::new(
            self.client.clone(),
            chain_id,
            keys.account(name)?,
        ))
    }
}

/// Binds a network with a fresh or given transport key that can reach a peer: on loopback if the peer is there.
pub(crate) async fn bind_for(
    peer: &PeerAddr,
    listen: Option<SocketAddr>,
    secret_key: Option<[u8; 32]>,
) -> Result<QuicNetwork, Exit> {
    let is_local = peer
        .addrs()
        .iter()
        .all(|addr| addr.ip().to_canonical().is_loopback());
    let is_v6 = peer.addrs().first().is_some_and(SocketAddr::is_ipv6);
    let any: SocketAddr = match (is_local, is_v6) {
        (true, false) => (Ipv4Addr::LOCALHOST, 0).into(),
        (true, true) => (Ipv6Addr::LOCALHOST, 0).into(),
        (false, false) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        (false, true) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let policy = if is_local {
        DialPolicy::LoopbackOnly
    } else {
        DialPolicy::Any
    };
    let options = QuicOptions {
        secret_key: match secret_key {
            Some(given) => given,
            None => *random_seed()?,
        },
        listen: listen.unwrap_or(any),
        policy,
        advertise: Vec::new(),
    };
    QuicNetwork::bind(options)
        .await
        .map_err(|error| listen_failure(&error))
}

/// A network that does not listen: what to do about it.
pub(crate) fn listen_failure(error: &NetError) -> Exit {
    let advice = match error {
        NetError::AddressInUse { addr } => format!(
            "port {} is busy: another program listens on {addr}. Stop it, or choose another with --listen {}:0",
            addr.port(),
            addr.ip()
        ),
        other => format!("cannot listen: {other}"),
    };
    Exit::message(code::MACHINE, advice)
}

/// Runs a client's future on a runtime of its own, with a connection to the node.
pub(crate) fn with_connection<T, F>(
    global: &Global,
    run: impl FnOnce(Connection) -> F,
) -> Result<T, Exit>
where
    F: Future<Output = Result<T, Exit>>,
{
    let node = global.node_address()?;
    runtime()?.block_on(async {
        let connection = Connection::open(node).await?;
        let network = connection.network.clone();
        let result = run(connection).await;
        network.close().await;
        result
    })
}

/// Sends one action with a key of the data folder, and waits until it is final and done.
pub(crate) fn send(global: &Global, key: &str, action: Action) -> Result<Included, Exit> {
    let keys = global.keystore()?;
    with_connection(global, |connection| async move {
        Ok(connection.sender(&keys, key).await?.send(action).await?)
    })
}

/// A small runtime for a client.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

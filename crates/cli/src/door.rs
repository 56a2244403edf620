//! The door for OpenAI's clients, as `gateway` and `up` open it.

use crate::{
    connection::Connection,
    failure::{Exit, code},
    models, output,
};
use core::future::Future;
use fairweir_client::Sender;
use fairweir_gateway::{
    ApiKeys, GatewayOptions, KeyLimits, Market, Model, ModelKind, NetworkMarket, NetworkOptions,
    OrderFees, Payment, TokenCounter, serve,
};
use fairweir_net::quic::QuicNetwork;
use fairweir_node::{DataDir, Keystore, OutputStore};
use fairweir_services::{
    inference::{
        ModelId, ModelStore,
        chat::{CONTEXT_MAX, Prompt, PromptReader},
    },
    pipeline::Shelf,
};
use fairweir_types::{Action, Address, Amount, Millis, order::PriceVector, tx};
use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpListener;

/// The key of a gateway's own account. It is never the owner's: what is on it is the most that the gateway can spend.
pub(crate) const KEY: &str = "gateway";
/// Where gateways listen unless they are told.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";
/// The file of API keys in the data folder.
const API_KEYS: &str = "api-keys.json";
/// The secret of a development network's own API key.
const DEV_SECRET: &str = "api-key.dev";
/// Tokens that an embedding model takes, as far as clients are told.
const EMBEDDING_CONTEXT: u32 = 512;

/// The API keys of a data folder.
pub(crate) fn api_keys(data: &DataDir) -> Result<ApiKeys, Exit> {
    ApiKeys::open(&data.join(API_KEYS)).map_err(|error| Exit::new(code::MACHINE, error))
}

/// The API key that a development network makes for its user, kept beside the network's other keys.
pub(crate) fn dev_secret(data: &DataDir) -> Result<String, Exit> {
    if let Some(secret) = data.read(DEV_SECRET)? {
        return Ok(String::from_utf8_lossy(&secret).trim().to_owned());
    }
    let (_, secret) = api_keys(data)?
        .create("up", KeyLimits::default())
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    data.write(DEV_SECRET, secret.as_bytes())?;
    Ok(secret)
}

/// Counts tokens by the models of this machine.
#[derive(Debug)]
struct Counter {
    store: ModelStore,
    readers: Mutex<BTreeMap<ModelId, Arc<PromptReader>>>,
}

impl Counter {
    fn reader(&self, id: ModelId) -> Option<Arc<PromptReader>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(&id) {
            return Some(Arc::clone(reader));
        }
        let reader = Arc::new(PromptReader::open(&self.store, id).ok()?);
        readers.insert(id, Arc::clone(&reader));
        Some(reader)
    }
}

impl TokenCounter for Counter {
    fn count(&self, model: ModelId, prompt: &Prompt) -> Option<Result<u32, String>> {
        let tokens = self.reader(model)?.tokens(prompt);
        Some(
            tokens
                .map(|tokens| u32::try_from(tokens.len()).unwrap_or(u32::MAX))
                .map_err(|error| error.to_string()),
        )
    }
}

/// The models of this machine as clients see them; of these the gateway shows what workers offer.
fn models(store: &ModelStore) -> Result<Vec<Model>, Exit> {
    let all = store.list().map_err(models::exit)?;
    let context = u32::try_from(CONTEXT_MAX).unwrap_or(u32::MAX);
    let model = |(id, info): (ModelId, fairweir_services::inference::ModelInfo)| {
        let (kind, context) = if info.is_chat() {
            let known = PromptReader::open(store, id).map(|reader| reader.context());
            let known = known.ok().and_then(|known| u32::try_from(known).ok());
            (ModelKind::Chat, known.unwrap_or(context))
        } else {
            (ModelKind::Embedding, EMBEDDING_CONTEXT)
        };
        Model {
            name: info.name,
            id,
            kind,
            context,
        }
    };
    Ok(all.into_iter().map(model).collect())
}

/// Makes the gateway's account if there is none, and fills it up to an amount from an owner's account.
pub(crate) async fn fund(
    connection: &Connection,
    keys: &Keystore,
    (owner, coins): (&str, Amount),
) -> Result<(), Exit> {
    let account: Address = keys.account(KEY)?.address();
    let balance = connection.client.account(account).await?.balance;
    let Ok(amount) = coins.checked_sub(balance) else {
        return Ok(());
    };
    if amount == Amount::ZERO {
        return Ok(());
    }
    let transfer = Action::Transfer(tx::Transfer {
        to: account,
        amount,
    });
    connection.sender(keys, owner).await?.send(transfer).await?;
    Ok(())
}

/// Listens; a development network takes any free port when its usual one is busy.
pub(crate) async fn listen(address: SocketAddr, or_any: bool) -> Result<TcpListener, Exit> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && or_any => {
            let any = SocketAddr::new(address.ip(), 0);
            TcpListener::bind(any)
                .await
                .map_err(|error| Exit::new(code::MACHINE, error))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Exit::message(
            code::MACHINE,
            format!(
                "port {} is busy: another program listens on {address}. Stop it, or choose another with --listen",
                address.port()
            ),
        )),
        result => result.map_err(|error| Exit::new(code::MACHINE, error)),
    }
}

/// What a door needs.
pub(crate) struct Door {
    pub(crate) sender: Sender<QuicNetwork>,
    pub(crate) store: ModelStore,
    pub(crate) keys: ApiKeys,
    pub(crate) price_max: Amount,
    pub(crate) concurrent_max: usize,
    pub(crate) payment: Payment,
    /// Where sessions survive a crash.
    pub(crate) sessions: Option<Sessions>,
}

/// Where one gateway's open sessions are written down, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Arc<OutputStore>,
    _lock: File,
}

/// The place in a folder; none while another gateway of the same folder has it: two that went on with one session would use its
/// numbers twice.
pub(crate) fn sessions(data: &DataDir) -> Result<Option<Sessions>, Exit> {
    let lock = File::create(data.join("gateway-sessions.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            output::progress(
                "another gateway of this folder has its sessions; this one opens its own",
            );
            return Ok(None);
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(Some(Sessions {
        store: Arc::new(OutputStore::at(&data.join("gateway-sessions"))?),
        _lock: lock,
    }))
}

/// Serves until `shutdown`.
pub(crate) async fn open(
    door: Door,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Exit> {
    let price = door.price_max;
    let options = NetworkOptions {
        models: models(&door.store)?,
        price_max: PriceVector {
            input: price,
            cached_input: Amount::ZERO,
            output: price,
            time: Amount::ZERO,
        },
        match_within: Millis(30_000),
        fees: OrderFees::default(),
        payment: door.payment,
        sessions: door.sessions.as_ref().map(|sessions| {
            let store: Arc<dyn Shelf> = sessions.store.clone();
            store
        }),
    };
    let market = NetworkMarket::start(door.sender, options).await?;
    let options = GatewayOptions {
        concurrent_max: door.concurrent_max,
        counter: Some(Arc::new(Counter {
            store: door.store,
            readers: Mutex::default(),
        })),
        ..GatewayOptions::default()
    };
    let shared: Arc<dyn Market> = Arc::clone(&market) as Arc<dyn Market>;
    let served = serve(options, shared, door.keys, listener, shutdown).await;
    market.close().await;
    served.map_err(|error| Exit::new(code::MACHINE, error))
}

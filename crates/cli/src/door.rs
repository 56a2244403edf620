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
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpListener;

/// The key of a gateway's own account, never the owner's: it spends what is on it, or what an owner grants it.
pub(crate) const KEY: &str = "gateway";
/// Where gateways listen unless they are told.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";
/// The file of API keys in the data folder.
const API_KEYS: &str = "api-keys.json";
/// Tokens that an embedding model takes, as far as clients are told.
const EMBEDDING_CONTEXT: u32 = 512;

/// The API keys of a data folder.
pub(crate) fn api_keys(data: &DataDir) -> Result<ApiKeys, Exit> {
    ApiKeys::open(&data.join(API_KEYS)).map_err(|error| Exit::new(code::MACHINE, error))
}

/// An API key that is made for the folder's own user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnKey {
    name: &'static str,
    /// Its secret, kept beside the folder's other keys.
    file: &'static str,
}

impl OwnKey {
    /// That of a development network.
    pub(crate) const DEV: Self = Self {
        name: "up",
        file: "api-key.dev",
    };
    /// That of a gateway which serves its own machine alone.
    pub(crate) const LOCAL: Self = Self {
        name: "local",
        file: "api-key.local",
    };

    /// Its secret; the key is made if there is none that holds.
    pub(crate) fn secret(self, data: &DataDir) -> Result<String, Exit> {
        let keys = api_keys(data)?;
        if let Some(secret) = data.read(self.file)? {
            let secret = String::from_utf8_lossy(&secret).trim().to_owned();
            if keys.holds(&secret) {
                return Ok(secret);
            }
        }
        let (_, secret) = keys
            .create(self.name, KeyLimits::default())
            .map_err(|error| Exit::new(code::MACHINE, error))?;
        data.write(self.file, secret.as_bytes())?;
        Ok(secret)
    }
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

/// Coins that the gateway's own account needs for the fees of its transactions.
const FEE_COINS: u64 = 1;
/// Days that a gateway's grant lasts.
const GRANT_DAYS: u16 = 30;
/// A grant with fewer days left is renewed.
const GRANT_RENEWED_DAYS: u16 = 1;
const DAY_MS: u64 = 86_400_000;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The time in so many days, in milliseconds since the Unix epoch.
pub(crate) fn in_days(days: u16) -> Millis {
    Millis(now().saturating_add(DAY_MS.saturating_mul(u64::from(days))))
}

/// How long something lasts that ends then.
pub(crate) fn time_left(until: Millis) -> String {
    match until.get().checked_sub(now()) {
        Some(left) => format!("for {} more days", left / DAY_MS),
        None => "but its time is over".to_owned(),
    }
}

/// Lets the gateway spend an owner's coins up to a cap, and gives its account what fees take. A grant of this cap that still holds stays as it
/// is, however much of it is left: only its owner renews what was spent.
pub(crate) async fn grant(
    connection: &Connection,
    keys: &Keystore,
    (owner, cap): (&str, Amount),
) -> Result<(), Exit> {
    let gateway: Address = keys.account(KEY)?.address();
    let sender = connection.sender(keys, owner).await?;
    let fees = Amount::from_coins(FEE_COINS).unwrap_or(Amount::MAX);
    let balance = connection.client.account(gateway).await?.balance;
    if let Ok(amount) = fees.checked_sub(balance)
        && amount > Amount::ZERO
    {
        let transfer = tx::Transfer {
            to: gateway,
            amount,
        };
        sender.send(Action::Transfer(transfer)).await?;
    }
    let known = connection.client.account(sender.key().address()).await?;
    let suffices = known.delegates.iter().any(|granted| {
        granted.delegate == gateway
            && granted.cap == cap
            && granted.until > in_days(GRANT_RENEWED_DAYS)
    });
    if suffices {
        return Ok(());
    }
    let grant = tx::GrantDelegate {
        delegate: gateway,
        cap,
        until: in_days(GRANT_DAYS),
    };
    sender.send(Action::GrantDelegate(grant)).await?;
    Ok(())
}

/// Refuses to start a gateway that has nothing to spend.
pub(crate) async fn check_coins(connection: &Connection, gateway: Address) -> Result<(), Exit> {
    if connection.client.account(gateway).await?.balance > Amount::ZERO {
        return Ok(());
    }
    Err(Exit::message(
        code::REFUSED,
        format!(
            "the gateway's account has no coins: send it some with 'fairweir transfer {gateway} COINS', or let it spend yours with --owner NAME --cap COINS"
        ),
    ))
}

/// Refuses to start a gateway that its owner grants nothing.
pub(crate) async fn check_grant(
    connection: &Connection,
    owner: Address,
    gateway: Address,
) -> Result<(), Exit> {
    let report = connection.client.account(owner).await?;
    let granted = report
        .delegates
        .iter()
        .find(|granted| granted.delegate == gateway);
    let Some(granted) = granted else {
        return Err(Exit::message(
            code::REFUSED,
            format!(
                "{owner} grants this gateway nothing: say 'fairweir delegate grant {gateway} --cap COINS' where the owner's key is, or --cap here"
            ),
        ));
    };
    if granted.until.get() < now() {
        return Err(Exit::message(
            code::REFUSED,
            format!(
                "the grant of {owner} to this gateway has ended: grant it anew with 'fairweir delegate grant {gateway} --cap COINS'"
            ),
        ));
    }
    if connection.client.account(gateway).await?.balance == Amount::ZERO {
        return Err(Exit::message(
            code::REFUSED,
            format!(
                "the gateway pays the fees of its transactions itself and has no coins: 'fairweir transfer {gateway} 1' sends it one"
            ),
        ));
    }
    if granted.left == Amount::ZERO {
        output::progress(format!(
            "nothing is left of the grant of {} coins: 'fairweir delegate grant {gateway} --cap COINS' renews it",
            granted.cap
        ));
    }
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
    /// Whose coins it spends by a grant; without one its own.
    pub(crate) owner: Option<Address>,
    /// What the next process goes on with.
    pub(crate) records: Option<Records>,
}

/// Where one gateway's open sessions and its receipts are written down, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Records {
    sessions: Arc<OutputStore>,
    /// Without it they are in memory alone.
    receipts: Option<Arc<OutputStore>>,
    _lock: File,
}

/// The place in a folder; none while another gateway of the same folder has it: two that went on with one session would use its
/// numbers twice.
pub(crate) fn records(data: &DataDir, with_receipts: bool) -> Result<Option<Records>, Exit> {
    let lock = File::create(data.join("gateway-sessions.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            output::progress(
                "another gateway of this folder has its sessions and receipts; this one opens its own, and forgets them when it ends",
            );
            return Ok(None);
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let folder = data.join("gateway-receipts");
    if !with_receipts && folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let receipts = with_receipts.then(|| OutputStore::private_at(&folder));
    Ok(Some(Records {
        sessions: Arc::new(OutputStore::at(&data.join("gateway-sessions"))?),
        receipts: receipts.transpose()?.map(Arc::new),
        _lock: lock,
    }))
}

/// Serves until `shutdown`.
pub(crate) async fn open(
    door: Door,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Exit> {
    let (price, records) = (door.price_max, door.records.as_ref());
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
        owner: door.owner,
        sessions: records.map(|records| Arc::clone(&records.sessions) as Arc<dyn Shelf>),
        receipts: records
            .and_then(|records| records.receipts.clone())
            .map(|receipts| receipts as Arc<dyn Shelf>),
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

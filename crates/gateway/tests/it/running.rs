//! Databases, blocks and a running explorer.

use crate::{script, world::World};
use fairweir_client::FinalBlock;
use fairweir_gateway::explorer::{ExplorerOptions, Following, Index, Live, serve};
use fairweir_types::{
    Address, Amount, Block, BlockHeader, BoundedVec, Digest, Height,
    block::{BLOCK_VERSION, CERTIFICATE_SCHEME_BLS12381_MULTISIG},
    event::Seat,
    node_api::{AccountReport, CandidatesReport, Status},
};
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

/// The environment's name for another database than SQLite.
const DATABASE: &str = "FAIRWEIR_TEST_DATABASE";

/// An empty database of its own.
pub(crate) struct Database {
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match std::env::var(DATABASE) {
            Ok(template) => {
                let name = folder.path().file_name().unwrap().to_string_lossy();
                let name: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
                let name = format!("explorer_{name}");
                sqlx::any::install_default_drivers();
                let mut admin = sqlx::AnyConnection::connect(&template.replace("{}", "postgres"))
                    .await
                    .unwrap();
                let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
                admin.execute(sql).await.unwrap();
                admin.close().await.unwrap();
                template.replace("{}", &name)
            }
            Err(_) => format!("sqlite:{}", folder.path().join("explorer.db").display()),
        };
        Self {
            url,
            _folder: folder,
        }
    }
}

pub(crate) async fn dump(index: &Index) -> Vec<String> {
    let mut lines = Vec::new();
    index
        .dump(|line| {
            lines.push(line);
            Ok(())
        })
        .await
        .unwrap();
    lines
}

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ledger/tests/it/scripts")
}

/// The names of all scripts of the ledger.
pub(crate) fn script_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(scripts())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(
        names.len() > 20,
        "the ledger's scripts are not where they were"
    );
    names
}

/// What a script does to a ledger.
pub(crate) fn play(name: &str) -> World {
    let text = std::fs::read_to_string(scripts().join(name)).unwrap();
    script::run(name, &text).unwrap()
}

/// The blocks of a world, one after the other. Their headers bind them together as a chain's do.
pub(crate) fn blocks(world: &World) -> Vec<FinalBlock> {
    let mut parent = Digest::ZERO;
    let blocks = world.blocks.iter().map(|made| {
        let context = &made.context;
        let header = BlockHeader {
            version: BLOCK_VERSION,
            chain_id: context.chain_id.clone(),
            certificate_scheme: CERTIFICATE_SCHEME_BLS12381_MULTISIG,
            height: context.height,
            parent,
            epoch: 0,
            view: context.height.get(),
            parent_view: context.height.get() - 1,
            proposer: context.proposer,
            time: context.time,
            beacon_signature: None,
            beacon: context.beacon,
            transactions_root: Digest::ZERO,
            outcomes_root: Digest::ZERO,
            events_root: Digest::ZERO,
            outbox_root: Digest::ZERO,
            state_root: Digest::ZERO,
            state_ops_root: Digest::ZERO,
            state_range_start: 0,
            state_range_end: 0,
        };
        let digest = header.digest();
        parent = digest;
        let transactions: Vec<_> = made.txs.iter().map(|tx| tx.signed().clone()).collect();
        FinalBlock {
            block: Block {
                header,
                transactions: BoundedVec::new(transactions).unwrap(),
            },
            digest,
            outcomes: made.outcomes.clone(),
            events: made.events.clone(),
        }
    });
    blocks.collect()
}

/// A node that answers nothing but who has the seats.
#[derive(Debug)]
struct Silent;

impl Live for Silent {
    fn status(&self) -> BoxFuture<'_, Option<Status>> {
        async { None }.boxed()
    }

    fn candidates(&self) -> BoxFuture<'_, Option<CandidatesReport>> {
        async {
            let seat = Seat {
                validator: [7; 32],
                vote_key: [7; 48],
                stake: Amount::from_coins(5).unwrap(),
            };
            Some(CandidatesReport {
                epoch: 3,
                ends: Height(40),
                by_stake: true,
                since: 2,
                seats: BoundedVec::new(vec![seat]).unwrap(),
                stake: Amount::from_coins(5).unwrap(),
                absent: Amount::ZERO,
                stake_min: Amount::ZERO,
                seats_min: 4,
                candidates: BoundedVec::default(),
            })
        }
        .boxed()
    }

    fn account(&self, _: Address) -> BoxFuture<'_, Option<AccountReport>> {
        async { None }.boxed()
    }
}

/// An explorer that answers.
pub(crate) struct Running {
    pub(crate) index: Index,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinSet<()>,
    _database: Database,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn items(&self) -> &[Value] {
        self.body["items"].as_array().unwrap()
    }
}

pub(crate) async fn start(world: &World, options: ExplorerOptions) -> Running {
    let database = Database::new().await;
    let index = Index::open(&database.url, &world.genesis).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let chain = ("dev-test".to_owned(), world.genesis.digest().to_string());
    let given = index.clone();
    let mut served = JoinSet::new();
    served.spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        let live = Arc::new(Silent);
        serve(
            options,
            given,
            chain,
            live,
            Following::default(),
            listener,
            shutdown,
        )
        .await
        .unwrap();
    });
    Running {
        index,
        address,
        stop: Some(stop),
        served,
        _database: database,
    }
}

impl Running {
    pub(crate) async fn connect(&self, method: &str, path: &str, extra: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{extra}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> Reply {
        let mut stream = self.connect(method, path, "").await;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            head: head.to_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", &format!("/api/v1{path}")).await
    }

    /// Everything of a list, page by page.
    pub(crate) async fn all(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let reply = self
                .get(&format!("{path}{mark}limit={limit}{cursor}"))
                .await;
            assert_eq!(reply.status, 200, "{path}: {:?}", reply.body);
            assert!(reply.items().len() <= limit);
            items.extend_from_slice(reply.items());
            match reply.body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Reads of a stream until a text has come.
    pub(crate) async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
        let mut text = String::new();
        let read = async {
            while !text.contains(wanted) {
                let mut bytes = [0; 4_096];
                let count = stream.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the stream ended after {text}");
                text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .unwrap();
        text
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take();
        self.served.join_next().await.unwrap().unwrap();
    }
}

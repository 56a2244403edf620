//! The gateway over HTTP, in front of a scripted market.

#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

mod answers;
mod limits;
mod script;

use crate::{ApiKeys, GatewayOptions, KeyLimits, serve};
use script::ScriptMarket;
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

/// A gateway that runs until it is dropped.
struct Running {
    address: SocketAddr,
    market: Arc<ScriptMarket>,
    keys: ApiKeys,
    secret: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinSet<()>,
    _folder: tempfile::TempDir,
}

/// What came back.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The data of each event.
    fn events(&self) -> Vec<Value> {
        let payloads = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        payloads
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
            .collect()
    }

    fn error(&self) -> (u16, Value, Value, Value) {
        let error = &self.json()["error"];
        let (kind, code, param) = (&error["type"], &error["code"], &error["param"]);
        (self.status, kind.clone(), code.clone(), param.clone())
    }
}

async fn start(options: GatewayOptions) -> Running {
    start_with(options, KeyLimits::default()).await
}

async fn start_with(options: GatewayOptions, limits: KeyLimits) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(&folder.path().join("keys.json")).unwrap();
    let (_, secret) = keys.create("test", limits).unwrap();
    let market = Arc::new(ScriptMarket::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut task = JoinSet::new();
    let served = serve(
        options,
        Arc::clone(&market) as _,
        keys.clone(),
        listener,
        async {
            let _ = stopped.await;
        },
    );
    task.spawn(async move { served.await.unwrap() });
    Running {
        address,
        market,
        keys,
        secret,
        stop: Some(stop),
        task,
        _folder: folder,
    }
}

impl Running {
    /// Opens a connection and sends a request.
    async fn send(&self, method: &str, path: &str, key: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> Reply {
        let mut stream = self.send(method, path, key, body).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        reply(&bytes)
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &self.secret, &body.to_string())
            .await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &self.secret, "").await
    }

    async fn chat(&self, extra: Value) -> Reply {
        self.post("/v1/chat/completions", &chat(&extra)).await
    }
}

fn chat(extra: &Value) -> Value {
    let mut body = json!({
        "model": "tiny",
        "messages": [{"role": "user", "content": "say something"}],
        "seed": 7,
    });
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn reply(bytes: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(bytes);
    let (head, rest) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked {
        dechunked(rest)
    } else {
        rest.to_owned()
    };
    Reply {
        status: status.parse().unwrap(),
        headers,
        body,
    }
}

fn dechunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    body
}

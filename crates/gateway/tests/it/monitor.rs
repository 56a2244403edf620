//! What a node tells the tools that watch it.

use fairweir_gateway::monitor::{Health, Watched, serve};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[derive(Debug)]
struct Node(AtomicBool);

impl Watched for Node {
    fn health(&self) -> Health {
        let is_well = self.0.load(Ordering::Relaxed);
        let detail = json!({"well": is_well});
        Health { is_well, detail }
    }

    fn metrics(&self) -> String {
        "blocks_total 7\n# EOF\n".to_owned()
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn ask(address: SocketAddr, node: &Node) {
    let well = get(address, "/health").await;
    assert!(well.starts_with("HTTP/1.1 200 "), "{well}");
    assert!(well.ends_with("{\"well\":true}"), "{well}");
    node.0.store(false, Ordering::Relaxed);
    let ill = get(address, "/health").await;
    assert!(ill.starts_with("HTTP/1.1 503 "), "{ill}");
    assert!(ill.ends_with("{\"well\":false}"), "{ill}");
    let metrics = get(address, "/metrics").await;
    assert!(
        metrics.contains("content-type: application/openmetrics-text"),
        "{metrics}"
    );
    assert!(metrics.ends_with("blocks_total 7\n# EOF\n"), "{metrics}");
    let nothing = get(address, "/").await;
    assert!(nothing.starts_with("HTTP/1.1 404 "), "{nothing}");
}

#[tokio::test]
async fn health_has_a_status_and_metrics_are_open_metrics() {
    let node = Arc::new(Node(AtomicBool::new(true)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let watched = Arc::clone(&node);
    let serving = serve(watched, listener, async { stopped.await.unwrap() });
    let asking = async {
        ask(address, &node).await;
        stop.send(()).unwrap();
    };
    tokio::join!(serving, asking);
}

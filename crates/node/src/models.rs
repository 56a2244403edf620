//! Models of a network's machines: who has them, by the offers on the ledger, and serving one's own.

use commonware_runtime::Spawner;
use fairweir_client::{ClientError, NodeClient};
use fairweir_net::{NetError, Network, PeerAddr};
use fairweir_services::{
    Kind as _,
    inference::{
        ModelId,
        chat::Chat,
        embedding::Embedding,
        share::{Library, SHARE, SOURCES_MAX},
    },
};
use fairweir_types::order::Name;
use std::sync::Arc;

/// Machines that may wait for a place.
const WAITING_MAX: usize = 64;

/// Machines that may have models: the node itself, then the workers that offer to run them, as the node knows them. With an id, only
/// workers that offer this model.
///
/// # Errors
/// [`ClientError`] when the node does not answer; whoever has only a worker's address asks that worker alone.
pub async fn sources<N: Network>(
    client: &NodeClient<N>,
    node: &PeerAddr,
    model: Option<ModelId>,
) -> Result<Vec<PeerAddr>, ClientError> {
    let mut sources = vec![node.clone()];
    let wanted = model.map(|id| id.capability());
    for kind in [Chat::ID, Embedding::ID] {
        for report in client.offers(kind).await? {
            let offers =
                |wanted: &Name| report.offer.capabilities.iter().any(|name| name == wanted);
            if !wanted.as_ref().is_none_or(offers) {
                continue;
            }
            let Ok(worker) = PeerAddr::from_bytes(report.offer.endpoint.as_slice()) else {
                continue;
            };
            let is_new = sources.iter().all(|source| source.id() != worker.id());
            if is_new && sources.len() < SOURCES_MAX {
                sources.push(worker);
            }
        }
    }
    Ok(sources)
}

/// Serves a library's models to whoever reaches the network, until that is closed.
///
/// # Errors
/// [`NetError`].
pub fn serve<E: Spawner, N: Network>(
    context: &E,
    network: &N,
    library: Arc<Library>,
) -> Result<(), NetError> {
    let incoming = network.accept(SHARE, WAITING_MAX)?;
    // The task ends with the network, or with the runtime.
    context
        .child("models")
        .spawn(move |_| library.serve(incoming));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use commonware_runtime::{Runner as _, tokio};
    use fairweir_net::quic::{DialPolicy, QuicNetwork, QuicOptions};
    use fairweir_services::inference::{
        ModelRole, ModelStore,
        share::{Limits, catalogue, fetch},
        testing::tiny_chat_file,
    };

    async fn bind(key: u8) -> QuicNetwork {
        let options = QuicOptions {
            secret_key: [key; 32],
            listen: ([127, 0, 0, 1], 0).into(),
            policy: DialPolicy::LoopbackOnly,
            advertise: Vec::new(),
        };
        QuicNetwork::bind(options).await.unwrap()
    }

    #[test]
    fn a_model_of_many_slices_comes_over_quic() {
        let folder = tempfile::TempDir::new().unwrap();
        let given = folder.path().join("given.gguf");
        let mut bytes = tiny_chat_file(1);
        bytes.resize(5_000_000, 7);
        std::fs::write(&given, &bytes).unwrap();
        let first = ModelStore::open(folder.path().join("first")).unwrap();
        let second = ModelStore::open(folder.path().join("second")).unwrap();
        let files = [(ModelRole::Gguf, given)];
        let (id, _) = first.add("tiny", "MIT", "a test", &files).unwrap();
        let library = Arc::new(Library::open(&first).unwrap());
        tokio::Runner::default().start(|context| async move {
            let (a, b) = (bind(1).await, bind(2).await);
            serve(&context, &a, library).unwrap();
            let sources = [a.local_addr()];
            let found = catalogue(&b, &sources).await;
            assert_eq!(found.find("tiny").unwrap().id, id);
            let limits = Limits { room: 6_000_000 };
            let mut told = 0;
            let mut progress = |_| told += 1;
            fetch(&b, &second, id, &sources, limits, &mut progress)
                .await
                .unwrap();
            assert_eq!(told, 5, "a slice is a mebibyte");
            second.check(id).unwrap();
            a.close().await;
            b.close().await;
        });
    }
}

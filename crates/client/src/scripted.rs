//! A node that says what a test wants it to.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use crate::{
    NodeClient,
    protocol::{ANSWER_DEADLINE, MESSAGE_BYTES_MAX, NODE},
};
use commonware_codec::Encode as _;
use commonware_runtime::{Spawner as _, Supervisor as _, deterministic::Context};
use fairweir_net::{
    FrameStream as _, Network as _, PeerAddr, PeerId,
    memory::{Hub, MemoryNetwork},
    read_request,
};
use fairweir_types::{
    BlockHeader, BoundedText, ChainId, Digest, Height, Millis, decode,
    node_api::{
        AuditReport, NodeReply, NodeRequest, RulesReport, SecuredReport, Status, SupplyReport,
    },
};

/// The status of a node at a height, at rest.
pub(crate) fn status(chain_id: &ChainId, height: Height) -> Status {
    let header = BlockHeader {
        version: 1,
        chain_id: chain_id.clone(),
        certificate_scheme: 1,
        height,
        parent: Digest::ZERO,
        epoch: 0,
        view: 0,
        parent_view: 0,
        proposer: [0; 32],
        time: Millis(0),
        beacon_signature: None,
        beacon: Digest::ZERO,
        transactions_root: Digest::ZERO,
        outcomes_root: Digest::ZERO,
        events_root: Digest::ZERO,
        outbox_root: Digest::ZERO,
        state_root: Digest::ZERO,
        state_ops_root: Digest::ZERO,
        state_range_start: 0,
        state_range_end: 0,
    };
    Status {
        header,
        genesis: Digest::ZERO,
        validators: 1,
        offers: 0,
        verifiers: 0,
        open_orders: 0,
        mempool: 0,
        supply: SupplyReport::default(),
        secured: SecuredReport::default(),
        audit: AuditReport::default(),
        rules: RulesReport::default(),
        version: BoundedText::truncating("test"),
    }
}

/// A client of a node that gives these answers, and is silent where there are none.
pub(crate) fn client_of(
    context: &Context,
    mut answers: impl FnMut(NodeRequest) -> Vec<NodeReply> + Send + 'static,
) -> NodeClient<MemoryNetwork<Context>> {
    let hub = Hub::new(context.child("net"), 1);
    let (here, there) = (PeerId::new([1; 32]), PeerId::new([2; 32]));
    let network = hub.join(there).unwrap();
    let mut incoming = network.accept(NODE, 4).unwrap();
    context.child("node").spawn(move |_| async move {
        let _network = network;
        let mut silent = Vec::new();
        while let Some((_, mut stream)) = incoming.next().await {
            let frame = read_request(&mut stream, MESSAGE_BYTES_MAX, ANSWER_DEADLINE);
            let answers = answers(decode(&frame.await.unwrap()).unwrap());
            if answers.is_empty() {
                silent.push(stream);
                continue;
            }
            for answer in answers {
                stream
                    .send(&answer.encode(), ANSWER_DEADLINE)
                    .await
                    .unwrap();
            }
            stream.finish().await.unwrap();
        }
    });
    NodeClient::new(hub.join(here).unwrap(), PeerAddr::from_id(there))
}

//! Workers that vanish, are slow, or lie, in virtual time.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

mod elsewhere;

use super::*;
use crate::network::{
    NetworkOptions, OrderFees, Payment,
    board::Board,
    lane::KeptLane,
    offers::{Offers, Reach},
    poster::Poster,
    receipts::Receipts,
};
use core::future::pending;
use fairweir_client::{NodeClient, Sender};
use fairweir_net::{Incoming, NetError, Operation, PeerAddr, PeerId, Protocol};
use fairweir_services::{Passage, session::Mark};
use fairweir_types::{
    ByteCount, ChainId, Digest, Millis, SecretKey,
    event::LaneOpened,
    node_api::{DeliveryReply, OutputChunk},
    order::{Demand, Name, OrderId, PriceVector, SlotId, UnitVector},
    session::Payers,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A network whose one machine begins an answer, and is gone then: its stream stays open, and no new one comes about.
#[derive(Clone, Debug, Default)]
struct Vanishing {
    is_gone: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Answer {
    begun: Option<Vec<u8>>,
}

impl Network for Vanishing {
    type Stream = Answer;

    fn local_addr(&self) -> PeerAddr {
        machine()
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    async fn open(
        &self,
        _peer: &PeerAddr,
        _protocol: Protocol,
        _deadline: Duration,
    ) -> Result<Answer, NetError> {
        if self.is_gone.swap(true, Ordering::Relaxed) {
            return pending().await;
        }
        let chunk = ChatChunk {
            tokens: BoundedVec::new(vec![7]).unwrap(),
            text: Passage::new("Rivers".to_owned()).unwrap_or_default(),
            likelihoods: BoundedVec::default(),
        };
        let bytes = BoundedBytes::new(chunk.encode().to_vec()).unwrap();
        let reply = DeliveryReply::Chunk(OutputChunk { bytes });
        Ok(Answer {
            begun: Some(reply.encode().to_vec()),
        })
    }

    fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Answer>, NetError> {
        Err(NetError::Closed)
    }

    async fn close(&self) {}
}

impl FrameStream for Answer {
    async fn send(&mut self, _frame: &[u8], _deadline: Duration) -> Result<(), NetError> {
        Ok(())
    }

    async fn recv(&mut self, _: usize, deadline: Duration) -> Result<Option<Vec<u8>>, NetError> {
        if let Some(begun) = self.begun.take() {
            return Ok(Some(begun));
        }
        sleep(deadline).await;
        Err(NetError::DeadlinePassed {
            operation: Operation::Receive,
        })
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

pub(in crate::network) fn machine() -> PeerAddr {
    PeerAddr::new(PeerId::new([0; 32]), Vec::new()).unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32]).unwrap()
}

pub(in crate::network) fn demand() -> Demand {
    Demand {
        units: UnitVector {
            input: Units(10),
            output: Units(100),
            ..UnitVector::default()
        },
        bytes_in: ByteCount(1 << 16),
        bytes_out_max: ByteCount(1 << 20),
        memory_max: ByteCount(1 << 30),
        execution_max: Millis(600_000),
    }
}

pub(in crate::network) fn shared<N: Network + Clone>(network: &N) -> Arc<Shared<N>> {
    let client = NodeClient::new(network.clone(), machine());
    let sender = Sender::new(client.clone(), ChainId::new("dev-test").unwrap(), key());
    let options = NetworkOptions {
        models: Vec::new(),
        price_max: PriceVector::default(),
        match_within: Millis(1_000),
        fees: OrderFees::default(),
        payment: Payment::Sessions,
        sessions: None,
        receipts: None,
        owner: None,
    };
    Arc::new(Shared {
        poster: Poster::new(sender.clone(), Arc::new(Board::default())),
        sender,
        options,
        offers: Arc::new(Offers::new(client)),
        receipts: Arc::new(Receipts::default()),
        lanes: Arc::default(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        running: Arc::default(),
    })
}

fn lane() -> Arc<OpenLane> {
    lane_of(0, Address::default(), machine())
}

/// Lane number `slot`, with a worker on a machine.
pub(in crate::network) fn lane_of(slot: u16, worker: Address, endpoint: PeerAddr) -> Arc<OpenLane> {
    let price = Amount::from_coins(1).unwrap();
    let prices = PriceVector {
        input: price,
        output: price,
        ..PriceVector::default()
    };
    let opened = LaneOpened {
        slot_id: SlotId {
            order: OrderId(Digest::ZERO),
            slot,
        },
        worker,
        payers: Payers::default(),
        kind: Chat::ID,
        version: Chat::VERSION,
        prices,
        demand: demand(),
        cap: price,
        until: Millis(1),
    };
    let kept = KeptLane {
        trade: Trade {
            kind: Chat::ID,
            capability: Name::new("model").unwrap(),
        },
        opened,
        mark: Mark::default(),
        ends: SystemTime::now() + Duration::from_secs(3_600),
    };
    let reach = Reach { endpoint, prices };
    let chain_id = ChainId::new("dev-test").unwrap();
    Arc::new(OpenLane::new((&chain_id, None), kept, reach))
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_vanishes_in_the_middle_of_an_answer_is_noticed_after_eight_seconds() {
    let network = Vanishing::default();
    let shared = shared(&network);
    let lane = lane();
    let (chunks, mut client) = tokio::sync::mpsc::channel(8);
    let (begun, _begun) = oneshot::channel();
    let (cost, _cost) = oneshot::channel();
    let work = Work {
        kind: Chat::ID,
        spec: Vec::new(),
        demand: demand(),
        capability: Name::new("model").unwrap(),
        key: "key".to_owned(),
    };
    let outlet = Outlet::Chat(chunks);
    let mut request = Request::new(Arc::clone(&shared), work, outlet, begun, cost);
    let (asked, credit) = lane.begin(Digest::ZERO, &demand(), &key()).unwrap();
    let ask = Ask {
        request: asked.clone(),
        spec: BoundedBytes::default(),
        credit,
    };
    let stream = sessions::ask(&network, &machine(), ask, REACH_WITHIN)
        .await
        .unwrap();
    let since = Instant::now();
    let followed = request.follow(&lane, (&asked, 0), stream).await;
    assert!(followed.is_err(), "there is no whole answer");
    assert!(client.try_recv().is_ok(), "its beginning was handed on");
    let noticed = since.elapsed();
    // Three seconds of silence, and five for an answer whether it is at work.
    assert!(
        noticed >= QUIET && noticed <= QUIET + PROBE_WITHIN,
        "{noticed:?}"
    );
    assert_eq!(QUIET + PROBE_WITHIN, Duration::from_secs(8));
}

//! Lanes that are told one by one.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use crate::network::{
    board::Board,
    request::tests::{demand, lane_of, machine, shared},
};
use commonware_codec::Encode as _;
use fairweir_net::{FrameStream, Incoming, NetError, PeerAddr, Protocol};
use fairweir_services::{
    Kind as _,
    inference::{
        ModelId,
        chat::{Chat, ChatSpec, Parameters, Prompt},
    },
    pipeline::Shelf,
};
use fairweir_types::{
    Address, BoundedBytes, BoundedText, Boxed, Height,
    catalogue::{Catalogue, Versions},
    decode,
    node_api::{NodeReply, NodeRequest, OfferPage, OfferReport, OrderReport, SlotReport},
    order::{Name, Offer, PriceVector},
};

/// A node that knows the offers of three workers, and of every order that its first slot is served.
#[derive(Clone, Debug)]
struct Node;

#[derive(Debug, Default)]
struct Answer {
    asked: Vec<u8>,
}

pub(in crate::network) fn workers() -> [Address; 3] {
    [1, 2, 3].map(|number| Address([number; 20]))
}

/// What it says.
pub(in crate::network) fn answer(asked: &[u8]) -> Vec<u8> {
    if let Ok(NodeRequest::Services(_)) = decode(asked) {
        let catalogue = Catalogue::default();
        let reply = NodeReply::Services(Boxed::new(catalogue));
        return reply.encode().to_vec();
    }
    if let Ok(NodeRequest::Order(order)) = decode(asked) {
        let report = OrderReport {
            order: order.order,
            buyer: Address::default(),
            posted: Height::ZERO,
            slots: BoundedVec::truncating([SlotReport {
                slot_id: SlotId {
                    order: order.order,
                    slot: 0,
                },
                phase: BoundedText::truncating(SERVING),
                worker: Some(workers()[0]),
                due: Millis(0),
                receipt: None,
            }]),
        };
        return NodeReply::Order(report).encode().to_vec();
    }
    let offers = workers().map(|worker| OfferReport {
        worker,
        offer: Offer {
            kind: Chat::ID,
            versions: Versions::only(Chat::VERSION),
            digest: Digest::ZERO,
            prices: PriceVector::default(),
            capacity: 1,
            collateral: Amount::ZERO,
            demand_max: demand(),
            level: 0,
            capabilities: BoundedVec::default(),
            region: None,
            privacy_max: Privacy::Public,
            owner: worker,
            endpoint: BoundedBytes::new(machine().to_bytes()).unwrap(),
        },
        open: 0,
    });
    let page = OfferPage {
        offers: BoundedVec::truncating(offers),
    };
    NodeReply::Offers(page).encode().to_vec()
}

impl Network for Node {
    type Stream = Answer;

    fn local_addr(&self) -> PeerAddr {
        machine()
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    async fn open(&self, _: &PeerAddr, _: Protocol, _: Duration) -> Result<Answer, NetError> {
        Ok(Answer::default())
    }

    fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Answer>, NetError> {
        Err(NetError::Closed)
    }

    async fn close(&self) {}
}

impl FrameStream for Answer {
    async fn send(&mut self, frame: &[u8], _: Duration) -> Result<(), NetError> {
        self.asked = frame.to_vec();
        Ok(())
    }

    async fn recv(&mut self, _: usize, _: Duration) -> Result<Option<Vec<u8>>, NetError> {
        Ok(Some(answer(&self.asked)))
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn lanes_that_are_told_after_the_first_join_too() {
    let shared = shared(&Node);
    let order = OrderId(Digest::ZERO);
    let trade = Trade {
        kind: Chat::ID,
        capability: Name::new("model").unwrap(),
    };
    let board = Arc::new(Board::default());
    let mut joining = Joining {
        shared: Arc::clone(&shared),
        trade: trade.clone(),
        order,
        listening: board.listen(order),
        open: 0,
    };
    let tell = |number: usize| {
        let slot = u16::try_from(number).unwrap();
        let lane = lane_of(slot, workers()[number], machine());
        board.tell(order, &Told::LaneOpened(Box::new(lane.opened.clone())));
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    tell(0);
    joining.first(deadline).await.unwrap();
    let others = shared.tasks.spawn(joining.others(deadline));
    for number in [1, 2] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tell(number);
    }
    others.await.unwrap();
    let open = shared.lanes.open();
    let found: Vec<_> = open[&trade].iter().map(|lane| lane.opened.worker).collect();
    assert_eq!(found, workers());
}

/// What a former process left.
#[derive(Debug)]
struct Left(Vec<Vec<u8>>);

impl Shelf for Left {
    fn keep(&self, _: SlotId, _: &[u8]) {}

    fn forget(&self, _: SlotId) {}

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_of_lanes_that_are_taken_up_again_can_be_proved() {
    let opened = lane_of(0, workers()[0], machine()).opened.clone();
    let kept = KeptLane {
        trade: Trade {
            kind: Chat::ID,
            capability: Name::new("model").unwrap(),
        },
        opened: opened.clone(),
        mark: Mark::default(),
        ends: SystemTime::now() + Duration::from_secs(3_600),
    };
    let mut shared = Arc::into_inner(shared(&Node)).unwrap();
    shared.options.sessions = Some(Arc::new(Left(vec![kept.encode()])));
    let shared = Arc::new(shared);
    shared.lanes.resume(&shared).await.unwrap();
    assert_eq!(shared.lanes.open()[&kept.trade].len(), 1);
    assert!(
        shared.receipts.kind_of(&opened.slot_id).is_some(),
        "its batches are looked at"
    );
}

#[test]
fn a_session_takes_longer_requests_than_the_one_that_it_was_opened_for() {
    let demand = |prompt: usize, tokens: u32, draft: usize| {
        let prompt = Prompt::Tokens(BoundedVec::new(vec![1; prompt]).unwrap());
        let parameters = Parameters {
            logprobs: Some(5),
            ..Parameters::greedy(tokens)
        };
        let spec = ChatSpec::new(ModelId(Digest::ZERO), prompt, parameters, [0; 32]).unwrap();
        let spec = spec.with_draft(BoundedVec::new(vec![1; draft]).unwrap());
        Chat::demand(&spec).unwrap()
    };
    let session = session_demand(&demand(10, 24, 0), None);
    assert!(demand(11, 24, 0).within(&session));
    assert!(demand(1_000, 2_048, 1_048).within(&session));
    assert!(!demand(1_001, 2_048, 1_048).within(&session));
    // The catalogue takes less of it at a time, but enough for some requests.
    let limits = Demand {
        execution_max: Millis(300_000),
        ..demand(100, 100, 0)
    };
    let limited = session_demand(&demand(10, 24, 0), Some(&limits));
    assert!(limited.within(&limits));
    assert!(demand(90, 90, 0).units.within(&limited.units));
    // Not enough for this one: the ledger refuses it.
    let large = demand(101, 24, 0);
    let beyond = session_demand(&large, Some(&limits));
    assert!(large.units.within(&beyond.units) && !beyond.within(&limits));
}

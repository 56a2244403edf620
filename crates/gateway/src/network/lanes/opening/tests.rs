//! Sessions that the next process finds.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use crate::network::{
    lane::KeptLane,
    lanes::tests::{answer, workers},
    request::tests::{demand, lane_of, machine, shared},
};
use fairweir_net::{FrameStream, Incoming, NetError, PeerAddr, Protocol};
use fairweir_services::{Kind as _, inference::chat::Chat, session::Mark};
use fairweir_types::{
    Action, Address, Amount, BoundedText, BoundedVec, Digest, SignedTx, TxCode, TxOutcome, decode,
    node_api::{AccountReport, Duties, Included, NodeReply, NodeRequest, Refusal, SlotReport},
};
use std::{collections::BTreeMap, time::SystemTime};

/// The last block that may hold the session.
const UNTIL: Height = Height(5);

/// What a chain holds of the session, and what it was told.
#[derive(Debug, Default)]
struct State {
    /// The block that holds it, if one does.
    posted: Option<Height>,
    /// The newest block; one more each time that it is asked for.
    tip: Height,
    /// Which slots became lanes.
    lanes: Vec<u16>,
    closed: Vec<OrderId>,
    /// What becomes of a transaction.
    fate: Option<Fate>,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Refused,
    Lost,
}

#[derive(Clone, Debug, Default)]
struct Chain(Arc<Mutex<State>>);

#[derive(Debug)]
struct Asked {
    chain: Chain,
    question: Vec<u8>,
    told: bool,
}

fn order() -> OrderId {
    OrderId(Digest::ZERO)
}

fn slot(slot: u16) -> SlotId {
    SlotId {
        order: order(),
        slot,
    }
}

impl Chain {
    fn holding(lanes: &[u16]) -> Self {
        Self(Arc::new(Mutex::new(State {
            posted: Some(Height(1)),
            lanes: lanes.to_vec(),
            ..State::default()
        })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn report(&self) -> NodeReply {
        let state = self.state();
        let Some(posted) = state.posted.filter(|posted| *posted <= state.tip) else {
            return refused("not_found");
        };
        let slots = (0..LANES_PER_SESSION).map(|number| {
            let is_lane = state.lanes.contains(&number);
            SlotReport {
                slot_id: slot(number),
                phase: BoundedText::truncating(if is_lane { SERVING } else { AWAITING }),
                worker: is_lane.then(|| workers()[usize::from(number)]),
                due: Millis(0),
                receipt: None,
            }
        });
        NodeReply::Order(OrderReport {
            order: order(),
            buyer: Address::default(),
            posted,
            slots: BoundedVec::truncating(slots),
        })
    }

    fn page(&self) -> NodeReply {
        let state = self.state();
        let opened = |number: &u16| {
            let worker = workers()[usize::from(*number)];
            Event::LaneOpened(fairweir_types::Boxed::new(
                lane_of(*number, worker, machine()).opened.clone(),
            ))
        };
        NodeReply::Events(EventPage {
            height: state.posted.unwrap(),
            time: Millis(1),
            first: 0,
            events: BoundedVec::truncating(state.lanes.iter().map(opened)),
            more: false,
        })
    }

    fn submit(&self, tx: &[u8]) -> Result<NodeReply, NetError> {
        let tx: SignedTx = decode(tx).unwrap();
        let mut state = self.state();
        let code = match state.fate {
            Some(Fate::Lost) => return Err(NetError::Closed),
            Some(Fate::Refused) => TxCode::ABOVE_SECURED,
            None => TxCode::OK,
        };
        if let Action::CloseSession(close) = &tx.transaction.action {
            state.closed.push(close.order);
        }
        Ok(NodeReply::Included(Included {
            height: Height(1),
            outcome: TxOutcome {
                tx: Digest::ZERO,
                code,
                reason: BoundedText::truncating(""),
            },
        }))
    }

    fn tip(&self) -> NodeReply {
        let mut state = self.state();
        state.tip = state.tip.next().unwrap();
        NodeReply::Duties(Duties {
            tip: state.tip,
            since: None,
        })
    }
}

fn refused(code: &str) -> NodeReply {
    NodeReply::Refused(Refusal {
        code: BoundedText::truncating(code),
        reason: BoundedText::truncating(code),
    })
}

impl Network for Chain {
    type Stream = Asked;

    fn local_addr(&self) -> PeerAddr {
        machine()
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    async fn open(&self, _: &PeerAddr, _: Protocol, _: Duration) -> Result<Asked, NetError> {
        Ok(Asked {
            chain: self.clone(),
            question: Vec::new(),
            told: false,
        })
    }

    fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Asked>, NetError> {
        Err(NetError::Closed)
    }

    async fn close(&self) {}
}

impl FrameStream for Asked {
    async fn send(&mut self, frame: &[u8], _: Duration) -> Result<(), NetError> {
        self.question = frame.to_vec();
        Ok(())
    }

    async fn recv(&mut self, _: usize, _: Duration) -> Result<Option<Vec<u8>>, NetError> {
        let reply = match decode(&self.question).unwrap() {
            NodeRequest::Order(_) => self.chain.report(),
            NodeRequest::Duties(_) => self.chain.tip(),
            NodeRequest::Account(_) => NodeReply::Account(AccountReport::default()),
            NodeRequest::Submit(submit) => self.chain.submit(submit.tx.as_slice())?,
            // The chain stands still behind its first block.
            NodeRequest::Follow(_) if self.told => return std::future::pending().await,
            NodeRequest::Follow(_) => {
                self.told = true;
                self.chain.page()
            }
            _ => return Ok(Some(answer(&self.question))),
        };
        Ok(Some(reply.encode().to_vec()))
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

/// A shelf that the next process finds.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<SlotId, Vec<u8>>>);

impl Memory {
    fn slots(&self) -> Vec<u16> {
        self.0
            .lock()
            .unwrap()
            .keys()
            .map(|slot_id| slot_id.slot)
            .collect()
    }
}

impl Shelf for Memory {
    fn keep(&self, slot_id: SlotId, bytes: &[u8]) {
        self.0.lock().unwrap().insert(slot_id, bytes.to_vec());
    }

    fn forget(&self, slot_id: SlotId) {
        self.0.lock().unwrap().remove(&slot_id);
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}

fn trade() -> Trade {
    Trade {
        kind: Chat::ID,
        capability: Name::new("model").unwrap(),
    }
}

fn opening() -> Opening {
    Opening {
        order: order(),
        trade: trade(),
        until: UNTIL,
    }
}

/// A gateway whose former process was opening the session.
fn heir(chain: &Chain) -> (Arc<Shared<Chain>>, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    memory.keep(place(order()), &opening().encode());
    (gateway(chain, &memory), memory)
}

fn gateway(chain: &Chain, memory: &Arc<Memory>) -> Arc<Shared<Chain>> {
    let mut shared = Arc::into_inner(shared(chain)).unwrap();
    shared.options.sessions = Some(Arc::<Memory>::clone(memory));
    Arc::new(shared)
}

/// The slots of its lanes.
fn used(shared: &Shared<Chain>) -> Vec<u16> {
    let open = shared.lanes.open();
    let slots = open.values().flatten().map(|lane| lane.opened.slot_id.slot);
    slots.collect()
}

#[test]
fn a_record_of_it_is_no_record_of_a_lane() {
    let bytes = opening().encode();
    assert_eq!(Opening::decode(&bytes), Some(opening()));
    assert!(KeptLane::decode(&bytes).is_none());
    assert_eq!(Opening::decode(&bytes[1..]), None);
}

#[tokio::test(start_paused = true)]
async fn its_lanes_are_used_before_another_session_is_opened() {
    let chain = Chain::holding(&[0, 1]);
    chain.state().tip = Height(1);
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    // Who would open another one waits.
    let _turn = shared.lanes.opening.lock().await;
    assert_eq!(used(&shared), [0, 1]);
    // The third may come: it is still looked for.
    assert_eq!(memory.slots(), [0, 1, BESIDE]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(memory.slots(), [0, 1]);
    assert!(chain.state().closed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_was_used_goes_on_where_it_was() {
    let chain = Chain::holding(&[0, 1]);
    chain.state().tip = Height(1);
    let (shared, memory) = heir(&chain);
    let mark = Mark {
        next: 64,
        promised: Amount::from_base_units(7).unwrap(),
    };
    let kept = KeptLane {
        trade: trade(),
        opened: lane_of(0, workers()[0], machine()).opened.clone(),
        mark,
        ends: SystemTime::now() + Duration::from_secs(3_600),
    };
    memory.keep(slot(0), &kept.encode());
    shared.lanes.resume(&shared).await.unwrap();
    // Nobody waits for the others: the one serves.
    drop(shared.lanes.opening.try_lock().unwrap());
    sleep(PAUSE).await;
    assert_eq!(used(&shared), [0, 1]);
    let open = shared.lanes.open();
    assert_eq!(open[&trade()][0].account().mark(), mark);
}

#[tokio::test(start_paused = true)]
async fn one_that_gets_into_a_block_later_is_used_too() {
    let chain = Chain::holding(&[2]);
    chain.state().posted = Some(Height(3));
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    // Who needs a session meanwhile does not wait for it.
    drop(shared.lanes.opening.lock().await);
    assert!(used(&shared).is_empty());
    sleep(Duration::from_secs(90)).await;
    assert_eq!(used(&shared), [2]);
    assert_eq!(memory.slots(), [2]);
}

#[tokio::test(start_paused = true)]
async fn one_that_gets_into_no_block_is_forgotten() {
    let chain = Chain::default();
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    assert_eq!(memory.slots(), [BESIDE]);
    sleep(Duration::from_secs(90)).await;
    assert!(memory.slots().is_empty());
    assert!(chain.state().tip > UNTIL && chain.state().closed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_this_process_posted_itself_is_not_used_twice() {
    let chain = Chain::holding(&[0]);
    chain.state().posted = Some(Height(3));
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    // It has the number of the one that was lost.
    shared.lanes.know_session(order());
    sleep(Duration::from_secs(90)).await;
    assert!(used(&shared).is_empty());
    assert_eq!(memory.slots(), [BESIDE], "who opens it forgets it");
}

#[tokio::test(start_paused = true)]
async fn one_without_lanes_is_closed() {
    let chain = Chain::holding(&[]);
    chain.state().tip = Height(1);
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(chain.state().closed, [order()]);
    assert!(memory.slots().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_written_down_before_it_is_posted_and_forgotten_if_it_is_refused() {
    for (fate, left) in [
        (None, vec![BESIDE]),
        (Some(Fate::Refused), vec![]),
        // It may come into a block.
        (Some(Fate::Lost), vec![BESIDE]),
    ] {
        let chain = Chain::default();
        chain.state().fate = fate;
        let memory = Arc::new(Memory::default());
        let shared = gateway(&chain, &memory);
        let demand = demand();
        let price = Amount::from_base_units(1).unwrap();
        let header = super::super::session_header(&shared, &trade(), (&demand, None), price);
        let posted = post(&shared, &trade(), header.unwrap()).await;
        assert_eq!(posted.is_ok(), fate.is_none(), "{fate:?}");
        assert_eq!(memory.slots(), left, "{fate:?}");
        assert!(
            memory
                .all()
                .iter()
                .all(|bytes| Opening::decode(bytes).unwrap().until > Height(1)),
            "it says until when it may come"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_closed_is_left_to_the_next_process() {
    for (fate, left) in [(None, 0), (Some(Fate::Lost), 2)] {
        let chain = Chain::holding(&[0, 1]);
        chain.state().tip = Height(1);
        let (shared, memory) = heir(&chain);
        shared.lanes.resume(&shared).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        chain.state().fate = fate;
        shared.lanes.close(&shared).await;
        assert_eq!(memory.slots().len(), left, "{fate:?}");
    }
}

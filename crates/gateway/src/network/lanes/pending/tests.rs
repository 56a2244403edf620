//! Sessions that the next process finds.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use crate::network::{
    lane::KeptLane,
    lanes::{
        LANES_PER_SESSION,
        tests::{answer, workers},
    },
    request::tests::{demand, lane_of, machine, shared},
};
use fairweir_net::{FrameStream, Incoming, NetError, PeerAddr, Protocol};
use fairweir_services::{Kind as _, inference::chat::Chat, session::Mark};
use fairweir_types::{
    Address, Amount, BoundedText, BoundedVec, Boxed, Digest, Transaction, TxCode, TxOutcome,
    decode,
    node_api::{AccountReport, Included, NodeReply, NodeRequest, Refusal, SlotReport},
    order::Name,
    quantity::Nonce,
    tx::PostOrder,
};
use std::{collections::BTreeMap, time::SystemTime};

/// What a chain holds of the session, and what it was told.
#[derive(Debug, Default)]
struct State {
    /// Whether a block holds it.
    is_posted: bool,
    /// The account's next number: the session has the first.
    nonce: Nonce,
    /// Which slots became lanes, and which are over.
    lanes: Vec<u16>,
    ended: Vec<u16>,
    closed: Vec<OrderId>,
    /// What becomes of a transaction.
    fate: Option<Fate>,
    /// How often offers are asked for in vain.
    away: u32,
    /// What must have the session's record before the session comes.
    memory: Option<Arc<Memory>>,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Refused,
    Lost,
    /// A block holds the session, though nobody is told.
    Unanswered,
    /// Another transaction has its number.
    TooLate,
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
    pending().order()
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
            is_posted: true,
            nonce: Nonce(1),
            lanes: lanes.to_vec(),
            ..State::default()
        })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn report(&self) -> NodeReply {
        let state = self.state();
        if !state.is_posted {
            return refused("not_found");
        }
        let slots = (0..LANES_PER_SESSION).filter(|number| !state.ended.contains(number));
        let slots = slots.map(|number| {
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
            posted: Height(1),
            slots: BoundedVec::truncating(slots),
        })
    }

    fn page(&self) -> NodeReply {
        let state = self.state();
        let opened = |number: &u16| Event::LaneOpened(Boxed::new(lane(*number)));
        NodeReply::Events(EventPage {
            height: Height(1),
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
            Some(Fate::TooLate) => return Ok(refused("nonce_too_low")),
            Some(Fate::Refused) => TxCode::ABOVE_SECURED,
            Some(Fate::Unanswered) | None => TxCode::OK,
        };
        state.nonce = tx.transaction.nonce.next().unwrap();
        match &tx.transaction.action {
            Action::CloseSession(close) => state.closed.push(close.order),
            _ => {
                let written = state.memory.as_ref().map(|memory| memory.all());
                let is_written =
                    written.is_none_or(|all| all.contains(&PendingSession::encode(&tx)));
                assert!(is_written, "it is posted before it is written down");
                state.is_posted = code == TxCode::OK;
            }
        }
        if matches!(state.fate, Some(Fate::Unanswered)) {
            return Err(NetError::Closed);
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

    fn account(&self) -> NodeReply {
        NodeReply::Account(AccountReport {
            nonce: self.state().nonce,
            ..AccountReport::default()
        })
    }

    /// Whether offers are asked for in vain once more.
    fn is_away(&self) -> bool {
        let away = &mut self.state().away;
        let is_away = *away > 0;
        *away = away.saturating_sub(1);
        is_away
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
            NodeRequest::Account(_) => self.chain.account(),
            NodeRequest::Offers(_) if self.chain.is_away() => return Err(NetError::Closed),
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

fn header(shared: &Shared<Chain>) -> OrderHeader {
    let price = Amount::from_base_units(1).unwrap();
    super::super::session_header(shared, &trade(), (&demand(), None), price).unwrap()
}

/// The session, which has the account's first number.
fn pending() -> PendingSession {
    let shared = shared(&Chain::default());
    let header = header(&shared);
    let transaction = Transaction {
        chain_id: shared.sender.chain_id().clone(),
        sender: shared.sender.key().account_key(),
        nonce: Nonce(0),
        fee: Amount::ZERO,
        expiry: Height(400),
        action: Action::PostOrder(Boxed::new(PostOrder { header })),
    };
    PendingSession(transaction.sign(shared.sender.key()))
}

fn lane(number: u16) -> LaneOpened {
    LaneOpened {
        slot_id: slot(number),
        ..lane_of(number, workers()[usize::from(number)], machine())
            .opened
            .clone()
    }
}

/// A gateway whose former process had posted the session, and what is written down.
fn heir(chain: &Chain) -> (Arc<Shared<Chain>>, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    memory.keep(record_key(order()), &PendingSession::encode(&pending().0));
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
fn its_record_says_what_it_is_for_and_is_no_record_of_a_lane() {
    let bytes = PendingSession::encode(&pending().0);
    let read = PendingSession::decode(&bytes).unwrap();
    assert_eq!((read.trade(), read), (Some(trade()), pending()));
    assert!(KeptLane::decode(&bytes).is_none());
    assert_eq!(PendingSession::decode(&bytes[1..]), None);
}

#[tokio::test(start_paused = true)]
async fn its_lanes_are_used_before_another_session_is_opened() {
    let chain = Chain::holding(&[0, 1]);
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    // Who would open another one waits.
    assert!(shared.lanes.opening.try_lock().is_err());
    let _turn = shared.lanes.opening.lock().await;
    assert_eq!(used(&shared), [0, 1]);
    // The third may come: it is still looked for.
    assert_eq!(memory.slots(), [0, 1, RECORD_SLOT]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(memory.slots(), [0, 1]);
    assert!(chain.state().closed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_was_used_goes_on_where_it_was() {
    let chain = Chain::holding(&[0, 1]);
    let (shared, memory) = heir(&chain);
    let mark = Mark {
        next: 64,
        promised: Amount::from_base_units(7).unwrap(),
    };
    let kept = KeptLane {
        trade: trade(),
        opened: lane(0),
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
async fn a_lane_that_is_over_is_not_used_and_one_whose_worker_is_not_found_yet_is() {
    let chain = Chain::holding(&[0, 1, 2]);
    chain.state().ended = vec![0];
    chain.state().away = 2;
    let (shared, _memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let mut used = used(&shared);
    used.sort_unstable();
    assert_eq!(used, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_lost_on_its_way_is_posted_again_and_used() {
    let chain = Chain::default();
    chain.state().lanes = vec![2];
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(used(&shared), [2]);
    assert_eq!(memory.slots(), [2]);
    assert_eq!(chain.state().nonce, Nonce(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_the_ledger_refuses_or_whose_number_is_used_up_is_forgotten() {
    for (fate, nonce, left) in [
        (Some(Fate::Refused), Nonce(0), vec![]),
        (Some(Fate::TooLate), Nonce(1), vec![]),
        // The node is away: the next process sees.
        (Some(Fate::Lost), Nonce(0), vec![RECORD_SLOT]),
    ] {
        let chain = Chain::default();
        *chain.state() = State {
            fate,
            nonce,
            ..State::default()
        };
        let (shared, memory) = heir(&chain);
        shared.lanes.resume(&shared).await.unwrap();
        assert_eq!(memory.slots(), left, "{fate:?} {nonce:?}");
        assert!(shared.lanes.opening.try_lock().is_ok(), "nobody waits");
        assert!(shared.lanes.sessions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_transaction_of_its_number_opened_is_left_alone() {
    let chain = Chain::holding(&[0, 1, 2]);
    chain.state().fate = Some(Fate::TooLate);
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    shared.lanes.close(&shared).await;
    assert!(used(&shared).is_empty() && chain.state().closed.is_empty());
    assert!(memory.slots().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_without_lanes_is_closed() {
    let chain = Chain::holding(&[]);
    let (shared, memory) = heir(&chain);
    shared.lanes.resume(&shared).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(chain.state().closed, [order()]);
    assert!(memory.slots().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_written_down_before_it_is_posted_and_forgotten_if_it_is_refused() {
    for (fate, is_left) in [
        (None, true),
        (Some(Fate::Refused), false),
        (Some(Fate::Lost), true),
        // It is in a block, and nobody was told.
        (Some(Fate::Unanswered), true),
    ] {
        let chain = Chain::default();
        let memory = Arc::new(Memory::default());
        chain.state().fate = fate;
        chain.state().memory = Some(Arc::clone(&memory));
        let shared = gateway(&chain, &memory);
        let posted = post(&shared, header(&shared)).await;
        assert_eq!(posted.is_ok(), fate.is_none(), "{fate:?}");
        let pending: Vec<_> = memory
            .all()
            .iter()
            .map(|bytes| PendingSession::decode(bytes).unwrap().order())
            .collect();
        assert_eq!(pending.contains(&order()), is_left, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_closed_is_tried_again_and_one_that_is_over_forgotten() {
    for (fate, left, open) in [
        (None, 0, 0),
        (Some(Fate::Refused), 0, 0),
        (Some(Fate::Lost), 3, 1),
    ] {
        let chain = Chain::holding(&[0, 1]);
        let (shared, memory) = heir(&chain);
        shared.lanes.resume(&shared).await.unwrap();
        // The third lane may still come: all three records are there.
        sleep(PAUSE).await;
        chain.state().fate = fate;
        shared.lanes.close(&shared).await;
        assert_eq!(memory.slots().len(), left, "{fate:?}");
        assert_eq!(shared.lanes.sessions().len(), open, "{fate:?}");
    }
}

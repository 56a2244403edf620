//! Workers that give the leaves of their batches late, wrong or never, in virtual time.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use crate::network::{
    lane::{OpenLane, Trade},
    lanes::tests::{answer, workers},
    pursuit::Work,
    receipts::Standing,
    request::tests::{demand, lane_of, machine, shared},
};
use commonware_codec::Encode as _;
use fairweir_net::{FrameStream, Incoming, NetError, PeerAddr, Protocol};
use fairweir_services::{Kind as _, inference::chat::Chat};
use fairweir_types::{
    Address, Amount, BoundedBytes, BoundedVec, ChainId, Digest, Units, decode,
    node_api::{BatchLeaves, Delivery, DeliveryReply, DeskRequest},
    order::{Name, SlotId, UnitVector},
    receipt::{Disclosure, Receipt, SignedReceipt},
    session::{batch_slot, request_slot},
    sum_tree,
};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;

/// A machine that is node and worker at once. It does not answer so many questions for leaves, and gives these then.
#[derive(Clone, Debug)]
struct Worker {
    silent: Arc<AtomicU32>,
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
struct Asked {
    worker: Worker,
    frame: Vec<u8>,
}

impl Network for Worker {
    type Stream = Asked;

    fn local_addr(&self) -> PeerAddr {
        machine()
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    async fn open(&self, _: &PeerAddr, _: Protocol, _: Duration) -> Result<Asked, NetError> {
        Ok(Asked {
            worker: self.clone(),
            frame: Vec::new(),
        })
    }

    fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Asked>, NetError> {
        Err(NetError::Closed)
    }

    async fn close(&self) {}
}

impl FrameStream for Asked {
    async fn send(&mut self, frame: &[u8], _: Duration) -> Result<(), NetError> {
        self.frame = frame.to_vec();
        Ok(())
    }

    async fn recv(&mut self, _: usize, _: Duration) -> Result<Option<Vec<u8>>, NetError> {
        let Ok(DeskRequest::Leaves(_)) = decode(&self.frame) else {
            return Ok(Some(answer(&self.frame)));
        };
        let silent = &self.worker.silent;
        let count_down = |left: u32| left.checked_sub(1);
        if silent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down)
            .is_ok()
        {
            return Err(NetError::Closed);
        }
        let leaves = BoundedVec::truncating(self.worker.leaves.iter().copied());
        let reply = DeliveryReply::Leaves(BatchLeaves { leaves });
        Ok(Some(reply.encode().to_vec()))
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

pub(in crate::network) fn lane_id() -> SlotId {
    lane_of(0, workers()[0], machine()).opened.slot_id
}

/// Our request that was answered.
fn ours() -> SlotId {
    request_slot(&lane_id(), 0)
}

/// What the worker gave us for request number `index`, of five units at 1,000 base units each.
pub(in crate::network) fn delivery(index: u64) -> Delivery {
    let receipt = Receipt {
        chain_id: ChainId::new("dev-test").unwrap(),
        slot_id: request_slot(&lane_id(), index),
        attempt: 0,
        kind: Chat::ID,
        version: 1,
        spec_digest: Digest::ZERO,
        units: UnitVector {
            input: Units(5),
            ..UnitVector::default()
        },
        disclosure: Digest::ZERO,
        output_commitment: Digest::ZERO,
    };
    Delivery {
        receipt: SignedReceipt::sign(receipt, &SecretKey::from_seed([8; 32]).unwrap()),
        salt: [0; 32],
        output: BoundedBytes::default(),
        disclosure: Disclosure::default(),
    }
}

pub(in crate::network) fn leaf(index: u64) -> Leaf {
    Leaf {
        index,
        amount: Amount::from_base_units(5_000).unwrap(),
        receipt: delivery(index).receipt.receipt.digest(),
    }
}

/// The leaves of our two requests.
fn leaves() -> Vec<Leaf> {
    vec![leaf(0), leaf(1)]
}

/// What is asked, for this key.
pub(in crate::network) const KEY: &str = "key";

pub(in crate::network) fn work() -> Work {
    Work {
        kind: Chat::ID,
        spec: Vec::new(),
        demand: demand(),
        capability: Name::new("model").unwrap(),
        key: KEY.to_owned(),
    }
}

fn ask(receipts: &Receipts, lane: SlotId, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        receipts.expect(Some(lane), request_slot(&lane, number), &work());
    }
}

/// A gateway of whose two requests one was answered and the other got lost, and a batch with these leaves that its worker posted.
struct Case {
    auditor: Auditor<Worker>,
    lane: Arc<OpenLane>,
    posted: BatchPosted,
}

impl Case {
    /// The worker does not answer `silent` times, and gives `given` then.
    fn new(worker: Address, silent: u32, given: Vec<Leaf>, claimed: &[Leaf]) -> Self {
        let case = Self::asked(&[0, 1], (worker, silent), given, claimed);
        case.auditor.receipts.deliver(ours(), &delivery(0));
        case
    }

    /// A gateway that asked requests of these numbers, none of which was answered.
    fn asked(
        asked: &[u64],
        (worker, silent): (Address, u32),
        given: Vec<Leaf>,
        claimed: &[Leaf],
    ) -> Self {
        let network = Worker {
            silent: Arc::new(AtomicU32::new(silent)),
            leaves: given,
        };
        let shared = shared(&network);
        let lane = lane_of(0, worker, machine());
        let trade = Trade {
            kind: Chat::ID,
            capability: Name::new("model").unwrap(),
        };
        shared.lanes.put(trade, Arc::clone(&lane));
        let receipts = Arc::clone(&shared.receipts);
        receipts.open_lane(&lane.opened);
        ask(&receipts, lane_id(), asked.iter().copied());
        let nodes: Vec<_> = claimed.iter().map(Leaf::node).collect();
        let posted = BatchPosted {
            slot_id: batch_slot(&lane_id(), 0),
            lane: lane_id(),
            number: 0,
            worker,
            root: sum_tree::root(&nodes).unwrap(),
            count: u32::try_from(claimed.len()).unwrap(),
            numbers: Numbers::of(claimed).unwrap(),
        };
        let auditor = Auditor {
            network,
            key: SecretKey::from_seed([7; 32]).unwrap(),
            receipts,
            lanes: Arc::clone(&shared.lanes),
            offers: Arc::clone(&shared.offers),
            stop: CancellationToken::new(),
        };
        Self {
            auditor,
            lane,
            posted,
        }
    }

    async fn run(self) -> Outcome {
        let receipts = &self.auditor.receipts;
        let since = Instant::now();
        assert!(receipts.begin_audit(&self.posted));
        // As long as the worker may answer, the receipt may still be proved.
        receipts.close_lane(&self.posted.lane);
        assert!(matches!(
            receipts.standing(ours(), KEY),
            Standing::NotSettled(_)
        ));
        self.auditor.audit(&self.posted).await;
        let took = since.elapsed();
        // Only a receipt with a place hears how its batch ends.
        receipts.refund_batch(self.posted.slot_id);
        let is_placed = match receipts.standing(ours(), KEY) {
            Standing::Refunded => true,
            Standing::Unclaimed => false,
            _ => panic!("a receipt of a closed lane has no end"),
        };
        Outcome {
            is_placed,
            // At the time of the beginning: it is over by now for its age alone.
            goes_on: self.lane.ready_at(since).is_some(),
            took,
        }
    }
}

/// What came of an audit.
struct Outcome {
    /// Whether our receipt has its place in the batch.
    is_placed: bool,
    /// Whether the lane may get more requests.
    goes_on: bool,
    took: Duration,
}

/// Whether the lane may get more requests after a batch with these leaves.
async fn goes_on(case: Case) -> bool {
    let since = Instant::now();
    case.auditor.audit(&case.posted).await;
    case.lane.ready_at(since).is_some()
}

async fn outcome(silent: u32, given: Vec<Leaf>, claimed: &[Leaf]) -> Outcome {
    Case::new(workers()[0], silent, given, claimed).run().await
}

#[tokio::test(start_paused = true)]
async fn receipts_find_their_places_though_the_worker_is_away_for_minutes() {
    for (silent, at_most) in [(0, 1), (4, 4), (20, 600)] {
        let outcome = outcome(silent, leaves(), &leaves()).await;
        assert!(outcome.is_placed && outcome.goes_on, "{silent}");
        assert!(outcome.took <= Duration::from_secs(at_most), "{silent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_gives_its_leaves_is_given_up_for_that_batch_alone() {
    let outcome = outcome(u32::MAX, leaves(), &leaves()).await;
    assert!(!outcome.is_placed && outcome.goes_on);
    assert_eq!(outcome.took, LEAVES_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_an_offer_is_asked_where_it_was_when_its_lane_was_opened() {
    let stranger = Address([9; 20]);
    let nowhere = Case::new(stranger, 0, leaves(), &leaves());
    assert!(!nowhere.run().await.is_placed);
    let known = Case::new(stranger, 0, leaves(), &leaves());
    known.auditor.receipts.reach_lane(&lane_id(), &machine());
    assert!(known.run().await.is_placed);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_asks_no_more() {
    let case = Case::new(workers()[0], u32::MAX, leaves(), &leaves());
    let since = Instant::now();
    let stops = async {
        sleep(Duration::from_secs(30)).await;
        case.auditor.stop.cancel();
    };
    tokio::join!(case.auditor.audit(&case.posted), stops);
    assert_eq!(since.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_claims_something_else_gets_no_more_requests() {
    let mut dearer = leaves();
    dearer[1].amount = Amount::from_base_units(6).unwrap();
    let not_the_root = outcome(0, leaves(), &dearer).await;
    assert!(!not_the_root.is_placed && !not_the_root.goes_on);
    let mut swapped = leaves();
    swapped[0].receipt = Digest::ZERO;
    let not_our_receipt = outcome(0, swapped.clone(), &swapped).await;
    assert!(!not_our_receipt.is_placed && !not_our_receipt.goes_on);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_claims_another_price_gets_no_more_requests() {
    for base_units in [4_999, 5_001] {
        let mut priced = leaves();
        priced[0].amount = Amount::from_base_units(base_units).unwrap();
        let outcome = outcome(0, priced.clone(), &priced).await;
        // What was claimed can be proved all the same.
        assert!(outcome.is_placed && !outcome.goes_on, "{base_units}");
    }
    // What we did not get may have cost anything.
    let mut lost = leaves();
    lost[1].amount = Amount::from_base_units(1).unwrap();
    assert!(outcome(0, lost.clone(), &lost).await.goes_on);
}

#[tokio::test(start_paused = true)]
async fn only_numbers_that_are_surely_ours_to_give_are_held_against_a_worker() {
    type Numbers = &'static [u64];
    // What we asked, what is claimed, and whether that may be.
    let cases: [(Numbers, Numbers, bool); 11] = [
        (&[0, 1], &[0, 1], true),
        (&[0, 1], &[1], true),
        (&[0, 1], &[0, 1, 2], false),
        (&[0, 1], &[1 << 60], false),
        (&[1, 2], &[1, 2], true),
        (&[1, 2], &[1, 3], false),
        // Numbers below 64 may be a former process's; where ours begin, a leaf of ours tells.
        (&[64, 65], &[3, 64], true),
        (&[64, 65], &[3], true),
        (&[64, 65], &[66], true),
        (&[64, 65], &[3, 65, 66], false),
        // Another gateway of our owner uses the lane.
        (&[], &[0, 1, 7], true),
    ];
    for (asked, claimed, may_be) in cases {
        let leaves: Vec<Leaf> = claimed.iter().copied().map(leaf).collect();
        let case = Case::asked(asked, (workers()[0], 0), leaves.clone(), &leaves);
        assert_eq!(goes_on(case).await, may_be, "{asked:?} {claimed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_compared_though_their_receipts_are_forgotten() {
    let elsewhere = lane_of(1, workers()[1], machine()).opened.slot_id;
    let mut dearer = leaves();
    dearer[0].amount = Amount::from_base_units(5_001).unwrap();
    let mut swapped = leaves();
    swapped[0].receipt = Digest::ZERO;
    for (claimed, may_be) in [(leaves(), true), (dearer, false), (swapped, false)] {
        let case = Case::new(workers()[0], 0, claimed.clone(), &claimed);
        let receipts = &case.auditor.receipts;
        ask(receipts, elsewhere, 0..5_000);
        assert!(matches!(receipts.standing(ours(), KEY), Standing::Unknown));
        assert_eq!(goes_on(case).await, may_be);
    }
}

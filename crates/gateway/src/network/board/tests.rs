//! What a gateway hears that was away.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use crate::network::{
    audit::tests::{KEY, lane_id, work},
    receipts::{Receipts, Standing},
    request::tests::{lane_of, machine, shared},
};
use commonware_codec::Encode as _;
use fairweir_net::{FrameStream, Incoming, NetError, PeerAddr, Protocol};
use fairweir_types::{
    BoundedText, BoundedVec, Digest, Millis,
    event::Refunded,
    node_api::{Duties, NodeReply, NodeRequest, Refusal},
    order::SlotId,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The last block.
const TIP: Height = Height(9);
/// The block in which the order was refunded.
const REFUNDED_AT: Height = Height(5);

/// A node that has blocks from one on, and one apart, and whose connection breaks behind another.
#[derive(Clone, Debug)]
struct Node {
    first: Height,
    /// One block that it has besides.
    apart: Height,
    breaks: Arc<Mutex<Option<Height>>>,
}

#[derive(Debug)]
struct Blocks {
    node: Node,
    /// Whether the newest block is asked for, and nothing else.
    asks_tip: bool,
    next: Height,
}

fn order() -> SlotId {
    SlotId {
        order: OrderId(Digest::of_blob(b"order")),
        slot: 0,
    }
}

fn page(height: Height) -> EventPage {
    let refunded = Event::Refunded(Refunded {
        slot_id: order(),
        buyer: Address::default(),
        reason: RefundReason::NoMatch,
        amount: Amount::ZERO,
    });
    let events = (height == REFUNDED_AT).then_some(refunded);
    EventPage {
        height,
        time: Millis(1),
        first: 0,
        events: BoundedVec::truncating(events),
        more: false,
    }
}

impl Node {
    fn says(&self, height: Height) -> NodeReply {
        if height < self.first && height != self.apart {
            return NodeReply::Refused(Refusal {
                code: BoundedText::truncating("pruned"),
                reason: BoundedText::truncating("the block is gone"),
            });
        }
        NodeReply::Events(page(height))
    }
}

impl Network for Node {
    type Stream = Blocks;

    fn local_addr(&self) -> PeerAddr {
        machine()
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    async fn open(&self, _: &PeerAddr, _: Protocol, _: Duration) -> Result<Blocks, NetError> {
        Ok(Blocks {
            node: self.clone(),
            asks_tip: false,
            next: Height::ZERO,
        })
    }

    fn accept(&self, _: Protocol, _: usize) -> Result<Incoming<Blocks>, NetError> {
        Err(NetError::Closed)
    }

    async fn close(&self) {}
}

impl FrameStream for Blocks {
    async fn send(&mut self, frame: &[u8], _: Duration) -> Result<(), NetError> {
        match fairweir_types::decode(frame) {
            Ok(NodeRequest::Follow(follow)) => self.next = follow.from,
            Ok(NodeRequest::Duties(_)) => self.asks_tip = true,
            _ => {}
        }
        Ok(())
    }

    async fn recv(&mut self, _: usize, _: Duration) -> Result<Option<Vec<u8>>, NetError> {
        if self.asks_tip {
            let (tip, since) = (TIP, None);
            let duties = NodeReply::Duties(Duties { tip, since });
            return Ok(Some(duties.encode().to_vec()));
        }
        let height = self.next;
        let breaks = self.node.breaks.lock().unwrap().take_if(|at| *at == height);
        if breaks.is_some() {
            return Err(NetError::Closed);
        }
        if height > TIP {
            return std::future::pending().await;
        }
        self.next = height.next().unwrap();
        Ok(Some(self.node.says(height).encode().to_vec()))
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

/// What hears of an order that was under way at block 2, and of a request of a lane that was closed.
fn follower(node: Node, hearing: Hearing) -> Follower<Node> {
    let shared = shared(&node);
    let receipts: Arc<Receipts> = Arc::clone(&shared.receipts);
    let lane = lane_of(0, Address::default(), machine());
    receipts.open_lane(&lane.opened);
    receipts.expect(None, order(), &work());
    receipts.expect(Some(lane_id()), lane_id(), &work());
    receipts.close_lane(&lane_id());
    Follower {
        client: NodeClient::new(node.clone(), machine()),
        account: Address::default(),
        payer: Address::default(),
        tasks: TaskTracker::new(),
        board: Arc::default(),
        auditor: Auditor {
            network: node,
            key: shared.sender.key().clone(),
            receipts,
            lanes: Arc::clone(&shared.lanes),
            offers: Arc::clone(&shared.offers),
            stop: CancellationToken::new(),
        },
        hearing: Mutex::new(hearing),
    }
}

/// Where the order and the request stand.
fn standings(follower: &Follower<Node>) -> (Standing, Standing) {
    let standing = |slot_id| follower.auditor.receipts.standing(slot_id, KEY);
    (standing(order()), standing(lane_id()))
}

/// Where they stand once a gateway has caught up.
async fn caught_up(node: Node) -> (Standing, Standing) {
    let follower = follower(node, Hearing::new(Height(2), TIP));
    follower.auditor.receipts.fall_behind();
    // The newest blocks are told meanwhile, and are no news before those in between.
    follower.tell(&page(TIP));
    follower.catch_up().await;
    follower.tell(&page(TIP.next().unwrap()));
    standings(&follower)
}

fn node(first: Height, breaks: Option<Height>) -> Node {
    Node {
        first,
        apart: Height(4),
        breaks: Arc::new(Mutex::new(breaks)),
    }
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_nobody_listened_is_heard_though_the_connection_breaks() {
    for breaks in [None, Some(Height(2)), Some(Height(4)), Some(Height(9))] {
        let (order, request) = caught_up(node(Height(1), breaks)).await;
        assert!(matches!(order, Standing::Refunded), "{breaks:?}");
        assert!(matches!(request, Standing::Unclaimed), "{breaks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_what_the_node_does_not_have_any_more_nothing_is_concluded() {
    for first in 3..=10 {
        let (order, request) = caught_up(node(Height(first), None)).await;
        // It goes on with the oldest block that there is.
        let is_heard = first <= REFUNDED_AT.get();
        assert_eq!(matches!(order, Standing::Refunded), is_heard, "{first}");
        assert!(matches!(request, Standing::NotSettled(None)), "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_what_the_node_keeps_goes_on_with_the_oldest_block_that_it_has() {
    for (first, told) in (1..=TIP.get()).flat_map(|first| [(first, 2), (first, 4)]) {
        let told = Height(told);
        let follower = follower(node(Height(first), None), Hearing::new(told, told));
        follower.board.raise_tip(told);
        let following = tokio::time::timeout(Duration::from_secs(30), follower.run());
        assert!(following.await.is_err(), "it follows for ever");
        assert_eq!(follower.board.tip(), TIP, "{first} {told}");
        let Hearing { next, told: heard } = *follower.hearing();
        assert_eq!((next, heard), (Place::at(Height(10)), next));
        let (order, request) = standings(&follower);
        let is_heard = first <= REFUNDED_AT.get();
        assert_eq!(
            matches!(order, Standing::Refunded),
            is_heard,
            "{first} {told}"
        );
        // What it did not hear may have been of the lane.
        let is_missed = first > told.get() && (first, told) != (5, Height(4));
        let is_given_up = matches!(request, Standing::Unclaimed);
        assert_eq!(is_given_up, !is_missed, "{first} {told}");
    }
}

#[test]
fn a_page_is_heard_once_and_after_those_before_it() {
    let part = |first, count: usize, more| EventPage {
        first,
        more,
        events: BoundedVec::truncating(std::iter::repeat_n(
            page(REFUNDED_AT).events.as_slice()[0].clone(),
            count,
        )),
        ..page(REFUNDED_AT)
    };
    let begin = Place::at(REFUNDED_AT);
    let middle = Place::after(&part(0, 2, true));
    assert_eq!(
        (Place::of(&part(2, 1, false)), begin < middle),
        (middle, true)
    );
    assert_eq!(Place::after(&part(2, 1, false)), Place::at(Height(6)));
    // Nothing is heard from ahead of what is told.
    assert!(Hearing::new(Height(9), Height(5)).is_done());
    assert!(!Hearing::new(Height(4), Height(5)).is_done());
}

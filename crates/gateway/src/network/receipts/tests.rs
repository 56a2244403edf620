//! Receipts that outlive their process.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use crate::network::{
    audit::tests::{KEY, delivery, lane_id, leaf, work},
    request::tests::{lane_of, machine},
};
use fairweir_types::{
    Address, Amount, BoundedVec, ChainId, Digest,
    event::{Payment, RefundReason, Refunded},
    order::OrderId,
    receipt::Randomness,
    session::{Numbers, Payers, batch_slot},
};

/// A shelf in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<Vec<(SlotId, Vec<u8>)>>);

impl Memory {
    fn records(&self) -> MutexGuard<'_, Vec<(SlotId, Vec<u8>)>> {
        self.0.lock().unwrap()
    }
}

impl Shelf for Memory {
    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        self.forget(slot_id);
        self.records().push((slot_id, output.to_vec()));
    }

    fn forget(&self, slot_id: SlotId) {
        self.records().retain(|(kept, _)| *kept != slot_id);
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let records = self.records();
        records.iter().map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn chain() -> ChainId {
    ChainId::new("dev-test").unwrap()
}

/// What a process finds on the shelf.
fn on(shelf: &Arc<Memory>, chain_id: &ChainId) -> (Receipts, Unfinished) {
    let shelf: Arc<dyn Shelf> = shelf.clone();
    Receipts::on(&shelf, chain_id)
}

fn request(index: u64) -> SlotId {
    request_slot(&lane_id(), index)
}

fn batch() -> SlotId {
    batch_slot(&lane_id(), 0)
}

fn leaves() -> Vec<Leaf> {
    vec![leaf(0), leaf(1)]
}

fn tree() -> SumTree {
    SumTree::new(leaves().iter().map(Leaf::node).collect()).unwrap()
}

fn posted() -> BatchPosted {
    BatchPosted {
        slot_id: batch(),
        lane: lane_id(),
        number: 0,
        worker: Address::default(),
        root: tree().root(),
        count: 2,
        numbers: Numbers::of(&leaves()).unwrap(),
    }
}

fn settled() -> BatchSettled {
    BatchSettled {
        slot_id: batch(),
        lane: lane_id(),
        payers: Payers::default(),
        root: tree().root(),
        count: 2,
        samples: BoundedVec::default(),
        paid: Payment {
            to: Address::default(),
            amount: Amount::ZERO,
        },
        checks: BoundedVec::default(),
        burned: Amount::ZERO,
        returned: Amount::ZERO,
        recomputed_by: 0,
        disputed: false,
        randomness: Randomness::Beacon,
    }
}

/// A process that has given two answers in a lane.
fn process(shelf: &Arc<Memory>) -> Receipts {
    let (receipts, unfinished) = on(shelf, &chain());
    assert_eq!((unfinished.heard, unfinished.posted.len()), (None, 0));
    receipts.open_lane(&lane_of(0, Address::default(), machine()).opened);
    receipts.reach_lane(&lane_id(), &machine());
    receipts.hear(Height(7));
    for index in [0, 1] {
        receipts.expect(Some(lane_id()), request(index), &work());
        receipts.deliver(request(index), &delivery(index));
    }
    receipts
}

/// The worker of its batch gives the leaves.
fn locate(receipts: &Receipts) {
    let batch = (batch(), &lane_id());
    receipts.locate(batch, &leaves(), &tree()).unwrap();
}

/// Its batch is posted, and the leaves are given.
fn audit(receipts: &Receipts) {
    assert!(receipts.begin_audit(&posted()));
    locate(receipts);
}

/// The next process.
fn next(shelf: &Arc<Memory>) -> (Receipts, Unfinished) {
    on(shelf, &chain())
}

fn batched(receipts: &Receipts, index: u64) -> Batched {
    match receipts.standing(request(index), KEY) {
        Standing::InBatch(batched) => *batched,
        _ => panic!("request {index} is in no settled batch"),
    }
}

#[test]
fn what_a_former_process_answered_can_be_proved() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    audit(&first);
    first.end_audit(&posted());
    first.settle_batch(&settled(), (Height(9), 3));
    let (second, unfinished) = next(&shelf);
    assert_eq!(
        (unfinished.heard, unfinished.posted.len()),
        (Some(Height(7)), 0)
    );
    for index in [0, 1] {
        let (before, after) = (batched(&first, index), batched(&second, index));
        assert_eq!(after.in_batch, before.in_batch);
        assert_eq!(after.place, (Height(9), 3));
        assert_eq!((after.delivery, after.spec), (before.delivery, before.spec));
    }
    // Nobody else gets what is in it.
    let others = second.standing(request(0), "other");
    assert!(matches!(others, Standing::Unknown));
    // What the chain says again changes nothing.
    second.settle_batch(&settled(), (Height(10), 0));
    assert_eq!(batched(&second, 0).place, (Height(9), 3));
}

#[test]
fn a_batch_whose_leaves_did_not_come_is_asked_for_again() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    assert!(first.begin_audit(&posted()));
    let (second, unfinished) = next(&shelf);
    assert_eq!(unfinished.posted, [posted()]);
    // Its lane was closed while nobody was there: the receipt may still be found, until the worker is given up.
    second.close_lane(&lane_id());
    let standing = || second.standing(request(0), KEY);
    assert!(matches!(standing(), Standing::NotSettled(None)));
    second.end_audit(&posted());
    assert!(matches!(standing(), Standing::Unclaimed));
    let (third, unfinished) = next(&shelf);
    assert_eq!(unfinished.posted, []);
    assert!(matches!(
        third.standing(request(0), KEY),
        Standing::Unclaimed
    ));
}

#[test]
fn nothing_is_given_up_before_all_was_heard_that_nobody_heard() {
    let shelf = Arc::new(Memory::default());
    process(&shelf).close_lane(&lane_id());
    let (second, _) = next(&shelf);
    second.fall_behind();
    let standing = || second.standing(request(0), KEY);
    assert!(matches!(standing(), Standing::NotSettled(None)));
    second.catch_up();
    assert!(matches!(standing(), Standing::Unclaimed));
}

#[test]
fn the_next_process_knows_until_where_the_last_heard_though_nothing_was_ours() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    let heard = || next(&shelf).1.heard.map(Height::get);
    for (height, known) in [
        (8, 7),
        (7 + HEARD_EVERY, 7 + HEARD_EVERY),
        (300, 7 + HEARD_EVERY),
    ] {
        first.hear(Height(height));
        assert_eq!(heard(), Some(known));
    }
    first.keep_heard();
    assert_eq!(heard(), Some(300));
    assert_eq!(next(&shelf).0.newest().heard, Height(300));
}

#[test]
fn a_batch_that_ended_before_it_was_heard_of_is_asked_for_all_the_same() {
    let first = process(&Arc::new(Memory::default()));
    first.settle_batch(&settled(), (Height(9), 3));
    audit(&first);
    assert_eq!(batched(&first, 1).place, (Height(9), 3));
}

#[test]
fn places_that_were_half_written_down_are_found_again() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    audit(&first);
    first.settle_batch(&settled(), (Height(9), 3));
    // It is killed between two of them.
    let last = shelf
        .records()
        .iter()
        .rposition(|(_, bytes)| matches!(Kept::decode(bytes), Some((_, _, Kept::Place(..)))));
    shelf.records().remove(last.unwrap());
    let (second, unfinished) = next(&shelf);
    assert_eq!(unfinished.posted, [posted()]);
    assert!(matches!(
        second.standing(request(1), KEY),
        Standing::NotSettled(None)
    ));
    locate(&second);
    assert_eq!(batched(&second, 1).place, (Height(9), 3));
}

#[test]
fn what_nobody_can_tell_any_more_stays_open_in_later_processes_too() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    first.lose_sight();
    first.close_lane(&lane_id());
    let (second, _) = next(&shelf);
    assert!(matches!(
        second.standing(request(0), KEY),
        Standing::NotSettled(None)
    ));
}

#[test]
fn what_is_left_of_another_chain_is_nothing_to_this_one() {
    let shelf = Arc::new(Memory::default());
    process(&shelf);
    let left = shelf.all();
    let other = ChainId::new("dev-other").unwrap();
    let (receipts, unfinished) = on(&shelf, &other);
    assert_eq!(unfinished.heard, None);
    assert!(matches!(
        receipts.standing(request(0), KEY),
        Standing::Unknown
    ));
    assert_eq!(shelf.all(), left);
}

#[test]
fn what_was_begun_elsewhere_leads_to_its_receipt_after_a_restart_too() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    first.expect(Some(lane_id()), request(2), &work());
    first.go_on(request(2), request(1));
    let (second, _) = next(&shelf);
    let delivered = second.delivery(&request(2));
    assert_eq!(delivered, Some(delivery(1)));
}

#[test]
fn an_order_of_its_own_keeps_how_it_ended() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    let order = SlotId {
        order: OrderId(Digest::of_blob(b"order")),
        slot: 0,
    };
    first.expect(None, order, &work());
    let refunded = Refunded {
        slot_id: order,
        buyer: Address::default(),
        reason: RefundReason::NoMatch,
        amount: Amount::ZERO,
    };
    first.end(order, SlotEnd::Refunded(refunded));
    // It is no batch, and its slots are no places for records of one.
    first.refund_batch(lane_id());
    let (second, _) = next(&shelf);
    assert!(matches!(second.standing(order, KEY), Standing::Refunded));
    assert_eq!(second.kind_of(&lane_id()), first.kind_of(&lane_id()));
    assert_eq!(second.endpoint_of(&lane_id()), Some(machine()));
}

#[test]
fn the_disk_holds_no_more_than_the_memory() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    first.keep_heard();
    let beyond = 5;
    let all = u64::try_from(RECEIPTS_MAX).unwrap() + beyond;
    audit(&first);
    first.end_audit(&posted());
    for index in 2..all {
        first.expect(Some(lane_id()), request(index), &work());
        first.go_on(request(index), request(0));
    }
    let (second, _) = next(&shelf);
    // The receipts, the lane, and until where was heard.
    assert_eq!(shelf.records().len(), RECEIPTS_MAX + 2);
    let is_known = |index| second.newest().entries.contains_key(&request(index));
    assert!(!is_known(beyond - 1) && is_known(beyond) && is_known(all - 1));
}

#[test]
fn damaged_records_and_those_of_another_format_are_left_alone() {
    let shelf = Arc::new(Memory::default());
    let first = process(&shelf);
    audit(&first);
    first.settle_batch(&settled(), (Height(9), 3));
    first.keep_heard();
    let records = shelf.all();
    // A lane, two answers with their places, the batch that was posted, its end, and until where was heard.
    assert_eq!(records.len(), 8);
    for record in records {
        assert!(Kept::decode(&record).is_some());
        for cut in 0..record.len() {
            assert!(Kept::decode(&record[..cut]).is_none(), "{cut}");
        }
        let longer = [&record[..], &[0]].concat();
        assert!(Kept::decode(&longer).is_none());
        let other_format = [&[9], &record[1..]].concat();
        assert!(Kept::decode(&other_format).is_none());
    }
}

//! What a worker claims, keeps and shows.

use super::*;
use crate::{pipeline::Shelf, session::lanes::Claimable};
use fairweir_types::{
    keys::Purpose,
    node_api::DeliveryRequest,
    receipt::SignedStop,
    session::{KeptRequest, Leaf, missing_leaf_trace, request_slot},
};
use std::{collections::BTreeMap, sync::Mutex};

/// The trace that verifiers find of a batch whose leaves are these, with numbers that the ledger takes.
fn trace_of_list(blobs: &MemoryBlobs, event: &LeavesShown, list: Vec<Leaf>) -> Digest {
    let mut shown = read_shown(blobs, event);
    let root = root_of(&list).unwrap();
    let count = u32::try_from(list.len()).unwrap();
    shown.list = BoundedVec::new(list).unwrap();
    trace_of(
        blobs,
        &LeavesShown {
            root,
            count,
            numbers: numbers(count),
            ..reshown(blobs, event, &shown.encode())
        },
    )
}

/// A shelf in memory.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<SlotId, Vec<u8>>>);

impl Shelf for Kept {
    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        self.0.lock().unwrap().insert(slot_id, output.to_vec());
    }

    fn forget(&self, slot_id: SlotId) {
        self.0.lock().unwrap().remove(&slot_id);
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}

#[test]
fn a_number_that_comes_twice_in_a_batch_spoils_every_sample_of_it() {
    let (lanes, root) = claimed();
    let blobs = MemoryBlobs::default();
    let event = shown_event(&lanes, &blobs, root, 3);
    let shown = read_shown(&blobs, &event);
    let list = shown.list.as_slice();
    let honest = trace_of(&blobs, &event);
    assert_eq!(trace_of_list(&blobs, &event, list.to_vec()), honest);
    let missing = [0, 1].map(|sample| missing_leaf_trace(&event.slot_id, sample));
    let nothing_shown = batch_trace(&event.slot_id, &missing);
    // Neither of the samples is near the leaf in the middle, which is there twice.
    let mut twice = list.to_vec();
    twice.insert(1, list[1]);
    assert_eq!(trace_of_list(&blobs, &event, twice), nothing_shown);
    let mut moved = list.to_vec();
    moved.swap(0, 1);
    assert_eq!(trace_of_list(&blobs, &event, moved), nothing_shown);
}

#[test]
fn requests_are_claimed_in_the_order_of_their_numbers() {
    let lanes = lanes();
    lanes.open(&opened(coin()));
    let mut account = account(coin());
    let slow = lanes.admit(ask(&mut account, "slow")).unwrap();
    serve(&lanes, &mut account, "quick");
    let nothing_yet = Claimable {
        lane: lane_id(),
        is_closing: false,
        requests: 0,
    };
    assert_eq!(lanes.to_claim(), vec![nothing_yet]);
    assert!(lanes.claim(lane_id(), (10, Stragglers::Awaited)).is_none());
    // Without the slow one, which can be claimed no more then.
    let claim = lanes.claim(lane_id(), (10, Stragglers::GivenUp)).unwrap();
    assert_eq!(claim.numbers, Numbers { first: 1, last: 1 });
    let (running, follower) = slow.start();
    let desk = lanes.clone();
    deterministic::Runner::default().start(|context| async move {
        running.run(&desk, &MemoryBlobs::default(), &context).await;
        running.keep(&desk);
    });
    drop(follower);
    let root = root_of(&claim.leaves).unwrap();
    let posted = BatchPosted {
        numbers: claim.numbers,
        ..posted(root, 0, 1)
    };
    lanes.posted(&posted);
    assert_eq!(lanes.to_claim(), vec![]);
    let stale = ask(&mut LaneAccount::new(account.terms().clone()), "again");
    assert_eq!(lanes.admit(stale).unwrap_err().code(), "number_used");
}

#[test]
fn a_leaf_that_the_store_lacks_was_not_shown() {
    let (lanes, root) = claimed();
    let blobs = MemoryBlobs::default();
    let event = shown_event(&lanes, &blobs, root, 3);
    let missing = [0, 1].map(|sample| missing_leaf_trace(&event.slot_id, sample));
    let nothing_shown = batch_trace(&event.slot_id, &missing);
    // Of another store, which has nothing of it; and sealed to others than were drawn.
    assert_eq!(trace_of(&MemoryBlobs::default(), &event), nothing_shown);
    let stranger = LeavesShown {
        readers: BoundedVec::truncating(readers().into_iter().rev()),
        ..event
    };
    assert_eq!(trace_of(&blobs, &stranger), nothing_shown);
}

#[test]
fn a_lost_reply_forgets_no_batch() {
    let lanes = lanes();
    lanes.open(&opened(coin()));
    let mut account = account(coin());
    serve(&lanes, &mut account, "one");
    let first = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    // The ledger took it, but the worker was not told; meanwhile it served another request.
    serve(&lanes, &mut account, "two");
    let again = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    assert_eq!((again.number, &again.leaves), (first.number, &first.leaves));
    let root = root_of(&first.leaves).unwrap();
    lanes.posted(&posted(root, 0, 1));
    let next = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    assert_eq!(next.number, 1);
    assert_eq!(next.numbers, Numbers { first: 1, last: 1 });
    // Of the first it can still show whatever is drawn.
    assert!(
        lanes
            .openings(batch_slot(&lane_id(), 0), &[Amount::ZERO])
            .is_some()
    );
    // What the ledger surely refused is claimed anew, with all that waits.
    lanes.refused(lane_id());
    serve(&lanes, &mut account, "three");
    let anew = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    assert_eq!((anew.number, anew.leaves.len()), (1, 2));
    // Or in parts, when that was too much at once: the rest still waits.
    lanes.refused(lane_id());
    let part = lanes.claim(lane_id(), (1, Stragglers::Awaited)).unwrap();
    let root = root_of(&part.leaves).unwrap();
    lanes.posted(&BatchPosted {
        numbers: part.numbers,
        ..posted(root, 1, 1)
    });
    let rest = lanes.claim(lane_id(), (1, Stragglers::Awaited)).unwrap();
    assert_eq!(rest.numbers, Numbers { first: 2, last: 2 });
}

#[test]
fn an_answer_that_nobody_got_is_not_claimed() {
    let shelf = Arc::new(Kept::default());
    let lanes = lanes();
    lanes.use_shelf(Arc::clone(&shelf) as Arc<dyn Shelf>);
    lanes.open(&opened(coin()));
    let mut account = account(coin());
    let served = lanes.admit(ask(&mut account, "one")).unwrap();
    let (running, follower) = served.start();
    let desk = lanes.clone();
    deterministic::Runner::default().start(|context| async move {
        running.run(&desk, &MemoryBlobs::default(), &context).await;
    });
    // The process ends here, before its buyer has the output: it asks elsewhere, and pays there.
    drop(follower);
    assert_eq!(lanes.to_claim(), vec![]);
    assert_eq!(shelf.all(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_worker_that_restarts_still_claims_and_shows_what_it_served() {
    let shelf = Arc::new(Kept::default());
    let before = lanes();
    before.use_shelf(Arc::clone(&shelf) as Arc<dyn Shelf>);
    before.open(&opened(coin()));
    let mut account = account(coin());
    for text in ["one", "two", "three"] {
        serve(&before, &mut account, text);
    }
    let claim = before.claim(lane_id(), (2, Stragglers::Awaited)).unwrap();
    let root = root_of(&claim.leaves).unwrap();

    let after = lanes();
    after.use_shelf(Arc::clone(&shelf) as Arc<dyn Shelf>);
    after.open(&opened(coin()));
    after.posted(&posted(root, 0, 2));
    let left = Claimable {
        lane: lane_id(),
        is_closing: false,
        requests: 1,
    };
    assert_eq!(after.to_claim(), vec![left]);
    let blobs = MemoryBlobs::default();
    let event = shown_event(&after, &blobs, root, 2);
    let openings = after
        .openings(event.slot_id, event.samples.as_slice())
        .unwrap();
    let opened = batch_trace(
        &event.slot_id,
        openings.iter().map(|opening| &opening.trace),
    );
    assert_eq!(trace_of(&blobs, &event), opened);
    // Numbers that were used stay used.
    let replayed = ask(&mut LaneAccount::new(account.terms().clone()), "again");
    assert_eq!(after.admit(replayed).unwrap_err().code(), "number_used");
    after.settled(event.slot_id);
    let left: Vec<KeptRequest> = shelf
        .all()
        .iter()
        .filter_map(|bytes| match fairweir_types::decode(bytes).unwrap() {
            fairweir_types::session::Kept::Request(request) => Some((*request).clone()),
            _ => None,
        })
        .collect();
    assert_eq!(left.len(), 1, "what is settled is kept no more");
}

/// A shelf on a slow disk: what need not be waited for is written when something else is waited for, in its order.
#[derive(Debug, Default)]
struct Slow {
    disk: Kept,
    /// What is kept, or none for what is forgotten.
    waiting: Mutex<Vec<(SlotId, Option<Vec<u8>>)>>,
}

impl Slow {
    /// The disk as a crash leaves it, with so much written of what waits.
    fn crashed(&self, written: usize) -> Arc<Kept> {
        let disk = Kept::default();
        *disk.0.lock().unwrap() = self.disk.0.lock().unwrap().clone();
        self.write(&disk, written);
        Arc::new(disk)
    }

    fn write(&self, disk: &Kept, count: usize) {
        for (slot_id, output) in self.waiting.lock().unwrap().iter().take(count) {
            match output {
                Some(output) => disk.keep(*slot_id, output),
                None => disk.forget(*slot_id),
            }
        }
    }
}

impl Shelf for Slow {
    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        self.write(&self.disk, usize::MAX);
        self.waiting.lock().unwrap().clear();
        self.disk.keep(slot_id, output);
    }

    fn keep_soon(&self, slot_id: SlotId, output: &[u8]) {
        let waiting = (slot_id, Some(output.to_vec()));
        self.waiting.lock().unwrap().push(waiting);
    }

    fn forget(&self, slot_id: SlotId) {
        self.waiting.lock().unwrap().push((slot_id, None));
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.disk.all()
    }
}

/// A worker that served three requests, with its shelf on a slow disk.
fn served_on(shelf: &Arc<Slow>) -> Lanes {
    let lanes = lanes();
    lanes.use_shelf(Arc::clone(shelf) as Arc<dyn Shelf>);
    lanes.open(&opened(coin()));
    let mut account = account(coin());
    for text in ["one", "two rivers", "three"] {
        serve(&lanes, &mut account, text);
    }
    lanes
}

fn restarted(disk: Arc<Kept>) -> Lanes {
    let lanes = lanes();
    lanes.use_shelf(disk);
    lanes.open(&opened(coin()));
    lanes
}

#[test]
fn a_crash_loses_the_newest_requests_and_no_claim_exceeds_its_voucher() {
    let shelf = Arc::new(Slow::default());
    drop(served_on(&shelf));
    assert!(shelf.all().is_empty(), "no answer waits for the disk");
    for written in 0..=6 {
        let lanes = restarted(shelf.crashed(written));
        let claim = lanes.claim(lane_id(), (10, Stragglers::Awaited));
        // Of each request its voucher and itself are written.
        assert_eq!(
            claim.as_ref().map_or(0, |claim| claim.leaves.len()),
            written / 2
        );
        if let Some(claim) = claim {
            let amounts = claim.leaves.iter().map(|leaf| leaf.amount);
            assert!(Amount::sum(amounts).unwrap() <= claim.voucher.voucher.cumulative);
        }
    }
}

#[test]
fn what_a_batch_claims_is_on_disk_before_it_can_be_posted() {
    let shelf = Arc::new(Slow::default());
    let lanes = served_on(&shelf);
    let claim = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    drop(lanes);
    let lanes = restarted(shelf.crashed(0));
    let root = root_of(&claim.leaves).unwrap();
    lanes.posted(&posted(root, 0, 3));
    check_shown(&lanes, root, (3, numbers(3)));
}

/// A worker that served three requests and claimed them, and its buyer's account. It starts again without some of what it should have kept.
fn started_again(lost: &[SlotId]) -> (Lanes, LaneAccount, SumNode) {
    let shelf = Arc::new(Kept::default());
    let before = lanes();
    before.use_shelf(Arc::clone(&shelf) as Arc<dyn Shelf>);
    before.open(&opened(coin()));
    let mut account = account(coin());
    for text in ["one", "two rivers", "three"] {
        serve(&before, &mut account, text);
    }
    let claim = before.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    for slot_id in lost {
        shelf.forget(*slot_id);
    }
    let after = lanes();
    after.use_shelf(shelf);
    after.open(&opened(coin()));
    (after, account, root_of(&claim.leaves).unwrap())
}

/// Posts the next batch and checks that verifiers find the trace that its worker opens.
fn check_next_batch(lanes: &Lanes, expected: &[u64]) {
    let claim = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    let claimed: Vec<u64> = claim.leaves.iter().map(|leaf| leaf.index).collect();
    assert_eq!(claimed, expected);
    assert_eq!(Numbers::of(&claim.leaves), Some(claim.numbers));
    let root = root_of(&claim.leaves).unwrap();
    let count = u32::try_from(claim.leaves.len()).unwrap();
    lanes.posted(&BatchPosted {
        numbers: claim.numbers,
        ..posted(root, claim.number, count)
    });
    check_shown(lanes, root, (count, claim.numbers));
}

/// Checks that verifiers find the trace that the worker of the first batch opens.
fn check_shown(lanes: &Lanes, root: SumNode, (count, numbers): (u32, Numbers)) {
    let blobs = MemoryBlobs::default();
    let event = LeavesShown {
        numbers,
        ..shown_event(lanes, &blobs, root, count)
    };
    let openings = lanes.openings(event.slot_id, event.samples.as_slice());
    let opened = batch_trace(
        &event.slot_id,
        openings.unwrap().iter().map(|opening| &opening.trace),
    );
    assert_eq!(trace_of(&blobs, &event), opened);
}

#[test]
fn a_request_that_was_not_written_is_not_claimed_and_those_beside_it_are() {
    for (lost, left) in [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])] {
        let (lanes, _, _) = started_again(&[request_slot(&lane_id(), lost)]);
        check_next_batch(&lanes, &left);
    }
}

#[test]
fn a_batch_of_which_nothing_was_written_holds_up_no_other() {
    let all = [0, 1, 2].map(|index| request_slot(&lane_id(), index));
    let (lanes, mut account, _) = started_again(&all);
    serve(&lanes, &mut account, "four");
    check_next_batch(&lanes, &[3]);
}

#[test]
fn a_posted_batch_that_was_not_written_is_shown_from_its_requests() {
    let (lanes, _, root) = started_again(&[batch_slot(&lane_id(), 0)]);
    lanes.posted(&posted(root, 0, 3));
    assert_eq!(lanes.to_claim(), vec![]);
    check_shown(&lanes, root, (3, numbers(3)));
}

#[test]
fn what_is_left_of_a_posted_batch_is_earned_once() {
    // One of its requests is lost; the note of the batch too; all of them, as after it was settled.
    let request = |index| request_slot(&lane_id(), index);
    let note = batch_slot(&lane_id(), 0);
    for lost in [
        vec![request(1)],
        vec![request(1), note],
        vec![request(0), request(1), request(2)],
    ] {
        let (lanes, mut account, root) = started_again(&lost);
        lanes.posted(&posted(root, 0, 3));
        // The buyer signs for what it got and the next request, no more.
        serve(&lanes, &mut account, "four");
        let next = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
        assert_eq!(
            (next.number, next.numbers),
            (1, Numbers { first: 3, last: 3 })
        );
    }
}

/// The question of an account for the leaves of a batch.
fn question(account: &SecretKey, batch: SlotId) -> DeliveryRequest {
    DeliveryRequest {
        slot_id: batch,
        buyer: account.account_key(),
        signature: account.sign(Purpose::Delivery, &batch.encode()),
    }
}

#[test]
fn a_buyer_gets_its_leaves_after_the_batch_is_settled_and_the_lane_closed() {
    let lanes = lanes();
    lanes.open(&opened(coin()));
    let mut account = account(coin());
    serve(&lanes, &mut account, "one");
    let claim = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    lanes.posted(&posted(root_of(&claim.leaves).unwrap(), 0, 1));
    let batch = batch_slot(&lane_id(), 0);
    let asked = |key: SecretKey| lanes.leaves(&question(&key, batch));
    assert_eq!(asked(buyer()).unwrap(), claim.leaves);
    lanes.settled(batch);
    lanes.closed(lane_id());
    assert_eq!(asked(buyer()).unwrap(), claim.leaves);
    assert_eq!(asked(key(7)).unwrap_err().code(), "not_the_buyer");
    // Who says that it is the buyer, and cannot sign for it.
    let forged = DeliveryRequest {
        buyer: buyer().account_key(),
        ..question(&key(7), batch)
    };
    let refused = lanes.leaves(&forged).unwrap_err();
    assert_eq!(refused.code(), "not_the_buyer");
}

#[test]
fn a_stop_ends_a_request_with_what_was_made_and_a_closing_lane_all_of_its_own() {
    let lanes = lanes();
    lanes.open(&opened(coin()));
    let other_lane = SlotId {
        slot: 1,
        ..lane_id()
    };
    lanes.open(&LaneOpened {
        slot_id: other_lane,
        ..opened(coin())
    });
    let mut account = account(coin());
    let terms = LaneTerms {
        lane: other_lane,
        ..account.terms().clone()
    };
    let mut elsewhere = LaneAccount::new(terms);
    let admit = |account: &mut LaneAccount| {
        let ask = ask(account, "a river");
        let paid = ask.credit.stop.stop.output_max;
        (lanes.admit(ask).unwrap(), paid)
    };
    let (stopped, paid) = admit(&mut account);
    let (closed, closed_at) = admit(&mut account);
    let (other, _) = admit(&mut elsewhere);
    let stranger = SignedStop::sign(account.stop(0, Units(0), &buyer()).stop, &key(7));
    assert_eq!(lanes.stop(&stranger).unwrap_err().code(), "not_the_buyer");
    assert_eq!(stopped.stop.get(), None);
    // Whatever the buyer says that it got, it pays for what was made, up to its credit.
    lanes.stop(&account.stop(0, Units(0), &buyer())).unwrap();
    assert_eq!(stopped.stop.get(), Some(paid));
    assert_eq!(closed.stop.get(), None);
    lanes.closing(lane_id());
    assert_eq!(closed.stop.get(), Some(closed_at));
    assert_eq!(other.stop.get(), None, "another lane goes on");
}

//! Appeals of batches: for what an account finds again of the sample that is played about.

use super::*;
use crate::session::seal::{ContentKey, seal_key};
use fairweir_types::{
    Digest,
    event::LeavesShown,
    order::PriceVector,
    session::{
        Leaf, Numbers, Payers, Reader, Request, SampleTraces, SampledLeaf, ShownLeaf, ShownLeaves,
        SignedRequest, batch_slot, batch_trace, missing_leaf_trace, request_slot, root_of,
    },
};

fn lane() -> SlotId {
    slot_id()
}

fn batch() -> SlotId {
    batch_slot(&lane(), 0)
}

/// A batch of one request, what its sample gives, and where what was shown of it lies.
struct Shown {
    event: LeavesShown,
    right: Digest,
    tools: Tools,
}

fn shown_by(worker: &SecretKey) -> Shown {
    let [posted, receipt, opened] = told(worker.address());
    let (Event::OrderPosted(posted), Event::ReceiptSubmitted(submitted)) = (&posted, &receipt)
    else {
        panic!("an order and a receipt");
    };
    let Event::ReceiptOpened(opened) = &opened else {
        panic!("an opening");
    };
    let header = &posted.header;
    let request = Request {
        chain_id: chain_id(),
        lane: lane(),
        index: 0,
        kind: Chat::ID,
        spec_digest: header.spec_digest,
        demand: header.demand,
    };
    let receipt = Receipt {
        slot_id: request_slot(&lane(), 0),
        ..submitted.receipt.receipt.clone()
    };
    let prices = PriceVector {
        input: Amount::from_coins(1).unwrap(),
        ..PriceVector::default()
    };
    let leaf = Leaf {
        index: 0,
        amount: prices.quote(&receipt.units).unwrap(),
        receipt: receipt.digest(),
    };
    let sampled = SampledLeaf {
        index: 0,
        commitment: receipt.output_commitment,
        receipt: leaf.receipt,
        demand: header.demand,
    };
    let shown = ShownLeaves {
        list: BoundedVec::truncating([leaf]),
        leaves: BoundedVec::truncating([ShownLeaf {
            request: SignedRequest::sign(request, &buyer()),
            receipt: SignedReceipt::sign(receipt, worker),
            spec: BoundedBytes::new(asked()).unwrap(),
            disclosure: fairweir_types::receipt::Disclosure::default(),
        }]),
    };
    let plain = shown.encode();
    let readers = [Reader {
        verifier: me().address(),
        key: seal_key(&[9; 32]),
    }];
    let blobs = MemoryBlobs::default();
    let key = ContentKey::of_batch(&[9; 32], &chain_id(), &batch());
    let sealed = key.seal(&batch(), &readers, &plain).unwrap();
    let event = LeavesShown {
        slot_id: batch(),
        lane: lane(),
        worker: worker.address(),
        payers: Payers {
            buyer: buyer().address(),
            delegate: None,
        },
        kind: Chat::ID,
        version: Chat::VERSION,
        prices,
        demand: header.demand,
        root: root_of(&[leaf]).unwrap(),
        count: 1,
        numbers: Numbers { first: 0, last: 0 },
        samples: BoundedVec::truncating([Amount::ZERO]),
        leaves: BoundedVec::truncating([sampled]),
        shown: Digest::of_blob(&plain),
        sealed: blobs.keep(sealed),
        readers: BoundedVec::truncating(readers),
    };
    Shown {
        event,
        right: opened.trace,
        tools: Tools {
            registry: Arc::clone(&chat_tools().registry),
            ..tools(&blobs)
        },
    }
}

fn samples(trace: Digest) -> SampleTraces {
    BoundedVec::truncating([trace])
}

fn whole(trace: Digest) -> Digest {
    batch_trace(&batch(), &[trace])
}

/// Its worker, and a verifier, say what the sample gives.
fn said(worker: Address, opened: Digest, verifier: Address, revealed: Digest) -> [Event; 2] {
    [
        Event::ReceiptOpened(ReceiptOpened {
            slot_id: batch(),
            worker,
            trace: whole(opened),
            samples: samples(opened),
        }),
        Event::VerdictRevealed(VerdictRevealed {
            slot_id: batch(),
            tier: Tier::First,
            verifier,
            trace: whole(revealed),
            samples: samples(revealed),
        }),
    ]
}

fn open_for_batch(judged: Digest) -> Event {
    Event::AppealsOpen(AppealsOpen {
        slot_id: batch(),
        judged: whole(judged),
        until: Millis(1),
    })
}

/// What an advocate does when a verdict over a batch may be appealed.
fn plays(shown: &Shown, said: [Event; 2], judged: Digest) -> Vec<&'static str> {
    let mut machine = advocate();
    let mut events = vec![Event::LeavesShown(Boxed::new(shown.event.clone()))];
    events.extend(said);
    events.push(open_for_batch(judged));
    play(&mut machine, &events, &shown.tools)
}

#[test]
fn a_worker_appeals_for_what_it_finds_again_of_a_sample() {
    let (mine, other) = (me(), key(8).address());
    let shown = shown_by(&mine);
    let (right, wrong) = (shown.right, Digest([3; 32]));
    let missing = missing_leaf_trace(&batch(), 0);
    let say = |own, judged| said(mine.address(), own, other, judged);
    // what it opened, what the verdict is for, what it does
    let table: [(Digest, Digest, &[&str]); 4] = [
        (right, wrong, &["work", "appeal"]),
        (right, missing, &["work", "appeal"]),
        (right, right, &[]),
        (wrong, right, &["work"]),
    ];
    for (own, judged, expected) in table {
        assert_eq!(plays(&shown, say(own, judged), judged), expected);
    }
    // Of a verdict whose samples nobody told it, it knows nothing to appeal about.
    let silent = say(right, wrong);
    assert_eq!(plays(&shown, silent, Digest([4; 32])), [""; 0]);
}

#[test]
fn a_verifier_appeals_about_a_leaf_that_it_does_not_find_and_about_no_other() {
    let (mine, worker) = (me().address(), key(8));
    let mut shown = shown_by(&worker);
    let (right, missing) = (shown.right, missing_leaf_trace(&batch(), 0));
    let say = |own, opened| said(worker.address(), opened, mine, own);
    // The one reader is this verifier, and it reads by its own key.
    assert_eq!(
        plays(&shown, say(right, missing), missing),
        ["work", "appeal"]
    );
    assert_eq!(plays(&shown, say(missing, right), right), ["work"]);
    shown.event.leaves.as_mut_slice()[0].demand.units.output.0 += 1;
    assert_eq!(
        plays(&shown, say(missing, right), right),
        ["work", "appeal"]
    );
    assert_eq!(plays(&shown, say(right, missing), missing), ["work"]);
}

#[test]
fn who_has_to_defend_shows_what_the_appeal_is_about() {
    let (mine, other) = (me(), key(8).address());
    let shown = shown_by(&mine);
    let (right, wrong) = (shown.right, Digest([3; 32]));
    let missing = missing_leaf_trace(&batch(), 0);
    let appealed = |for_what| {
        Event::Appealed(Boxed::new(Appealed {
            slot_id: batch(),
            sample: 0,
            appellant: other,
            trace: whole(for_what),
            run: Digest::ZERO,
            defender: mine.address(),
            judged: whole(right),
            due: Millis(1),
        }))
    };
    let mut machine = advocate();
    let mut told = vec![Event::LeavesShown(Boxed::new(shown.event.clone()))];
    told.extend(said(mine.address(), right, other, wrong));
    told.extend(said(mine.address(), right, key(7).address(), missing));
    play(&mut machine, &told, &shown.tools);
    // One game after the other: about a run, about whether it was shown, about the run again.
    for (number, (what, shows)) in
        (1..).zip([(wrong, "Sample"), (missing, "Leaf"), (wrong, "Sample")])
    {
        let did = play(&mut machine, &[appealed(what)], &shown.tools);
        assert_eq!(did, ["work", "defend"]);
        let gear = format!("{:?}", machine.gear((batch(), number)));
        assert!(gear.contains(&format!("ground: Some({shows}")), "{gear}");
    }
}

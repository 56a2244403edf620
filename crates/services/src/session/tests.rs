mod claims;

use super::{
    check,
    lanes::Stragglers,
    seal::{self, ContentKey, ReadingKey, Sealing},
    *,
};
use crate::{
    Registry,
    contract::Kind as _,
    pipeline::Identity,
    testing::{MemoryBlobs, run},
    text::{Operations, Text, TextSpec},
};
use commonware_codec::Encode as _;
use commonware_runtime::{Runner as _, deterministic};
use fairweir_types::{
    Amount, BoundedBytes, BoundedVec, ByteCount, ChainId, Digest, Millis, SecretKey, Units,
    event::{BatchPosted, LaneOpened, LaneToppedUp, LeavesDue, LeavesShown},
    node_api::{Delivery, DeliveryReply},
    order::{Demand, OrderId, PriceVector, SlotId, UnitVector},
    session::{
        Ask, LeafOpening, Numbers, Payers, Reader, SampledLeaf, ShownLeaves, SignedRequest,
        SignedVoucher, Voucher, batch_slot, batch_trace, root_of,
    },
    sum_tree::SumNode,
};
use std::sync::Arc;

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32]).unwrap()
}

fn buyer() -> SecretKey {
    key(1)
}

fn worker() -> SecretKey {
    key(2)
}

fn chain_id() -> ChainId {
    ChainId::new("dev-sessions").unwrap()
}

fn lane_id() -> SlotId {
    SlotId {
        order: OrderId(Digest::of_blob(b"session")),
        slot: 0,
    }
}

fn prices() -> PriceVector {
    let coin = Amount::from_coins(1).unwrap();
    PriceVector {
        input: coin,
        output: coin,
        ..PriceVector::default()
    }
}

fn opened(cap: Amount) -> LaneOpened {
    LaneOpened {
        slot_id: lane_id(),
        worker: worker().address(),
        payers: Payers {
            buyer: buyer().address(),
            delegate: Some(key(3).address()),
        },
        kind: Text::ID,
        version: Text::VERSION,
        prices: prices(),
        demand: demand_max(),
        cap,
        until: Millis(1_000_000),
    }
}

fn demand_max() -> Demand {
    let most = Units(1 << 16);
    Demand {
        units: UnitVector {
            input: most,
            output: most,
            time: most,
            ..UnitVector::default()
        },
        bytes_in: ByteCount(1 << 17),
        bytes_out_max: ByteCount(1 << 22),
        memory_max: ByteCount(1 << 30),
        execution_max: Millis(600_000),
    }
}

fn coin() -> Amount {
    Amount::from_coins(1).unwrap()
}

fn lanes() -> Lanes {
    let identity = Identity {
        key: worker(),
        seed: [9; 32],
    };
    Lanes::new(identity, chain_id(), Arc::new(Registry::standard()))
}

fn account(cap: Amount) -> LaneAccount {
    LaneAccount::new(LaneTerms {
        chain_id: chain_id(),
        lane: lane_id(),
        kind: Text::ID,
        prices: prices(),
        cap,
        chunk: LaneTerms::WHOLE,
    })
}

fn spec(text: &str) -> Vec<u8> {
    TextSpec::new(text.to_owned(), Operations::default())
        .unwrap()
        .encode()
        .to_vec()
}

fn ask(account: &mut LaneAccount, text: &str) -> Ask {
    let spec = spec(text);
    let demand = Registry::standard()
        .newest(Text::ID)
        .unwrap()
        .demand(&spec)
        .unwrap();
    let (request, credit) = account
        .begin(Digest::of_blob(&spec), &demand, &buyer())
        .unwrap();
    Ask {
        request,
        spec: BoundedBytes::new(spec).unwrap(),
        credit,
    }
}

/// Serves a request to its end, giving all the credit that it needs.
fn serve(lanes: &Lanes, account: &mut LaneAccount, text: &str) -> Delivery {
    let ask = ask(account, text);
    let index = ask.request.request.index;
    let served = lanes.admit(ask).unwrap();
    let mut received = 0;
    while let Some(credit) = account.received(index, Units(received), &buyer()).unwrap() {
        received = credit.stop.stop.output_max.get();
        lanes.credit(&credit).unwrap();
    }
    let (running, mut follower) = served.start();
    deterministic::Runner::default().start(|context| async move {
        running.run(lanes, &MemoryBlobs::default(), &context).await;
        running.keep(lanes);
    });
    loop {
        match run(follower.next()).unwrap() {
            DeliveryReply::Delivered(delivery) => {
                let units = &delivery.receipt.receipt.units;
                account.done(index, units).unwrap();
                return (*delivery).clone();
            }
            DeliveryReply::Chunk(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The numbers of so many requests from the first one on.
fn numbers(count: u32) -> Numbers {
    Numbers {
        first: 0,
        last: u64::from(count) - 1,
    }
}

fn posted(root: SumNode, number: u32, count: u32) -> BatchPosted {
    BatchPosted {
        slot_id: batch_slot(&lane_id(), number),
        lane: lane_id(),
        number,
        worker: worker().address(),
        root,
        count,
        numbers: numbers(count),
    }
}

fn shown_event(lanes: &Lanes, blobs: &MemoryBlobs, root: SumNode, count: u32) -> LeavesShown {
    let due = LeavesDue {
        slot_id: batch_slot(&lane_id(), 0),
        worker: worker().address(),
        // The first base unit, and the last.
        samples: BoundedVec::new(vec![
            Amount::ZERO,
            root.sum
                .checked_sub(Amount::from_base_units(1).unwrap())
                .unwrap(),
        ])
        .unwrap(),
        readers: BoundedVec::truncating(readers()),
        due: Millis(1),
    };
    let showing = lanes.shown(&due).unwrap();
    LeavesShown {
        slot_id: due.slot_id,
        lane: lane_id(),
        worker: worker().address(),
        payers: opened(coin()).payers,
        kind: Text::ID,
        version: Text::VERSION,
        prices: prices(),
        demand: demand_max(),
        root,
        count,
        numbers: numbers(count),
        samples: due.samples,
        leaves: BoundedVec::new(showing.sampled).unwrap(),
        shown: showing.shown,
        sealed: blobs.keep(showing.blob),
        readers: due.readers,
    }
}

/// A lane that served three requests and claimed them.
fn claimed() -> (Lanes, SumNode) {
    let lanes = lanes();
    lanes.open(&opened(coin()));
    let mut account = account(coin());
    for text in ["one river", "two rivers, two weirs", "three"] {
        let delivery = serve(&lanes, &mut account, text);
        assert!(delivery.receipt.is_signed());
    }
    let claim = lanes.claim(lane_id(), (10, Stragglers::Awaited)).unwrap();
    let root = root_of(&claim.leaves).unwrap();
    assert_eq!(claim.leaves.len(), 3);
    assert!(root.sum <= claim.voucher.voucher.cumulative);
    lanes.posted(&posted(root, 0, 3));
    assert!(lanes.to_claim().is_empty());
    (lanes, root)
}

/// The verifiers of a first draw, by the numbers of their seeds.
fn readers() -> [Reader; 2] {
    [4u8, 5].map(|number| Reader {
        verifier: key(number).address(),
        key: seal_key(&[number; 32]),
    })
}

fn reading() -> ReadingKey {
    ReadingKey::of(key(4).address(), &[4; 32])
}

fn trace_of(blobs: &MemoryBlobs, event: &LeavesShown) -> Digest {
    let (registry, reading) = (Registry::standard(), reading());
    let checked = check::batch(&registry, blobs, (event, None), &reading);
    batch_trace(&event.slot_id, run(checked).unwrap().0.iter())
}

/// What was shown, as its readers see it.
fn read_shown(blobs: &MemoryBlobs, event: &LeavesShown) -> ShownLeaves {
    let blob = run(crate::Blobs::get(blobs, event.sealed, 1 << 20)).unwrap();
    let sealing = Sealing {
        slot_id: event.slot_id,
        shown: event.shown,
        readers: event.readers.as_slice(),
        sharing: None,
    };
    let (plain, _) = seal::read(&sealing, &blob, &reading()).unwrap();
    fairweir_types::decode(&plain).unwrap()
}

/// The event of a worker that shows these bytes instead.
fn reshown(blobs: &MemoryBlobs, event: &LeavesShown, plain: &[u8]) -> LeavesShown {
    let content = ContentKey::of_batch(&[9; 32], &chain_id(), &event.slot_id);
    let blob = content.seal(&event.slot_id, event.readers.as_slice(), plain);
    LeavesShown {
        shown: Digest::of_blob(plain),
        sealed: blobs.keep(blob.unwrap()),
        ..event.clone()
    }
}

#[test]
fn verifiers_find_the_trace_that_an_honest_worker_opens() {
    let (lanes, root) = claimed();
    let blobs = MemoryBlobs::default();
    let event = shown_event(&lanes, &blobs, root, 3);
    let openings: Vec<LeafOpening> = lanes
        .openings(event.slot_id, event.samples.as_slice())
        .unwrap();
    let opened = batch_trace(
        &event.slot_id,
        openings.iter().map(|opening| &opening.trace),
    );
    assert_eq!(trace_of(&blobs, &event), opened);
    // Settled work is forgotten, and cannot be claimed again.
    lanes.settled(event.slot_id);
    assert!(lanes.openings(event.slot_id, &[Amount::ZERO]).is_none());
    assert!(lanes.claim(lane_id(), (10, Stragglers::Awaited)).is_none());
}

#[test]
fn whatever_is_not_as_its_root_promises_has_a_trace_that_nobody_opens() {
    let (lanes, root) = claimed();
    let blobs = MemoryBlobs::default();
    let event = shown_event(&lanes, &blobs, root, 3);
    let honest = trace_of(&blobs, &event);
    let shown = read_shown(&blobs, &event);
    let one = Amount::from_base_units(1).unwrap();
    type Change = fn(&mut ShownLeaves);
    let changes: [(&str, Change); 8] = [
        ("another spec", |shown| {
            shown.leaves.as_mut_slice()[0].spec = BoundedBytes::new(spec("other")).unwrap();
        }),
        ("another request", |shown| {
            let leaf = &mut shown.leaves.as_mut_slice()[0];
            let request = leaf.request.request.clone();
            leaf.request = SignedRequest::sign(request, &worker());
        }),
        ("more units", |shown| {
            let leaf = &mut shown.leaves.as_mut_slice()[0];
            leaf.receipt.receipt.units.input = Units(1 << 30);
        }),
        ("another place", |shown| {
            shown.leaves.as_mut_slice().reverse()
        }),
        ("another count", |shown| {
            let mut list = std::mem::take(&mut shown.list).into_vec();
            list.pop();
            shown.list = BoundedVec::new(list).unwrap();
        }),
        ("another order", |shown| shown.list.as_mut_slice().reverse()),
        ("another number", |shown| {
            shown.list.as_mut_slice()[0].index += 1;
        }),
        ("another receipt", |shown| {
            shown.list.as_mut_slice()[0].receipt = Digest::ZERO;
        }),
    ];
    let mut found = vec![honest];
    for (what, change) in changes {
        let mut shown = shown.clone();
        change(&mut shown);
        let event = reshown(&blobs, &event, &shown.encode());
        assert_ne!(trace_of(&blobs, &event), honest, "{what}");
        found.push(trace_of(&blobs, &event));
    }
    let dearer = LeavesShown {
        root: SumNode {
            sum: root.sum.checked_add(one).unwrap(),
            ..root
        },
        ..event.clone()
    };
    assert_ne!(trace_of(&blobs, &dearer), honest);
    // What the ledger is told of a leaf must be what the leaf is: an appeal rests on it.
    type Told = fn(&mut SampledLeaf);
    let told: [(&str, Told); 4] = [
        ("another number", |leaf| leaf.index += 1),
        ("another commitment", |leaf| leaf.commitment = Digest::ZERO),
        ("another receipt", |leaf| leaf.receipt = Digest::ZERO),
        ("another demand", |leaf| leaf.demand.units.output.0 -= 1),
    ];
    for (what, change) in told {
        let mut event = event.clone();
        change(&mut event.leaves.as_mut_slice()[0]);
        assert_ne!(trace_of(&blobs, &event), honest, "{what}");
    }
    let bytes = shown.encode();
    let cut = reshown(&blobs, &event, &bytes[..bytes.len() / 2]);
    // All verifiers find the same for what was not shown.
    assert_eq!(trace_of(&blobs, &cut), trace_of(&blobs, &cut));
    assert_ne!(trace_of(&blobs, &cut), honest);
}

#[test]
fn a_worker_takes_no_request_that_it_would_not_be_paid_for() {
    let lanes = lanes();
    let mut account = account(coin());
    let first = ask(&mut account, "text");
    let refused = |lanes: &Lanes, ask: Ask| lanes.admit(ask).unwrap_err().code();
    assert_eq!(refused(&lanes, first.clone()), "no_such_lane");
    lanes.open(&opened(coin()));

    let stranger = Ask {
        request: SignedRequest::sign(first.request.request.clone(), &key(7)),
        ..first.clone()
    };
    assert_eq!(refused(&lanes, stranger), "not_the_buyer");
    let other_spec = Ask {
        spec: BoundedBytes::new(spec("other")).unwrap(),
        ..first.clone()
    };
    assert_eq!(refused(&lanes, other_spec), "other_request");
    let mut far = first.request.request.clone();
    far.index = 1 << 40;
    let far = Ask {
        request: SignedRequest::sign(far, &buyer()),
        ..first.clone()
    };
    assert_eq!(refused(&lanes, far), "number_used");
    let mut unpaid = first.clone();
    let voucher = Voucher {
        cumulative: Amount::ZERO,
        ..first.credit.voucher.voucher.clone()
    };
    unpaid.credit.voucher = SignedVoucher::sign(voucher, &buyer());
    assert_eq!(refused(&lanes, unpaid), "credit_too_low");
    let mut forged = first.clone();
    forged.credit.voucher = SignedVoucher::sign(first.credit.voucher.voucher.clone(), &worker());
    assert_eq!(refused(&lanes, forged), "not_the_buyer");

    let mut delegated = first.clone();
    delegated.request = SignedRequest::sign(first.request.request.clone(), &key(3));
    assert!(lanes.admit(delegated).is_ok(), "a delegate asks");
    assert_eq!(
        refused(&lanes, first),
        "number_used",
        "no request is served twice"
    );
    // The next is covered only together with the first.
    let second = ask(&mut account, "more");
    assert!(lanes.admit(second).is_ok());
    lanes.closing(lane_id());
    let third = ask(&mut account, "late");
    assert_eq!(refused(&lanes, third), "no_such_lane");
}

#[test]
fn a_buyer_never_promises_more_than_a_chunk_ahead_nor_more_than_the_cap() {
    let units = |output: u64| UnitVector {
        input: Units(100),
        output: Units(output),
        ..UnitVector::default()
    };
    let demand = fairweir_types::order::Demand {
        units: units(1_000),
        ..fairweir_types::order::Demand::default()
    };
    let quote = |output| prices().quote(&units(output)).unwrap();
    let cap = quote(1_000).checked_add(quote(500)).unwrap();
    let mut account = LaneAccount::new(LaneTerms {
        chunk: CREDIT_CHUNK,
        ..account(cap).terms().clone()
    });
    let chunk = CREDIT_CHUNK.get();
    let begin = |account: &mut LaneAccount| account.begin(Digest::ZERO, &demand, &buyer());
    let (request, credit) = begin(&mut account).unwrap();
    assert_eq!(credit.stop.stop.output_max, CREDIT_CHUNK);
    assert_eq!(credit.voucher.voucher.cumulative, quote(chunk));
    let error = begin(&mut account).unwrap_err();
    assert!(matches!(error, AccountError::CapReached { .. }), "{error}");
    let index = request.request.index;
    let mut received = |output| account.received(index, Units(output), &buyer()).unwrap();
    assert!(received(31).is_none(), "half a chunk is left");
    let more = received(32).unwrap();
    assert_eq!(more.stop.stop.output_max, Units(32 + chunk));
    assert_eq!(more.voucher.voucher.cumulative, quote(32 + chunk));
    let end = received(990).unwrap();
    assert_eq!(end.stop.stop.output_max, Units(1_000));
    assert!(received(1_000).is_none());
    assert_eq!(account.done(index, &units(400)).unwrap(), quote(400));
    // What was promised and not taken is good for later requests, and vouchers never fall.
    let (_, next) = begin(&mut account).unwrap();
    assert_eq!(next.voucher.voucher.cumulative, quote(1_000));
    assert_eq!(account.lost(1), quote(chunk), "the worker may claim it");
    assert_eq!(account.running(), 0);
}

#[test]
fn a_lane_that_is_topped_up_takes_more_on_both_sides() {
    let lanes = lanes();
    let mut account = account(coin());
    let first = ask(&mut account, "a text that is as long as any of them");
    let cost = first.credit.voucher.voucher.cumulative;
    // A lane that pays for one of them and not for two.
    let terms = LaneTerms {
        cap: cost,
        ..account.terms().clone()
    };
    let mut account = LaneAccount::new(terms);
    lanes.open(&opened(cost));
    let text = "a text that is as long as any of them";
    assert!(lanes.admit(ask(&mut account, text)).is_ok());
    let demand = first.request.request.demand;
    let begin =
        |account: &mut LaneAccount| account.begin(Digest::of_blob(&spec(text)), &demand, &buyer());
    let error = begin(&mut account).unwrap_err();
    assert!(matches!(error, AccountError::CapReached { .. }), "{error}");
    let cap = cost.checked_add(cost).unwrap();
    account.raise_cap(cap);
    let second = ask(&mut account, text);
    // The worker heard nothing of it yet.
    assert_eq!(lanes.admit(second.clone()).unwrap_err().code(), "above_cap");
    lanes.raised(&LaneToppedUp {
        slot_id: lane_id(),
        worker: worker().address(),
        payer: buyer().address(),
        cap,
        locked: cost,
    });
    assert!(lanes.admit(second).is_ok());
    account.raise_cap(cost);
    assert_eq!(account.terms().cap, cap, "a cap never falls");
}

#[test]
fn a_buyer_that_restarts_uses_no_number_twice_and_no_coin() {
    let cap = coin();
    let mut before = account(cap);
    let (_, first) = before.begin(Digest::ZERO, &demand_max(), &buyer()).unwrap();
    let mark = before.mark();
    assert_eq!(mark.next, 1);
    assert_eq!(mark.promised, first.voucher.voucher.cumulative);
    let mut after = LaneAccount::resumed(before.terms().clone(), mark);
    assert_eq!(after.left(), cap.checked_sub(mark.promised).unwrap());
    let (request, second) = after.begin(Digest::ZERO, &demand_max(), &buyer()).unwrap();
    assert_eq!(request.request.index, 1);
    let promised = first.voucher.voucher.cumulative;
    let both = promised.checked_add(promised).unwrap();
    assert_eq!(
        second.voucher.voucher.cumulative, both,
        "what the first may still take is not given again"
    );
}

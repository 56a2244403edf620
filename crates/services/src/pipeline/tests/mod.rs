use super::{
    Identity, Tools, Verifier, Worker,
    role::{Role, Stage, Step},
    verifier, worker,
};
use crate::{
    BlobError, ChainError, Registry,
    testing::{MemoryBlobs, MemoryChain},
    text::{Operations, TextOutput, TextSpec},
};
use commonware_codec::Encode;
use commonware_runtime::{Clock, Runner as _, Spawner as _, Supervisor as _, deterministic};
use fairweir_types::{
    Action, Address, Amount, BoundedBytes, BoundedVec, Boxed, ByteCount, ChainId, Digest, Event,
    Height, Millis, Nonce, SecretKey, SignedReceipt, TxCode, Units, decode,
    event::{
        Judged, Matched, OpeningDue, OrderClosed, OrderPosted, ReceiptOpened, ReceiptSubmitted,
        RefundReason, Refunded, RevealDue, SlashReason, VerdictCommitted, VerdictRevealed,
        VerifiersDrawn, WorkerReplaced,
    },
    keys::Purpose,
    node_api::{DeliveryReply, DeliveryRequest},
    order::{
        Demand, KindId, OrderHeader, OrderId, Privacy, Requirements, Rounds, SlotId, SlotRole,
        Urgency,
    },
    receipt::{Randomness, Tier, Verdict, trace, verdict_commitment},
};
#[cfg(feature = "inference")]
mod appealing;
mod linking;
mod running;

use std::{sync::Arc, time::Duration};

const TEXT: &str = "One two. Two three.";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32]).unwrap()
}

fn buyer() -> SecretKey {
    key(1)
}

fn me() -> SecretKey {
    key(2)
}

fn identity() -> Identity {
    Identity {
        key: me(),
        seed: [9; 32],
    }
}

fn chain_id() -> ChainId {
    ChainId::new("dev-test").unwrap()
}

fn spec() -> Vec<u8> {
    TextSpec::new(TEXT.to_owned(), Operations::default())
        .unwrap()
        .encode()
        .to_vec()
}

fn slot_id() -> SlotId {
    SlotId {
        order: OrderId(Digest::of_blob(b"order")),
        slot: 0,
    }
}

enum Carried {
    Inline,
    AsBlob,
}

fn header(carried: &Carried) -> OrderHeader {
    let spec = spec();
    let registry = Registry::standard();
    let demand = registry.get(KindId(1), 1).unwrap().demand(&spec).unwrap();
    OrderHeader {
        kind: KindId(1),
        version: 1,
        spec_digest: Digest::of_blob(&spec),
        spec_inline: match carried {
            Carried::Inline => Some(BoundedBytes::new(spec).unwrap()),
            Carried::AsBlob => None,
        },
        demand,
        slots: 1,
        role: SlotRole::Worker,
        rounds: Rounds::Fixed(1),
        price_max: fairweir_types::order::PriceVector::default(),
        urgency: Urgency::Normal,
        match_within: Millis(10_000),
        requirements: Requirements::default(),
        privacy: Privacy::Public,
    }
}

fn posted_with(header: OrderHeader) -> Event {
    Event::OrderPosted(Boxed::new(OrderPosted {
        order: slot_id().order,
        buyer: buyer().address(),
        poster: buyer().address(),
        nonce: Nonce(0),
        header,
        escrow: Amount::ZERO,
        deposit: Amount::ZERO,
    }))
}

fn posted() -> Event {
    posted_with(header(&Carried::Inline))
}

fn matched_to(worker: Address, attempt: u16) -> Event {
    Event::Matched(Boxed::new(Matched {
        slot_id: slot_id(),
        attempt,
        worker,
        buyer: buyer().address(),
        quote: Amount::ZERO,
        due: Millis(60_000),
        within: Millis(60_000),
        others: BoundedVec::default(),
    }))
}

fn matched() -> Event {
    matched_to(me().address(), 0)
}

fn opening_due() -> Event {
    Event::OpeningDue(OpeningDue {
        slot_id: slot_id(),
        worker: me().address(),
        due: Millis(60_000),
    })
}

fn handed_in(receipt: SignedReceipt) -> Event {
    Event::ReceiptSubmitted(Boxed::new(ReceiptSubmitted {
        slot_id: slot_id(),
        worker: receipt.worker.address(),
        receipt,
    }))
}

fn drawn(tier: Tier, verifiers: Vec<Address>) -> Event {
    Event::VerifiersDrawn(Boxed::new(VerifiersDrawn {
        slot_id: slot_id(),
        tier,
        verifiers: BoundedVec::new(verifiers).unwrap(),
        due: Millis(60_000),
        within: Millis(60_000),
        randomness: Randomness::Beacon,
    }))
}

fn committed_by(verifier: Address) -> Event {
    Event::VerdictCommitted(VerdictCommitted {
        slot_id: slot_id(),
        tier: Tier::First,
        verifier,
    })
}

fn reveal_due(tier: Tier) -> Event {
    Event::RevealDue(RevealDue {
        slot_id: slot_id(),
        tier,
        due: Millis(60_000),
    })
}

fn replaced() -> Event {
    Event::WorkerReplaced(WorkerReplaced {
        slot_id: slot_id(),
        worker: me().address(),
        reason: SlashReason::ReceiptLate,
    })
}

fn refunded() -> Event {
    Event::Refunded(Refunded {
        slot_id: slot_id(),
        buyer: buyer().address(),
        reason: RefundReason::NoReceipt,
        amount: Amount::ZERO,
    })
}

fn closed() -> Event {
    Event::OrderClosed(OrderClosed {
        order: slot_id().order,
        deposit: Amount::ZERO,
        returned: Amount::ZERO,
    })
}

fn tools(blobs: &MemoryBlobs) -> Tools {
    Tools {
        registry: Arc::new(Registry::standard()),
        blobs: Arc::new(blobs.clone()),
        concurrency: 2,
    }
}

fn posted_order(header: OrderHeader) -> super::memory::PostedOrder {
    super::memory::PostedOrder {
        buyer: buyer().address(),
        posted: Height(1),
        header,
    }
}

fn name<J>(step: &Step<J>) -> &'static str {
    match step {
        Step::Work { .. } => "work",
        Step::Submit { action, .. } => action.name(),
    }
}

/// Feeds a machine; work is done at once, transactions succeed at once. What it did, in words.
fn play<R: Role>(machine: &mut R, events: &[Event], tools: &Tools) -> Vec<&'static str> {
    let mut did = Vec::new();
    for (position, event) in events.iter().enumerate() {
        let height = Height(position as u64 + 1);
        let mut steps = machine.decide(height, event);
        while let Some(step) = steps.pop() {
            if !machine.wants(&step) {
                continue;
            }
            did.push(name(&step));
            steps.extend(match step {
                Step::Work { job, order, .. } => {
                    let result = crate::testing::run(R::work(tools, &order, &machine.gear(job)));
                    machine.worked(job, result)
                }
                Step::Submit { job, stage, .. } => {
                    let done = outcome(TxCode::OK);
                    machine.submitted(job, stage, Some(&done))
                }
            });
        }
    }
    did
}

fn outcome(code: TxCode) -> fairweir_types::TxOutcome {
    fairweir_types::TxOutcome {
        tx: Digest::ZERO,
        code,
        reason: fairweir_types::BoundedText::default(),
    }
}

fn worker_machine() -> worker::Machine {
    worker::Machine::new(identity(), chain_id(), Arc::new(Registry::standard()))
}

fn verifier_machine() -> verifier::Machine {
    verifier::Machine::new(identity(), chain_id(), Arc::new(Registry::standard()))
}

/// The receipt that a worker with a key makes for the order.
fn receipt_of(worker: &SecretKey) -> SignedReceipt {
    let mut machine = worker::Machine::new(
        Identity {
            key: worker.clone(),
            seed: [3; 32],
        },
        chain_id(),
        Arc::new(Registry::standard()),
    );
    let height = Height(1);
    machine.decide(height, &posted());
    let steps = machine.decide(height, &matched_to(worker.address(), 0));
    let [Step::Work { job, order, .. }] = steps.as_slice() else {
        panic!("expected work, got {steps:?}");
    };
    let result = crate::testing::run(worker::Machine::work(
        &tools(&MemoryBlobs::default()),
        order,
        &machine.gear(*job),
    ));
    let steps = machine.worked(*job, result);
    let [Step::Submit { action, .. }] = steps.as_slice() else {
        panic!("expected a receipt, got {steps:?}");
    };
    let Action::SubmitReceipt(submit) = action.as_ref() else {
        panic!("expected a receipt, got {action:?}");
    };
    submit.receipt.clone()
}

#[test]
fn a_worker_does_what_events_ask() {
    let other = key(8).address();
    let mine = receipt_from_me();
    let table: Vec<(Vec<Event>, &[&str])> = vec![
        (
            vec![posted(), matched(), opening_due()],
            &["work", "submit_receipt", "open_receipt"],
        ),
        (vec![posted(), matched_to(other, 0)], &[]),
        (vec![matched()], &[]),
        (vec![posted(), opening_due()], &[]),
        (
            vec![posted(), matched(), matched()],
            &["work", "submit_receipt"],
        ),
        (
            vec![posted(), matched(), handed_in(mine), opening_due()],
            &["work", "submit_receipt", "open_receipt"],
        ),
        (
            vec![posted(), matched(), opening_due(), opening_due()],
            &["work", "submit_receipt", "open_receipt"],
        ),
        (
            vec![posted(), matched(), replaced(), opening_due()],
            &["work", "submit_receipt"],
        ),
        (
            vec![posted(), matched(), refunded(), opening_due()],
            &["work", "submit_receipt"],
        ),
        (vec![posted(), closed(), matched()], &[]),
        (
            vec![
                posted(),
                matched(),
                replaced(),
                matched_to(me().address(), 1),
                opening_due(),
            ],
            &[
                "work",
                "submit_receipt",
                "work",
                "submit_receipt",
                "open_receipt",
            ],
        ),
    ];
    for (row, (events, expected)) in table.iter().enumerate() {
        let did = play(
            &mut worker_machine(),
            events,
            &tools(&MemoryBlobs::default()),
        );
        assert_eq!(&did, expected, "row {row}");
    }
}

/// What this role would hand in, with its own seed.
fn receipt_from_me() -> SignedReceipt {
    let mut machine = worker_machine();
    let height = Height(1);
    machine.decide(height, &posted());
    machine.decide(height, &matched());
    let order = posted_order(header(&Carried::Inline));
    let result = crate::testing::run(worker::Machine::work(
        &tools(&MemoryBlobs::default()),
        &order,
        &machine.gear((slot_id(), 0)),
    ));
    let steps = machine.worked((slot_id(), 0), result);
    match steps.first() {
        Some(Step::Submit { action, .. }) => match action.as_ref() {
            Action::SubmitReceipt(submit) => submit.receipt.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_restart_a_worker_does_not_hand_in_twice_but_opens() {
    // All events are read before any step is started.
    let mut machine = worker_machine();
    let mut steps = Vec::new();
    for event in [
        posted(),
        matched(),
        handed_in(receipt_from_me()),
        opening_due(),
    ] {
        let height = Height(1);
        steps.extend(machine.decide(height, &event));
    }
    assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), ["work"]);
    assert!(machine.wants(&steps[0]));
    let order = posted_order(header(&Carried::Inline));
    let result = crate::testing::run(worker::Machine::work(
        &tools(&MemoryBlobs::default()),
        &order,
        &machine.gear((slot_id(), 0)),
    ));
    let steps = machine.worked((slot_id(), 0), result);
    assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), ["open_receipt"]);
}

#[test]
fn steps_that_later_events_made_pointless_are_not_wanted() {
    for end in [replaced(), refunded(), closed()] {
        let mut machine = worker_machine();
        let height = Height(1);
        machine.decide(height, &posted());
        let steps = machine.decide(height, &matched());
        machine.decide(height, &end);
        assert!(!machine.wants(&steps[0]), "{end:?}");
    }
}

#[test]
fn a_verifier_does_what_events_ask() {
    let receipt = || handed_in(receipt_of(&key(5)));
    let me = me().address();
    let other = key(8).address();
    let judged = Event::Judged(Judged {
        slot_id: slot_id(),
        tier: Tier::First,
        verdict: Verdict::Valid,
        agreeing: 2,
        drawn: 2,
        challenge_until: Millis::ZERO,
    });
    let revealed = Event::VerdictRevealed(VerdictRevealed {
        slot_id: slot_id(),
        tier: Tier::First,
        verifier: me,
        trace: Digest::ZERO,
        samples: BoundedVec::default(),
    });
    let first = || drawn(Tier::First, vec![other, me]);
    let table: Vec<(Vec<Event>, &[&str])> = vec![
        (
            vec![
                posted(),
                receipt(),
                first(),
                committed_by(me),
                reveal_due(Tier::First),
            ],
            &["work", "commit_verdict", "reveal_verdict"],
        ),
        (
            vec![posted(), receipt(), drawn(Tier::First, vec![other])],
            &[],
        ),
        (vec![posted(), first()], &[]),
        (vec![receipt(), first()], &[]),
        (
            vec![posted(), receipt(), first(), first()],
            &["work", "commit_verdict"],
        ),
        (
            vec![
                posted(),
                receipt(),
                first(),
                judged,
                reveal_due(Tier::First),
            ],
            &["work", "commit_verdict"],
        ),
        (
            vec![
                posted(),
                receipt(),
                first(),
                revealed,
                reveal_due(Tier::First),
            ],
            &["work", "commit_verdict"],
        ),
        (
            vec![posted(), receipt(), first(), reveal_due(Tier::Dispute)],
            &["work", "commit_verdict"],
        ),
        (
            vec![
                posted(),
                receipt(),
                first(),
                refunded(),
                reveal_due(Tier::First),
            ],
            &["work", "commit_verdict"],
        ),
        (vec![posted(), receipt(), closed(), first()], &[]),
        (
            vec![
                posted(),
                receipt(),
                drawn(Tier::Dispute, vec![me]),
                reveal_due(Tier::Dispute),
                reveal_due(Tier::Dispute),
            ],
            &["work", "commit_verdict", "reveal_verdict"],
        ),
    ];
    for (row, (events, expected)) in table.iter().enumerate() {
        let did = play(
            &mut verifier_machine(),
            events,
            &tools(&MemoryBlobs::default()),
        );
        assert_eq!(&did, expected, "row {row}");
    }
}

#[test]
fn a_verifier_that_missed_the_time_to_commit_is_silent_and_one_that_restarts_reveals() {
    for (has_committed, expected) in [(false, vec![]), (true, vec!["reveal_verdict"])] {
        let mut machine = verifier_machine();
        let height = Height(1);
        let mut events = vec![
            posted(),
            handed_in(receipt_of(&key(5))),
            drawn(Tier::First, vec![me().address()]),
        ];
        if has_committed {
            events.push(committed_by(me().address()));
        }
        events.push(reveal_due(Tier::First));
        for event in &events {
            machine.decide(height, event);
        }
        let order = posted_order(header(&Carried::Inline));
        let result = crate::testing::run(verifier::Machine::work(
            &tools(&MemoryBlobs::default()),
            &order,
            &machine.gear((slot_id(), Tier::First)),
        ));
        let steps = machine.worked((slot_id(), Tier::First), result);
        assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_second_commitment_that_is_refused_counts_as_the_first() {
    let mut machine = verifier_machine();
    let events = [
        posted(),
        handed_in(receipt_of(&key(5))),
        drawn(Tier::First, vec![me().address()]),
    ];
    play(&mut machine, &events, &tools(&MemoryBlobs::default()));
    let job = (slot_id(), Tier::First);
    let refused = outcome(TxCode(503));
    assert!(
        machine
            .submitted(job, Stage::Commitment, Some(&refused))
            .is_empty()
    );
    let height = Height(9);
    let steps = machine.decide(height, &reveal_due(Tier::First));
    assert_eq!(
        steps.iter().map(name).collect::<Vec<_>>(),
        ["reveal_verdict"]
    );
}

fn commitment_for(receipt: SignedReceipt) -> Digest {
    let mut machine = verifier_machine();
    let height = Height(1);
    for event in [
        posted(),
        handed_in(receipt),
        drawn(Tier::First, vec![me().address()]),
    ] {
        machine.decide(height, &event);
    }
    let order = posted_order(header(&Carried::Inline));
    let result = crate::testing::run(verifier::Machine::work(
        &tools(&MemoryBlobs::default()),
        &order,
        &machine.gear((slot_id(), Tier::First)),
    ));
    match machine.worked((slot_id(), Tier::First), result).first() {
        Some(Step::Submit { action, .. }) => match action.as_ref() {
            Action::CommitVerdict(commit) => commit.commitment,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_verifier_never_agrees_with_units_that_the_work_does_not_take() {
    let honest = receipt_of(&key(5));
    let mut overcharged = honest.receipt.clone();
    overcharged.units.output = Units(overcharged.units.output.get() + 1);
    let overcharged = SignedReceipt::sign(overcharged, &key(5));
    assert_ne!(commitment_for(honest), commitment_for(overcharged));
}

#[test]
fn a_bad_order_is_answered_without_output_or_units_by_both_roles() {
    let mut starved = header(&Carried::Inline);
    starved.demand.units.output = Units(1);
    let mut mislabelled = header(&Carried::Inline);
    mislabelled.demand.bytes_in = ByteCount(1);
    let mut garbled = header(&Carried::Inline);
    garbled.spec_digest = Digest::of_blob(b"no spec");
    garbled.spec_inline = Some(BoundedBytes::new(b"no spec".to_vec()).unwrap());
    garbled.demand.bytes_in = ByteCount(7);
    for header in [starved, mislabelled, garbled] {
        let tools = tools(&MemoryBlobs::default());
        let order = posted_order(header);
        let gear = worker_machine().gear((slot_id(), 0));
        let made = crate::testing::run(worker::Machine::work(&tools, &order, &gear)).unwrap();
        let executed = made.executed;
        assert_eq!(executed, crate::Executed::refusal());
        let reading = crate::session::seal::ReadingKey::of(Address([1; 20]), &[1; 32]);
        let gear = (None, reading);
        let checked = crate::testing::run(verifier::Machine::work(&tools, &order, &gear)).unwrap();
        let verifier::Checked::Work(service, evidence) = checked else {
            panic!("an order's work is no batch");
        };
        let mut receipt = receipt_from_me().receipt;
        receipt.spec_digest = order.header.spec_digest;
        receipt.units = executed.units;
        assert_eq!(
            service.trace(&receipt, &evidence),
            Some(executed.trace(&order.header.spec_digest))
        );
    }
}

#[test]
fn a_flood_of_events_is_remembered_within_bounds() {
    let mut machine = worker_machine();
    let mut header = header(&Carried::AsBlob);
    header.demand = Demand::default();
    for number in 0..super::limits::ORDERS_MAX + 10 {
        let event = Event::OrderPosted(Boxed::new(OrderPosted {
            order: OrderId(Digest::of_blob(&number.to_be_bytes())),
            buyer: buyer().address(),
            poster: buyer().address(),
            nonce: Nonce(0),
            header: header.clone(),
            escrow: Amount::ZERO,
            deposit: Amount::ZERO,
        }));
        let height = Height(number as u64);
        machine.decide(height, &event);
    }
    assert_eq!(machine.oldest(), Some(Height(10)));
}

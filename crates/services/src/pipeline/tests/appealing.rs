//! When an advocate appeals, and that it goes on until it had its turn.

mod batches;

use super::*;
use crate::{
    Kind as _, StopAt,
    contract::Served as _,
    inference::{
        chat::{Chat, ChatSpec, Parameters, Prompt},
        testing::TINY_CHAT,
    },
    pipeline::advocate::Machine,
};
use fairweir_types::{
    Receipt,
    event::{AppealDecided, AppealOutcome, Appealed, AppealsOpen},
};

const JUDGED: Digest = Digest([7; 32]);

fn asked() -> Vec<u8> {
    let prompt = Prompt::Tokens(BoundedVec::truncating(5..25));
    let spec = ChatSpec::new(TINY_CHAT, prompt, Parameters::greedy(3), [9; 32]);
    spec.unwrap().encode().to_vec()
}

fn chat_tools() -> Tools {
    Tools {
        registry: Arc::new(Registry::of([Chat::service()])),
        ..tools(&MemoryBlobs::default())
    }
}

/// The order, a receipt of it with the units that it takes, and the trace that I opened; each may be changed.
fn told_with(
    worker: Address,
    change: impl FnOnce(&mut OrderHeader, &mut Receipt, &mut Digest),
) -> [Event; 3] {
    let (spec, blobs, stop) = (asked(), MemoryBlobs::default(), StopAt::default());
    let demand = Chat::service().demand(&spec).unwrap();
    let digest = Digest::of_blob(&spec);
    let env = crate::Env::checking(&blobs, &demand, &stop, &[]);
    let service = Chat::service();
    let mut outlet = crate::Discard;
    let executed = service.execute(&env, &spec, &mut outlet);
    let executed = crate::testing::run(executed).unwrap();
    let mut receipt = Receipt {
        chain_id: chain_id(),
        slot_id: slot_id(),
        attempt: 0,
        kind: Chat::ID,
        version: Chat::VERSION,
        spec_digest: digest,
        units: executed.units,
        disclosure: Digest::ZERO,
        output_commitment: Digest::ZERO,
    };
    let mut header = OrderHeader {
        kind: Chat::ID,
        version: Chat::VERSION,
        spec_digest: digest,
        spec_inline: Some(BoundedBytes::new(spec).unwrap()),
        demand,
        ..header(&Carried::Inline)
    };
    let mut trace = executed.trace(&digest);
    change(&mut header, &mut receipt, &mut trace);
    [
        posted_with(header),
        Event::ReceiptSubmitted(Boxed::new(ReceiptSubmitted {
            slot_id: slot_id(),
            worker,
            receipt: SignedReceipt::sign(receipt, &me()),
        })),
        Event::ReceiptOpened(ReceiptOpened {
            slot_id: slot_id(),
            worker,
            trace,
            samples: BoundedVec::default(),
        }),
    ]
}

fn advocate() -> Machine {
    Machine::new(&identity(), chain_id(), Arc::clone(&chat_tools().registry))
}

fn told(worker: Address) -> [Event; 3] {
    told_with(worker, |_, _, _| {})
}

fn open_for(judged: Digest) -> Event {
    Event::AppealsOpen(AppealsOpen {
        slot_id: slot_id(),
        judged,
        until: Millis(1),
    })
}

fn appealed(appellant: Address, defender: Address) -> Event {
    appealed_for(appellant, defender, JUDGED)
}

fn appealed_for(appellant: Address, defender: Address, judged: Digest) -> Event {
    Event::Appealed(Boxed::new(Appealed {
        slot_id: slot_id(),
        sample: 0,
        appellant,
        trace: Digest::ZERO,
        run: Digest::ZERO,
        defender,
        judged,
        due: Millis(1),
    }))
}

fn decided(appellant: Address, outcome: AppealOutcome) -> Event {
    Event::AppealDecided(Boxed::new(AppealDecided {
        slot_id: slot_id(),
        appellant,
        defender: key(8).address(),
        outcome,
        path: BoundedVec::default(),
        is_turned: false,
    }))
}

#[test]
fn an_honest_worker_appeals_again_when_another_lost_and_only_until_it_lost_itself() {
    let (me, other) = (me().address(), key(8).address());
    let mut machine = advocate();
    let mut tell = |events: &[Event]| play(&mut machine, events, &chat_tools());
    assert_eq!(tell(&told(me)), [""; 0]);
    assert_eq!(tell(&[open_for(JUDGED)]), ["work", "appeal"]);
    // Another was faster, and lost.
    let lost = AppealOutcome::AppellantSilent;
    assert_eq!(
        tell(&[appealed(other, other), decided(other, lost)]),
        [""; 0]
    );
    assert_eq!(tell(&[open_for(JUDGED)]), ["work", "appeal"]);
    assert_eq!(tell(&[appealed(me, other), decided(me, lost)]), [""; 0]);
    assert_eq!(tell(&[open_for(JUDGED)]), [""; 0], "it had its turn");
}

#[test]
fn who_is_right_by_the_verdict_does_not_appeal_it_and_an_appeal_of_another_stops_its_own() {
    let (me, other) = (me().address(), key(8).address());
    let told = told(me);
    let Event::ReceiptOpened(opened) = &told[2] else {
        panic!("the third is the opening");
    };
    let mut machine = advocate();
    play(&mut machine, &told, &chat_tools());
    let right = open_for(opened.trace);
    assert_eq!(play(&mut machine, &[right], &chat_tools()), [""; 0]);
    let steps = machine.decide(Height(9), &open_for(JUDGED));
    assert!(machine.wants(&steps[0]));
    machine.decide(Height(9), &appealed(other, other));
    assert!(!machine.wants(&steps[0]));
}

#[test]
fn a_worker_that_was_wrong_keeps_silent_and_a_refused_order_is_defended_without_a_run() {
    let me = me().address();
    let mut machine = advocate();
    let wrong = told_with(me, |_, _, trace| *trace = Digest([3; 32]));
    play(&mut machine, &wrong, &chat_tools());
    assert_eq!(
        play(&mut machine, &[open_for(JUDGED)], &chat_tools()),
        ["work"]
    );
    // The header says other bytes than the spec has, so that the order had to be refused.
    let mut machine = advocate();
    let refused = told_with(me, |header, receipt, _| {
        header.demand.bytes_in.0 += 1;
        receipt.units = fairweir_types::order::UnitVector::default();
    });
    play(&mut machine, &refused, &chat_tools());
    let refusal = crate::Executed::refusal().trace(&Digest::of_blob(&asked()));
    let defended = appealed_for(key(8).address(), me, refusal);
    assert_eq!(
        play(&mut machine, &[defended], &chat_tools()),
        ["work", "defend"]
    );
}

//! A verifier that is asked for a link of its hash chain.

use super::{chain_id, identity, key, me, name, outcome, slot_id, verifier_machine};
use crate::{
    pipeline::role::{Role as _, Step},
    session,
};
use fairweir_types::{
    Action, Address, BoundedVec, Boxed, Digest, Event, Height, Millis, TxCode,
    event::{LeavesDue, LinkDue, LinkRevealed},
    hash_chain::link_before,
    order::SlotId,
};

fn link_due(slot_id: SlotId, asked: (Address, [u8; 32]), index: u32) -> Event {
    Event::LinkDue(Boxed::new(due(slot_id, asked, index)))
}

fn due(slot_id: SlotId, (verifier, seed): (Address, [u8; 32]), index: u32) -> LinkDue {
    LinkDue {
        slot_id,
        worker: key(5).address(),
        seed: Digest::ZERO,
        verifier,
        hash_chain: session::hash_chain(&seed, &chain_id(), 7, 32),
        index,
        due: Millis(60_000),
    }
}

fn leaves_due() -> Event {
    Event::LeavesDue(Boxed::new(LeavesDue {
        slot_id: slot_id(),
        worker: key(5).address(),
        samples: BoundedVec::default(),
        readers: BoundedVec::default(),
        due: Millis(60_000),
    }))
}

#[test]
fn a_verifier_reveals_the_link_that_is_asked_for() {
    let mut machine = verifier_machine();
    let steps = machine.decide(
        Height(4),
        &link_due(slot_id(), (me().address(), identity().seed), 3),
    );
    let [Step::Submit { job, stage, action }] = steps.as_slice() else {
        panic!("expected a link, got {steps:?}");
    };
    let Action::RevealLink(reveal) = action.as_ref() else {
        panic!("expected a link, got {action:?}");
    };
    let chain = session::hash_chain(&identity().seed, &chain_id(), 7, 32);
    assert_eq!(reveal.slot_id, slot_id());
    assert_eq!(link_before(&reveal.link, 3), chain.anchor);
    // Until the ledger has it, a role that begins again must see it again.
    assert!(machine.wants(&steps[0]));
    assert_eq!(machine.oldest(), Some(Height(4)));
    let done = outcome(TxCode::OK);
    assert!(machine.submitted(*job, *stage, Some(&done)).is_empty());
    let revealed = Event::LinkRevealed(LinkRevealed {
        slot_id: slot_id(),
        verifier: me().address(),
        link: reveal.link,
    });
    machine.decide(Height(5), &revealed);
    assert!(!machine.wants(&steps[0]));
    assert_eq!(machine.oldest(), None);
}

#[test]
fn a_verifier_reveals_no_link_of_others_nor_when_its_time_is_over() {
    let mut machine = verifier_machine();
    let height = Height(4);
    let table = [
        (key(8).address(), identity().seed),
        // Its account is enrolled with a chain of another seed.
        (me().address(), [1; 32]),
    ];
    for (verifier, seed) in table {
        let steps = machine.decide(height, &link_due(slot_id(), (verifier, seed), 3));
        assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), [""; 0]);
    }
    let steps = machine.decide(
        height,
        &link_due(slot_id(), (me().address(), identity().seed), 3),
    );
    machine.decide(Height(9), &leaves_due());
    assert!(!machine.wants(&steps[0]));
}

#[test]
fn of_many_batches_the_newest_link_goes_first_and_one_at_a_time() {
    let mut machine = verifier_machine();
    let me = (me().address(), identity().seed);
    let batch = |number: u16| SlotId {
        slot: number,
        ..slot_id()
    };
    let slot_of = |steps: &[Step<_>]| -> Vec<u16> {
        let slots = steps.iter().map(|step| match step {
            Step::Submit { action, .. } => match action.as_ref() {
                Action::RevealLink(reveal) => reveal.slot_id.slot,
                other => panic!("expected a link, got {other:?}"),
            },
            Step::Work { .. } => panic!("expected a link"),
        });
        slots.collect()
    };
    let revealed = |number| {
        Event::LinkRevealed(LinkRevealed {
            slot_id: batch(number),
            verifier: me.0,
            link: Digest::ZERO,
        })
    };
    let height = Height(4);
    let mut sent = Vec::new();
    for number in 1..=5 {
        let steps = machine.decide(height, &link_due(batch(number), me, u32::from(number)));
        sent.extend(slot_of(&steps));
    }
    assert_eq!(sent, [1], "the others wait for it");
    assert_eq!(slot_of(&machine.decide(height, &revealed(1))), [5]);
    // What became of the first transaction is heard after its event.
    let stage = crate::pipeline::role::Stage::Link;
    let done = outcome(TxCode::OK);
    let first = |number| (batch(number), fairweir_types::receipt::Tier::First);
    assert!(machine.submitted(first(1), stage, Some(&done)).is_empty());
    // What follows from it the ledger writes down for the batches that are looked at.
    assert!(machine.decide(height, &revealed(3)).is_empty());
    // A step that was dropped holds up nothing once its batch goes on.
    assert_eq!(slot_of(&machine.decide(height, &revealed(5))), [4]);
    // One that could not be sent is sent again, and one of a chain that took over goes after all of the one before.
    assert_eq!(slot_of(&machine.submitted(first(4), stage, None)), [4]);
    let newer = LinkDue {
        hash_chain: session::hash_chain(&me.1, &chain_id(), 8, 32),
        ..due(batch(6), me, 1)
    };
    assert!(
        machine
            .decide(height, &Event::LinkDue(Boxed::new(newer)))
            .is_empty()
    );
    assert_eq!(
        slot_of(&machine.submitted(first(4), stage, Some(&done))),
        [2]
    );
    assert_eq!(slot_of(&machine.decide(height, &revealed(2))), [6]);
    // One that is not ours holds up none of ours.
    let foreign = LinkDue {
        hash_chain: session::hash_chain(&[1; 32], &chain_id(), 3, 32),
        ..due(batch(7), me, 1)
    };
    let foreign = Event::LinkDue(Boxed::new(foreign));
    assert!(machine.decide(height, &foreign).is_empty());
    assert!(
        machine
            .decide(height, &link_due(batch(8), me, 9))
            .is_empty()
    );
    assert_eq!(slot_of(&machine.decide(height, &revealed(6))), [8]);
}

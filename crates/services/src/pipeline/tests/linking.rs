//! A verifier that is asked for a link of its hash chain.

use super::{chain_id, identity, key, me, name, outcome, slot_id, verifier_machine};
use crate::{
    pipeline::role::{Role as _, Step},
    session,
};
use fairweir_types::{
    Action, Address, BoundedVec, Boxed, Digest, Event, Height, Millis, TxCode,
    event::{LeavesDue, LinkDue, LinkRevealed, LinksDue},
    hash_chain::link_before,
};

fn links_due(verifier: Address, seed: [u8; 32]) -> Event {
    let due = LinkDue {
        verifier,
        chain: session::hash_chain(&seed, &chain_id(), 7, 32),
        index: 3,
    };
    Event::LinksDue(Boxed::new(LinksDue {
        slot_id: slot_id(),
        worker: key(5).address(),
        seed: Digest::ZERO,
        links: BoundedVec::truncating([due]),
        due: Millis(60_000),
    }))
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
    let steps = machine.decide(Height(4), &links_due(me().address(), identity().seed));
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
        let steps = machine.decide(height, &links_due(verifier, seed));
        assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), [""; 0]);
    }
    let steps = machine.decide(height, &links_due(me().address(), identity().seed));
    machine.decide(Height(9), &leaves_due());
    assert!(!machine.wants(&steps[0]));
}

//! Lists that one block reads in whole are bounded, each on its own.

use crate::{
    crowded_blocks::offer,
    world::{World, coins, key_of},
};
use fairweir_ledger::refusal;
use fairweir_types::{
    Action, BoundedVec, Boxed, SecretKey, VerifiedTx,
    limits::{OFFERS_PER_KIND_MAX, VERIFIERS_MAX},
    order::KindId,
    tx::{Bond, EnrolVerifier, RegisterOffer, WithdrawOffer},
};

const MEMBERS: usize = OFFERS_PER_KIND_MAX;
const _: () = assert!(MEMBERS == VERIFIERS_MAX, "one crowd fills both lists");

fn register(key: &SecretKey, kind: u16) -> Action {
    let mut offer = offer(key.address());
    offer.kind = KindId(kind);
    Action::RegisterOffer(Boxed::new(RegisterOffer { offer }))
}

fn enrol(key: &SecretKey) -> Action {
    Action::EnrolVerifier(EnrolVerifier {
        owner: key.address(),
        kinds: BoundedVec::truncating([KindId(1)]),
        seal_key: [0; 32],
    })
}

/// Everybody does it in one block.
fn all_do(world: &mut World, keys: &[SecretKey], action: impl Fn(&SecretKey) -> Action) {
    let txs: Vec<VerifiedTx> = keys
        .iter()
        .map(|key| {
            world
                .transaction(key, action(key))
                .sign(key)
                .verify()
                .unwrap()
        })
        .collect();
    world.block(10, &txs);
    assert!(world.last.outcomes.iter().all(|outcome| outcome.is_done()));
}

fn name_of(outcome: &fairweir_types::TxOutcome) -> &'static str {
    refusal::name(outcome.code)
}

#[test]
fn offers_are_counted_per_kind_and_verifiers_in_all() {
    let names: Vec<String> = (0..=MEMBERS).map(|number| format!("M{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&names, &[]);
    let keys: Vec<SecretKey> = names.iter().map(|name| key_of(name)).collect();
    let (last, members) = keys.split_last().unwrap();
    let bond = Action::Bond(Bond {
        amount: coins("100"),
    });
    all_do(&mut world, &keys, |_| bond.clone());
    all_do(&mut world, members, |key| register(key, 1));
    all_do(&mut world, members, enrol);

    let refused = world.act(last, register(last, 1));
    assert_eq!(name_of(&refused), "too_many_offers");
    assert_eq!(name_of(&world.act(last, enrol(last))), "verifier_pool_full");
    // Another kind has its own list, and whoever is listed may change its offer.
    assert!(world.act(last, register(last, 2)).is_done());
    let member = members.first().unwrap();
    assert!(world.act(member, register(member, 1)).is_done());
    let withdraw = Action::WithdrawOffer(WithdrawOffer { kind: KindId(1) });
    assert!(world.act(member, withdraw).is_done());
    assert!(world.act(last, register(last, 1)).is_done());
}

//! Lists that one block reads in whole are bounded, each on its own.

use crate::{
    crowded_blocks::offer,
    world::{World, coins, key_of, vote_key_of},
};
use fairweir_ledger::{MemoryState, candidates, genesis_writes, refusal};
use fairweir_types::{
    Action, Amount, BoundedText, BoundedVec, Boxed, Bps, Height, SecretKey, VerifiedTx,
    catalogue::{GenesisService, ServiceEntry, ServiceTerms, SetService},
    governance::{Message, SetParam},
    limits::{CANDIDATES_MAX, DELEGATIONS_MAX, OFFERS_PER_KIND_MAX, SERVICES_MAX, VERIFIERS_MAX},
    order::KindId,
    tx::{
        Bond, ConfirmNode, DelegateStake, EnrolVerifier, RedelegateStake, RegisterCandidate,
        RegisterOffer, SubmitProposal, UpdateCandidate, WithdrawOffer,
    },
};

fn peer() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 9_000).into()
}

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
        kinds: BoundedVec::truncating([crate::world::known(1)]),
        seal_key: [0; 32],
        hash_chain: crate::world::chain_of(key.address(), 0, 64),
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

#[test]
fn a_full_catalogue_takes_no_other_kind() {
    let mut world = World::new(&["A"], &[]);
    let services = (1..=SERVICES_MAX).map(|kind| GenesisService {
        kind: KindId(u16::try_from(kind).unwrap()),
        terms: ServiceTerms::widest(&format!("kind-{kind}"), 1),
    });
    world.genesis.services = BoundedVec::truncating(services);
    world.state = MemoryState::default();
    world.state.apply(&genesis_writes(&world.genesis).unwrap());
    let propose = |kind: u16| {
        let terms = Some(ServiceTerms::widest(&format!("kind-{kind}"), 2));
        let entry = ServiceEntry {
            from: Height(1_000),
            terms,
        };
        let kind = KindId(kind);
        Action::SubmitProposal(Boxed::new(SubmitProposal {
            title: BoundedText::truncating("another kind"),
            message: Message::SetService(Boxed::new(SetService { kind, entry })),
            expedited: false,
            deposit: coins("1000"),
        }))
    };
    let key = key_of("A");
    assert_eq!(name_of(&world.act(&key, propose(999))), "catalogue_full");
    assert!(world.act(&key, propose(7)).is_done());
}

fn signed(world: &World, key: &SecretKey, name: &str, amount: &str) -> RegisterCandidate {
    RegisterCandidate::sign(
        (world.genesis.digest(), key.address()),
        (key, &vote_key_of(name)),
        (Bps::ZERO, coins(amount), peer()),
    )
}

fn registration(world: &World, key: &SecretKey, name: &str, amount: &str) -> Action {
    Action::RegisterCandidate(Boxed::new(signed(world, key, name, amount)))
}

#[test]
fn a_full_list_of_candidates_takes_more_stake_in_place_of_the_least() {
    let names: Vec<String> = (0..=CANDIDATES_MAX)
        .map(|number| format!("C{number}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&names, &[]);
    for (number, name) in names.iter().take(CANDIDATES_MAX).enumerate() {
        let amount = match number {
            // It leads the next three, whose places are worth as much as anybody's by what is behind it.
            0 => "4004",
            1..=3 | 7 => "1000",
            _ => "1001",
        };
        let signed = signed(&world, &key_of(name), name, amount);
        let lead = key_of("C0").address();
        let is_further = (1..=3).contains(&number);
        let signed = if is_further { signed.of(lead) } else { signed };
        let register = Action::RegisterCandidate(Boxed::new(signed));
        assert!(world.act(&key_of(name), register).is_done(), "{name}");
        if is_further {
            let node = key_of(name).address();
            let confirm = Action::ConfirmNode(ConfirmNode { node });
            assert!(world.act(&key_of("C0"), confirm).is_done());
        }
    }
    let last = names.last().unwrap();
    let key = key_of(last);
    let refused = world.act(&key, registration(&world, &key, last, "1000"));
    assert_eq!(name_of(&refused), "too_many_candidates");
    assert!(
        world
            .act(&key, registration(&world, &key, last, "1000.1"))
            .is_done()
    );
    let of = |world: &World, name: &str| {
        candidates::candidate(&world.state, key_of(name).address())
            .unwrap()
            .unwrap()
    };
    assert!(!of(&world, "C7").stands && of(&world, last).stands);
    // Who was put out keeps what is behind it, and comes back with more.
    let stand = Action::UpdateCandidate(UpdateCandidate {
        commission: Bps::ZERO,
        stands: true,
        peer: peer().into(),
    });
    let refused = world.act(&key_of("C7"), stand.clone());
    assert_eq!(name_of(&refused), "too_many_candidates");
    let delegate = Action::DelegateStake(DelegateStake {
        candidate: key_of("C7").address(),
        amount: coins("0.2"),
    });
    assert!(world.act(&key_of("C7"), delegate).is_done());
    assert!(world.act(&key_of("C7"), stand).is_done());
    assert!(of(&world, "C7").stands && !of(&world, last).stands);
    assert!(
        ["C0", "C1", "C2", "C3"]
            .iter()
            .all(|name| of(&world, name).stands)
    );
}

#[test]
fn an_account_delegates_to_some_candidates_at_most() {
    let names: Vec<String> = (0..=DELEGATIONS_MAX)
        .map(|number| format!("C{number}"))
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("A");
    let mut world = World::new(&names, &[]);
    let a = key_of("A");
    for (number, name) in names.iter().take(DELEGATIONS_MAX + 1).enumerate() {
        let registration = registration(&world, &key_of(name), name, "1000");
        assert!(world.act(&key_of(name), registration).is_done());
        let delegate = Action::DelegateStake(DelegateStake {
            candidate: key_of(name).address(),
            amount: coins("1"),
        });
        let outcome = world.act(&a, delegate);
        let expected = if number < DELEGATIONS_MAX {
            "ok"
        } else {
            "too_many_delegations"
        };
        assert_eq!(name_of(&outcome), expected);
    }
    // What moves whole makes the place that it takes; a part of it does not.
    let redelegate = |from: &str, to: &str, amount: &str| {
        Action::RedelegateStake(RedelegateStake {
            from: key_of(from).address(),
            to: key_of(to).address(),
            amount: coins(amount),
        })
    };
    let last = names[DELEGATIONS_MAX];
    let refused = world.act(&a, redelegate("C0", last, "0.5"));
    assert_eq!(name_of(&refused), "too_many_delegations");
    assert!(world.act(&a, redelegate("C0", last, "1")).is_done());
    // Neither does one that an open voting needs: whoever takes its stake back by voting must find all of it.
    let proposal = SubmitProposal {
        title: BoundedText::truncating("a proposal"),
        message: Message::SetParam(SetParam {
            param: 1,
            value: 2_000,
        }),
        expedited: false,
        deposit: Amount::MAX,
    };
    let proposal = Action::SubmitProposal(Boxed::new(proposal));
    assert!(world.act(&key_of("C0"), proposal).is_done());
    let refused = world.act(&a, redelegate("C1", "C0", "1"));
    assert_eq!(name_of(&refused), "too_many_delegations");
}

//! A block full of transactions with many events each stays within what can be stored, and one full of reports within the time of its checks.

use crate::world::{World, coins, key_of};
use fairweir_ledger::refusal;
use fairweir_types::{
    Action, Amount, BoundedBytes, Boxed, Bps, ByteCount, Digest, Height, Millis, Nonce,
    Transaction, Units, VerifiedTx,
    double_vote::{CastVote, DoubleVote, VoteKind},
    keys::VoteSecretKey,
    limits::{BLOCK_EVENTS_MAX, REGISTRATIONS_CHECKED_MAX, REPORTS_CHECKED_MAX},
    order::{
        Demand, KindId, OrderHeader, OrderId, PriceVector, Privacy, Requirements, Rounds, SlotRole,
        UnitVector, Urgency,
    },
    tx::{CancelOrder, PostOrder, RegisterCandidate, ReportDoubleVote},
};

/// Orders of sixteen slots: cancelling one emits seventeen events.
const ORDERS: u64 = 3_600;
const PER_BLOCK: u64 = 900;

pub(crate) fn header() -> OrderHeader {
    let spec = b"spec".to_vec();
    OrderHeader {
        kind: KindId(1),
        version: 1,
        spec_digest: Digest::of_blob(&spec),
        spec_inline: Some(BoundedBytes::new(spec).unwrap()),
        demand: Demand {
            units: UnitVector {
                input: Units(1),
                ..UnitVector::default()
            },
            bytes_in: ByteCount(4),
            execution_max: Millis(10_000),
            ..Demand::default()
        },
        slots: 16,
        role: SlotRole::Worker,
        rounds: Rounds::Fixed(1),
        price_max: PriceVector {
            input: Amount::from_base_units(1).unwrap(),
            ..PriceVector::default()
        },
        urgency: Urgency::Normal,
        match_within: Millis(86_400_000),
        requirements: Requirements::default(),
        privacy: Privacy::Public,
    }
}

pub(crate) fn signed(nonce: u64, action: Action) -> VerifiedTx {
    let key = key_of("A");
    let transaction = Transaction {
        chain_id: crate::world::chain_id(),
        sender: key.account_key(),
        nonce: Nonce(nonce),
        fee: coins("0.00005"),
        expiry: Height(1_000),
        action,
    };
    transaction.sign(&key).verify().unwrap()
}

#[test]
fn a_block_never_has_more_events_than_can_be_stored() {
    let mut world = World::new(&["A"], &[]);
    for first in (0..ORDERS).step_by(usize::try_from(PER_BLOCK).unwrap()) {
        let post = |nonce| {
            signed(
                nonce,
                Action::PostOrder(Boxed::new(PostOrder { header: header() })),
            )
        };
        let txs: Vec<VerifiedTx> = (first..first + PER_BLOCK).map(post).collect();
        world.block(10, &txs);
        assert!(world.last.outcomes.iter().all(|outcome| outcome.is_done()));
    }
    let sender = key_of("A").address();
    let cancel = |number: u64| {
        let order = OrderId::of(&crate::world::chain_id(), sender, Nonce(number));
        signed(ORDERS + number, Action::CancelOrder(CancelOrder { order }))
    };
    let txs: Vec<VerifiedTx> = (0..ORDERS).map(cancel).collect();
    world.block(10, &txs);
    assert!(world.last.events.len() <= BLOCK_EVENTS_MAX);
    let refused: Vec<_> = world
        .last
        .outcomes
        .iter()
        .filter(|outcome| !outcome.is_done())
        .collect();
    assert!(!refused.is_empty(), "the block was not full");
    assert!(
        refused
            .iter()
            .all(|outcome| refusal::name(outcome.code) == "block_full")
    );
}

#[test]
fn a_block_checks_a_few_reports_of_double_votes() {
    let mut world = World::new(&["A"], &[]);
    let forged = |block: &[u8]| {
        let key = VoteSecretKey::from_seed([8; 32]).unwrap();
        let for_block = (6, Digest::of_blob(block));
        let genesis = Digest::ZERO;
        CastVote::cast((&genesis, &key), (0, 7), VoteKind::Notarize, for_block)
    };
    let evidence = DoubleVote {
        validator: world.context().proposer,
        epoch: 0,
        view: 7,
        first: forged(b"a"),
        second: forged(b"b"),
    };
    let report = Boxed::new(ReportDoubleVote { evidence });
    let reports: Vec<_> = (0..=4)
        .map(|nonce| signed(nonce, Action::ReportDoubleVote(report.clone())))
        .collect();
    world.block(10, &reports);
    let codes: Vec<_> = world.last.outcomes.iter().map(|done| done.code).collect();
    let names: Vec<_> = codes.into_iter().map(refusal::name).collect();
    assert_eq!(&names[..4], ["not_its_votes"; REPORTS_CHECKED_MAX]);
    assert_eq!(names[4], "too_many_reports");
    // The next block checks again.
    let report = signed(5, Action::ReportDoubleVote(report));
    world.block(10, &[report]);
    let code = world.last.outcomes[0].code;
    assert_eq!(refusal::name(code), "not_its_votes");
}

#[test]
fn a_block_checks_a_few_registrations_of_candidates() {
    let mut world = World::new(&["A"], &[]);
    // Signed for another account.
    let register = Boxed::new(RegisterCandidate::sign(
        (world.genesis.digest(), key_of("B").address()),
        (&key_of("A"), &VoteSecretKey::from_seed([8; 32]).unwrap()),
        (Bps::ZERO, coins("1000"), ([127, 0, 0, 1], 9_000).into()),
    ));
    let registrations: Vec<_> = (0..=4)
        .map(|nonce| signed(nonce, Action::RegisterCandidate(register.clone())))
        .collect();
    world.block(10, &registrations);
    let codes: Vec<_> = world.last.outcomes.iter().map(|done| done.code).collect();
    let names: Vec<_> = codes.into_iter().map(refusal::name).collect();
    assert_eq!(&names[..4], ["keys_not_proven"; REGISTRATIONS_CHECKED_MAX]);
    assert_eq!(names[4], "too_many_registrations");
}

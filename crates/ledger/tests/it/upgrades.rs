//! Changes of rules by plan: old records become new ones, once, whichever way a replica comes to the block; and whatever is wrong stops it before that block, with the state as it
//! was.

use crate::{
    random_candidates, random_walk, script,
    world::{
        World, beacon_of, coins, key_of,
        plans::{each, levy, plan},
    },
};
use commonware_codec::Encode as _;
use fairweir_ledger::{
    BlockContext, BlockError, BlockOutcome, Fault, MemoryState, Totals, apply_block, audit,
    bank::{self, Account},
    build_block, candidates,
    export::{export, import},
    genesis_writes, governance, invariants, stake,
    upgrades::{self, Migrating, MigrationError, Plans},
};
use fairweir_types::{
    Action, Address, Amount, BoundedText, BoundedVec, Boxed, Digest, Event, Height, TxCode,
    VerifiedTx, decode,
    governance::{Message, Upgrade},
    invariant::Invariant,
    limits::{MIGRATION_STEPS_MAX, UPGRADES_MAX},
    tx,
};
use proptest::prelude::*;

const STAKE: u8 = 0x02;
const DELEGATION: u8 = 0x15;
const UPGRADES: u8 = 0x28;

/// What the worlds of these tests know.
const KNOWN: Plans = Plans::new(&[
    plan("levy", "# levy\n\nA coin of every account.\n", Some(levy)),
    plan("second", "# second\n", None),
    plan(
        "counted",
        "# counted\n\nStakes say what is delegated.\n",
        None,
    ),
    plan("mints", "# mints\n", Some(mint)),
    plan("refuses", "# refuses\n", Some(refuse)),
    plan("endless", "# endless\n", Some(run_on)),
    plan("elsewhere", "# elsewhere\n", Some(write_elsewhere)),
    plan("unreadable", "# unreadable\n", Some(spoil)),
]);

/// The same program, but for what `counted` migrates: stakes of before did not say what is delegated.
const COUNTING: Plans = Plans::new(&[plan(
    "counted",
    "# counted\n\nStakes say what is delegated.\n",
    Some(count),
)]);

/// Another release of what fails in these.
const MENDED: Plans = Plans::new(&[
    plan("mints", "# mints\n", Some(levy)),
    plan("refuses", "# refuses\n", Some(levy)),
    plan("endless", "# endless\n", Some(levy)),
    plan("elsewhere", "# elsewhere\n", Some(levy)),
    plan("unreadable", "# unreadable\n", Some(levy)),
]);

/// Every stake gets what its account has delegated, behind what it said before.
fn count(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    each(state, STAKE, |state, key, record| {
        let owner = [&[DELEGATION], &key[1..]].concat();
        let (mut delegated, mut after) = (Amount::ZERO, owner.clone());
        while let Some((key, record)) = state.next_of(&owner, &after)? {
            let found: candidates::Delegation = decode(&record).unwrap();
            delegated = delegated.checked_add(found.shares).unwrap();
            after = key;
        }
        let whole = [record, delegated.encode().to_vec()].concat();
        state.put(key, whole)
    })
}

fn mint(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    let rich = Account {
        balance: coins("5"),
        ..Account::default()
    };
    state.put(&bank::key(Address([9; 20])), rich.encode().to_vec())
}

fn refuse(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    levy(state)?;
    Err(MigrationError::Refused(
        "there is something that must not be",
    ))
}

fn run_on(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    loop {
        mint(state)?;
    }
}

fn write_elsewhere(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    state.delete(&[UPGRADES])
}

fn spoil(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    state.put(&bank::key(Address([9; 20])), vec![1])
}

/// What the state says of rules, as a vote would have it.
fn decide(state: &mut MemoryState, planned: Upgrade, begun: &[Upgrade]) {
    let begun = BoundedVec::<Upgrade, UPGRADES_MAX>::truncating(begun.iter().copied());
    let record = [Some(planned).encode().to_vec(), begun.encode().to_vec()].concat();
    state.insert(vec![UPGRADES], record);
}

fn upgrade(name: &str, height: u64) -> Upgrade {
    Upgrade {
        height: Height(height),
        plan: KNOWN.named(name).unwrap().digest(),
    }
}

/// The next block's context.
fn next(world: &World, plans: Plans) -> BlockContext {
    let mut context = world.context();
    context.height = Height(world.height + 1);
    context.beacon = beacon_of(world.height + 1);
    context.time.0 += 10;
    context.plans = plans;
    context
}

fn apply(world: &World, state: &MemoryState, plans: Plans) -> Result<BlockOutcome, BlockError> {
    apply_block(state, &next(world, plans), &world.referee, &[])
}

fn began(events: &[Event]) -> Option<u64> {
    events.iter().find_map(|event| match event {
        Event::UpgradeBegan(began) => Some(began.records),
        _ => None,
    })
}

/// A state with records of nearly every kind: an order that is executed, a session, a candidate, delegations, a grant, a vote.
const BUSY: &str = "param proposal_deposit 10000000000\n\
    accounts A B S W V1 V2\nA: bond 500\nW: bond 100\nW: offer\nV1: bond 100\nV1: enrol\nV2: bond 100\nV2: enrol\n\
    S: candidate amount=1000\nB: delegate S 100\nB: undelegate S 10\nA: grant B\n\
    A: propose p1 set-param fee_base 2000\nA: vote p1 yes\nA: order o1 execution=60000\nblocks 2\nexpect phase o1 executing";

fn busy() -> World {
    let mut world = script::run("busy", BUSY).unwrap();
    world.plans = KNOWN;
    world
}

/// The levy begins with the next block: on the world, on a copy of its state from before, and as a proposer makes it; and goes on the same from a copy of after.
fn levies_once(mut world: World, names: &[&str]) {
    world.plans = KNOWN;
    let height = world.height + 1;
    decide(&mut world.state, upgrade("levy", height), &[]);
    let before = world.state.clone();
    let copied = import(&export(&before, Height(world.height)).unwrap()).unwrap();
    let built = build_block(&before, &next(&world, KNOWN), &world.referee, &[]).unwrap();
    let balances: Vec<Amount> = names.iter().map(|name| world.balance(name)).collect();
    world.block(10, &[]);
    assert_eq!(built.outcome, world.last);
    let made = world.blocks.last().unwrap();
    let mut replayed = copied.state;
    let outcome = apply_block(&replayed, &made.context, &world.referee, &made.txs).unwrap();
    assert_eq!(outcome, world.last);
    replayed.apply(&outcome.writes);
    assert_eq!(replayed, world.state);
    let payers = balances.iter().filter(|balance| **balance >= coins("1"));
    assert!(began(&world.last.events).unwrap() > payers.count().try_into().unwrap());
    for (name, before) in names.iter().zip(balances) {
        let left = before.checked_sub(coins("1")).unwrap_or(before);
        assert_eq!(world.balance(name), left, "{name}");
    }
    let plan = KNOWN.named("levy").unwrap().digest();
    assert!(upgrades::has_begun(&world.state, &plan).unwrap());
    let report = governance::report(&world.state, KNOWN).unwrap().rules;
    assert_eq!(report.newest, Some(upgrade("levy", height)));
    assert_eq!((report.planned, report.begun), (None, 1));
    // From a copy of after it goes on, and nothing begins again.
    let copied = import(&export(&world.state, Height(world.height)).unwrap()).unwrap();
    let mut copy = copied.state;
    for _ in 0..6 {
        let mut txs: Vec<VerifiedTx> = Vec::new();
        for name in names.iter().filter(|name| world.balance(name) > coins("2")) {
            let transfer = tx::Transfer {
                to: Address([1; 20]),
                amount: coins("1"),
            };
            let key = key_of(name);
            let transaction = world.transaction(&key, Action::Transfer(transfer));
            txs.push(transaction.sign(&key).verify().unwrap());
        }
        world.block(5_000, &txs);
        let made = world.blocks.last().unwrap();
        let outcome = apply_block(&copy, &made.context, &world.referee, &made.txs).unwrap();
        assert_eq!(outcome, world.last);
        assert_eq!(began(&outcome.events), None);
        copy.apply(&outcome.writes);
    }
    assert_eq!(copy, world.state);
}

/// What an older program would have stored: stakes without what is delegated.
fn in_the_old_form(state: &MemoryState) -> MemoryState {
    let mut old = MemoryState::default();
    for (key, record) in state.iter() {
        let kept = if key[0] == STAKE {
            record.len() - 8
        } else {
            record.len()
        };
        old.insert(key.to_vec(), record[..kept].to_vec());
    }
    old
}

/// Records of an old form become those of now, and the ledger's reading of itself begins anew and finds nothing.
fn old_records_become_new(mut world: World) -> usize {
    world.plans = KNOWN;
    let height = world.height + 1;
    decide(&mut world.state, upgrade("counted", height), &[]);
    let mut old = in_the_old_form(&world.state);
    let stakes = old.iter().filter(|(key, _)| key[0] == STAKE).count();
    let outcome = apply(&world, &old, COUNTING).unwrap();
    assert_eq!(began(&outcome.events), Some(stakes.try_into().unwrap()));
    let totals = {
        // Sums of before are of records that read otherwise.
        let mut totals = Totals::of(&world.state).unwrap();
        totals.follow(&old, &outcome.writes).unwrap();
        totals
    };
    old.apply(&outcome.writes);
    world.block(10, &[]);
    assert_eq!(old, world.state);
    invariants::check(&old).unwrap();
    assert_eq!(totals, Totals::of(&old).unwrap());
    let readings = audit::report(&old).unwrap().readings;
    while audit::report(&world.state).unwrap().readings < readings + 2 {
        let outcome = apply(&world, &old, COUNTING).unwrap();
        old.apply(&outcome.writes);
        world.block(10, &[]);
    }
    assert_eq!(old, world.state);
    assert_eq!(audit::report(&old).unwrap().halt, None);
    stakes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_state_is_migrated_once(steps in proptest::collection::vec(random_walk::step(), 1..40)) {
        levies_once(random_walk::walk(&steps), &random_walk::NAMES);
        old_records_become_new(random_walk::walk(&steps));
    }

    #[test]
    fn so_is_any_with_candidates_and_votings(steps in proptest::collection::vec(random_candidates::step(), 1..60)) {
        levies_once(random_candidates::walk(&steps), &random_candidates::NAMES);
        old_records_become_new(random_candidates::walk(&steps));
    }
}

#[test]
fn a_busy_state_is_migrated_once() {
    levies_once(busy(), &["A", "B", "S", "W", "V1", "V2"]);
    assert!(old_records_become_new(busy()) >= 5);
}

/// A replica that executes all blocks from the genesis comes to the same state: by its votes, through the block of the upgrade.
#[test]
fn a_replay_from_the_genesis_makes_the_same_state() {
    let text = include_str!("scripts/upgrades_by_plan.script");
    let world = script::run("replay", text).unwrap();
    let mut state = MemoryState::default();
    state.apply(&genesis_writes(&world.genesis).unwrap());
    let mut begun = 0;
    for made in &world.blocks {
        let outcome = apply_block(&state, &made.context, &world.referee, &made.txs).unwrap();
        assert_eq!(outcome.events, made.events);
        begun += usize::from(began(&outcome.events).is_some());
        state.apply(&outcome.writes);
    }
    assert_eq!((begun, state), (1, world.state));
}

/// What goes wrong is said before any block is made, and then instead of the block; nothing of it stays.
#[test]
fn a_migration_that_fails_leaves_the_state_as_it_was() {
    let broken = |invariant| MigrationError::Broken { invariant };
    let cases = [
        (
            "refuses",
            MigrationError::Refused("there is something that must not be"),
        ),
        ("endless", MigrationError::TooLong),
        ("elsewhere", MigrationError::NoRecord),
        ("mints", broken(Invariant::Supply)),
        ("unreadable", broken(Invariant::Records)),
    ];
    for (name, expected) in cases {
        let mut world = busy();
        let height = world.height + 1;
        decide(&mut world.state, upgrade(name, height), &[]);
        let before = world.state.clone();
        assert!(upgrades::check(&before, KNOWN, Height(height - 1)).is_ok());
        let is_expected = |fault: &Fault| {
            let Fault::Migration {
                name: of, source, ..
            } = fault
            else {
                panic!("{fault:?}");
            };
            assert_eq!((*of, *source), (name, expected));
        };
        is_expected(&upgrades::check(&before, KNOWN, Height(height)).unwrap_err());
        for _ in 0..2 {
            match apply(&world, &before, KNOWN).unwrap_err() {
                BlockError::Fault(fault) => is_expected(&fault),
                other => panic!("{other:?}"),
            }
            let built = build_block(&before, &next(&world, KNOWN), &world.referee, &[]);
            assert!(matches!(
                built,
                Err(BlockError::Fault(Fault::Migration { .. }))
            ));
        }
        assert_eq!(before, world.state);
        // Another release of the same plan goes on from there.
        let outcome = apply(&world, &before, MENDED).unwrap();
        assert!(began(&outcome.events).is_some());
    }
    const {
        assert!(
            MIGRATION_STEPS_MAX < 1 << 20,
            "the endless one ends in a moment"
        )
    };
}

/// An invariant that did not hold before is no fault of the migration: it stays as it was known, and the next reading halts withdrawals for it.
#[test]
fn what_was_wrong_before_does_not_hold_an_upgrade_up() {
    let mut world = busy();
    let who = key_of("B").address();
    let mut account = bank::account(&world.state, who).unwrap();
    account.balance = account.balance.checked_add(coins("5")).unwrap();
    world
        .state
        .insert(bank::key(who), account.encode().to_vec());
    world.is_tampered = true;
    let height = world.height + 1;
    decide(&mut world.state, upgrade("levy", height), &[]);
    world.block(10, &[]);
    assert!(began(&world.last.events).is_some());
    for _ in 0..3 {
        world.block(10, &[]);
    }
    let halt = audit::report(&world.state).unwrap().halt;
    assert_eq!(halt.map(|halt| halt.invariant), Some(Invariant::Supply));
}

/// Who copied a state, or was away for long, meets rules that began before: without their plan it goes on no further, whatever else is planned.
#[test]
fn rules_that_began_and_are_not_known_stop_a_program_too() {
    let mut world = busy();
    let unknown = Upgrade {
        height: Height(3),
        plan: Digest::of_blob(b"# of another release\n"),
    };
    let far = upgrade("levy", world.height + 100);
    decide(&mut world.state, far, &[upgrade("second", 2), unknown]);
    let fault = upgrades::check(&world.state, KNOWN, Height(world.height + 1)).unwrap_err();
    assert!(
        matches!(fault, Fault::UnknownUpgrade { height, plan } if (height, plan) == (unknown.height, unknown.plan))
    );
    assert!(apply(&world, &world.state, KNOWN).is_err());
    decide(&mut world.state, far, &[upgrade("second", 2)]);
    assert!(apply(&world, &world.state, KNOWN).is_ok());
}

/// One after the other; and a state that says twice what may be once is no state that anything runs on.
#[test]
fn two_upgrades_begin_one_after_the_other_and_none_twice() {
    let mut world = busy();
    let height = world.height + 1;
    decide(&mut world.state, upgrade("levy", height), &[]);
    world.block(10, &[]);
    decide(
        &mut world.state,
        upgrade("second", height + 2),
        &[upgrade("levy", height)],
    );
    world.block(10, &[]);
    assert_eq!(began(&world.last.events), None);
    world.block(10, &[]);
    assert_eq!(began(&world.last.events), Some(0));
    let report = upgrades::report(&world.state, KNOWN).unwrap();
    assert_eq!(
        (report.begun, report.newest),
        (2, Some(upgrade("second", height + 2)))
    );
    decide(
        &mut world.state,
        upgrade("levy", height + 3),
        &[upgrade("levy", height)],
    );
    let fault = upgrades::check(&world.state, KNOWN, Height(height + 3)).unwrap_err();
    let Fault::Migration { source, .. } = fault else {
        panic!("{fault:?}");
    };
    assert_eq!(source, MigrationError::Refused("it has run already"));
}

/// The list of what has begun has an end, and a vote beyond it is refused.
#[test]
fn there_are_so_many_upgrades_and_no_more() {
    let mut world = busy();
    let others = (1..UPGRADES_MAX).map(|number| Upgrade {
        height: Height(1),
        plan: Digest::of_blob(&number.to_be_bytes()),
    });
    let full: Vec<Upgrade> = others.chain([upgrade("second", 2)]).collect();
    let proposal = |world: &World| {
        Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title: BoundedText::truncating("one more"),
            message: Message::Upgrade(upgrade("levy", world.height + 50)),
            expedited: false,
            deposit: Amount::MAX,
        }))
    };
    for (begun, code) in [(&full[1..], TxCode::OK), (&full[..], TxCode(947))] {
        let far = upgrade("levy", world.height + 100);
        decide(&mut world.state, far, begun);
        let begun = upgrades::report(&world.state, KNOWN).unwrap().begun;
        assert_eq!(usize::from(begun) == UPGRADES_MAX, code != TxCode::OK);
        let action = proposal(&world);
        assert_eq!(world.act(&key_of("A"), action).code, code);
    }
}

/// What `count` is for: this program does not read the stakes of before.
#[test]
fn the_old_form_is_one_that_this_program_does_not_read() {
    let world = busy();
    let old = in_the_old_form(&world.state);
    let who = key_of("A").address();
    assert!(stake::stake(&world.state, who).is_ok());
    assert!(matches!(stake::stake(&old, who), Err(Fault::Record { .. })));
}

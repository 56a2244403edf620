//! What the ledger finds of itself: each invariant that is broken behind its back is named, on a state that takes many blocks to read as on a small one; and nothing
//! is found where nothing is broken, whatever is written while it reads.

use crate::{
    script::{
        audit::{halted, key as record_key},
        run,
    },
    world::{World, coins, key_of},
};
use commonware_codec::Encode;
use fairweir_ledger::{
    Writes, audit, bank, candidates, delegates, governance, market, registry, stake,
};
use fairweir_types::{
    Action, Address, Amount, Event, TxCode, decode, governance::ProposalPhase,
    invariant::Invariant, limits::AUDIT_RECORDS_MAX, tx,
};
use proptest::prelude::*;

const BUSY: &str = "param proposal_deposit 10000000000\n\
    accounts A B S W V1 V2\nA: bond 500\nW: bond 100\nW: offer\nV1: bond 100\nV1: enrol\nV2: bond 100\nV2: enrol\n\
    S: candidate amount=1000\nB: delegate S 100\nB: undelegate S 10\nA: grant B\n\
    A: propose p1 set-param fee_base 2000\nA: vote p1 yes\nA: order o1 execution=60000\nblocks 2\nexpect phase o1 executing\nexpect halted nothing";

/// Edits the first record with this tag.
fn edit<T>(world: &mut World, tag: u8, change: impl Fn(&mut T))
where
    T: Encode + commonware_codec::Read<Cfg = ()>,
{
    let found = world.state.iter().find(|(key, _)| key[0] == tag).unwrap();
    let (key, mut record) = (found.0.to_vec(), decode::<T>(found.1).unwrap());
    change(&mut record);
    world.state.insert(key, record.encode().to_vec());
    world.is_tampered = true;
}

/// Removes the first record with this tag.
fn remove(world: &mut World, tag: u8) {
    let found = world.state.iter().find(|(key, _)| key[0] == tag).unwrap();
    let writes = Writes::from([(found.0.to_vec(), None)]);
    world.state.apply(&writes);
    world.is_tampered = true;
}

fn more(amount: &mut Amount) {
    *amount = amount.checked_add(coins("1")).unwrap();
}

fn less(amount: &mut Amount) {
    *amount = amount.checked_sub(coins("0.000000001")).unwrap();
}

/// An edit, and what it breaks.
type Break = (Invariant, fn(&mut World));

#[test]
fn each_invariant_that_is_broken_is_named() {
    let breaks: [Break; 22] = [
        (Invariant::Supply, |world| {
            edit::<bank::Account>(world, 0x01, |account| more(&mut account.balance));
        }),
        (Invariant::Supply, |world| {
            edit::<bank::Supply>(world, 0x0a, |supply| more(&mut supply.burned));
        }),
        (Invariant::Supply, |world| {
            edit::<registry::VerifierRecord>(world, 0x05, |verifier| more(&mut verifier.deposit));
        }),
        (Invariant::Records, |world| {
            // A record of no length, of which nothing is lost: that of a vote key's candidate would be read by nobody else.
            let key = record_key(0x13, key_of("nobody").address());
            world.state.insert(key, vec![1]);
            world.is_tampered = true;
        }),
        (Invariant::Exposure, |world| {
            edit::<stake::Stake>(world, 0x02, |stake| more(&mut stake.exposure));
        }),
        (Invariant::Exposure, |world| {
            edit::<registry::OfferRecord>(world, 0x04, |offer| more(&mut offer.exposure));
        }),
        (Invariant::Exposure, |world| {
            edit::<registry::OfferRecord>(world, 0x04, |offer| offer.open += 1);
        }),
        (Invariant::Timers, |world| remove(world, 0x09)),
        (Invariant::Counters, |world| {
            edit::<registry::Counters>(world, 0x0d, |counters| counters.offers += 1);
        }),
        (Invariant::Counters, |world| {
            edit::<registry::Counters>(world, 0x0d, |counters| counters.verifiers -= 1);
        }),
        (Invariant::Counters, |world| {
            edit::<registry::Counters>(world, 0x0d, |counters| counters.open_orders += 1);
        }),
        (Invariant::Counters, |world| {
            edit::<stake::Stake>(world, 0x02, |stake| stake.roles += 1);
        }),
        (Invariant::Governance, |world| {
            edit::<governance::Governance>(world, 0x20, |numbers| more(&mut numbers.bonded));
        }),
        (Invariant::Governance, |world| {
            edit::<governance::Governance>(world, 0x20, |numbers| numbers.waiting += 1);
        }),
        (Invariant::Governance, |world| {
            edit::<governance::Proposal>(world, 0x21, |proposal| {
                proposal.phase = ProposalPhase::Deposit;
            });
        }),
        (Invariant::Governance, |world| remove(world, 0x22)),
        (Invariant::Delegations, |world| {
            edit::<candidates::Candidate>(world, 0x12, |candidate| less(&mut candidate.leaving));
        }),
        (Invariant::Delegations, |world| {
            edit::<candidates::Candidate>(world, 0x12, |candidate| more(&mut candidate.backing));
        }),
        (Invariant::Delegations, |world| {
            edit::<candidates::Delegation>(world, 0x15, |known| more(&mut known.moved));
        }),
        (Invariant::Secured, |world| {
            edit::<Amount>(world, 0x19, more);
        }),
        (Invariant::Escrow, |world| {
            edit::<market::Order>(world, 0x06, |order| more(&mut order.slot_budget));
        }),
        (Invariant::Grants, |world| {
            edit::<delegates::Grant>(world, 0x11, |grant| {
                grant.left = grant.cap;
                more(&mut grant.left);
            });
        }),
    ];
    for (number, (invariant, plant)) in breaks.into_iter().enumerate() {
        let mut world = run("busy", BUSY).unwrap();
        plant(&mut world);
        assert!(fairweir_ledger::invariants::holds(&world.state, invariant).is_err());
        world.block(10, &[]);
        let found = halted(&world).map(|halt| halt.invariant);
        assert_eq!(found, Some(invariant), "break {number}");
        let is_told = |event: &Event| matches!(event, Event::WithdrawalsHalted(halted) if halted.invariant == invariant);
        assert!(world.last.events.iter().any(is_told));
    }
}

/// More accounts than a block reads, most of whom do nothing.
fn crowd(accounts: usize) -> (World, Vec<String>) {
    let names: Vec<String> = (0..accounts).map(|number| format!("a{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    (World::new(&all, &[]), names)
}

fn transfer(world: &mut World, from: &str, to: Address, amount: &str) -> TxCode {
    let key = world.keys[from].clone();
    let amount = coins(amount);
    let outcome = world.act(&key, Action::Transfer(tx::Transfer { to, amount }));
    outcome.code
}

#[test]
fn a_large_state_is_read_over_many_blocks() {
    const ACCOUNTS: usize = 3 * AUDIT_RECORDS_MAX;
    let (mut world, names) = crowd(ACCOUNTS);
    let readings = |world: &World| audit::report(&world.state).unwrap().readings;
    // Three blocks for the accounts, and one for the few records behind them.
    for block in 1..=12u64 {
        assert_eq!(
            transfer(&mut world, &names[0], Address([0; 20]), "1"),
            TxCode::OK
        );
        assert_eq!(readings(&world), block / 4);
    }
    // What is wrong is found in this reading or the next, whether it was read before or not.
    for who in [&names[1], &names[ACCOUNTS - 1]] {
        let (mut world, _) = crowd(ACCOUNTS);
        world.block(10, &[]);
        world.block(10, &[]);
        let mut account = bank::account(&world.state, world.keys[who].address()).unwrap();
        more(&mut account.balance);
        let key = record_key(0x01, world.keys[who].address());
        world.state.insert(key, account.encode().to_vec());
        world.is_tampered = true;
        for _ in 0..6 {
            world.block(10, &[]);
        }
        assert_eq!(halted(&world).unwrap().invariant, Invariant::Supply);
        let before = world.balance(who);
        assert_eq!(transfer(&mut world, who, Address([0; 20]), "1").0, 924);
        assert_eq!(
            world.balance(who),
            before.checked_sub(coins(crate::world::FEE)).unwrap()
        );
        // It halts once.
        let told = |event: &&Event| matches!(event, Event::WithdrawalsHalted(_));
        for _ in 0..8 {
            world.block(10, &[]);
        }
        assert_eq!(world.history().filter(told).count(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// `World::block` checks that nothing is found; the readings here are several blocks long, and the writes fall before and behind where they are.
    #[test]
    fn nothing_is_found_where_nothing_is_wrong(
        steps in proptest::collection::vec((0usize..600, 0usize..600, 0u8..4, 1u64..9_000), 1..30)
    ) {
        let (mut world, names) = crowd(600);
        for (from, to, verb, coins) in steps {
            let key = key_of(&names[from]);
            let amount = Amount::from_coins(coins).unwrap();
            let to = key_of(&names[to]).address();
            let action = match verb {
                0 => Action::Bond(tx::Bond { amount }),
                1 => Action::Unbond(tx::Unbond { amount }),
                _ => Action::Transfer(tx::Transfer { to, amount }),
            };
            world.act(&key, action);
        }
        prop_assert!(halted(&world).is_none());
    }
}

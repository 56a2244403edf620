//! What several transactions of one block lock together. That no block locks more than it may, `World::block` checks everywhere.

use crate::{
    full_block::header,
    script::run,
    steps::{self, Step},
    world::{World, chain_id, coins},
};
use fairweir_ledger::secured;
use fairweir_types::{
    Action, Amount, Boxed, Millis, Nonce, TxCode, VerifiedTx,
    order::{KindId, OrderId},
    tx,
};
use proptest::prelude::*;

fn top_up(world: &World, who: &str, order: &str, amount: &str) -> VerifiedTx {
    let key = &world.keys[who];
    let action = Action::TopUp(tx::TopUp {
        order: world.orders[order],
        amount: coins(amount),
    });
    world.transaction(key, action).sign(key).verify().unwrap()
}

fn cancel(world: &World, who: &str, order: &str) -> VerifiedTx {
    let key = &world.keys[who];
    let action = Action::CancelOrder(tx::CancelOrder {
        order: world.orders[order],
    });
    world.transaction(key, action).sign(key).verify().unwrap()
}

fn room(world: &World) -> Amount {
    let report = secured::report(&world.state).unwrap();
    report.room().unwrap()
}

fn codes(world: &World) -> Vec<u16> {
    let outcomes = world.last.outcomes.iter();
    outcomes.map(|outcome| outcome.code.0).collect()
}

#[test]
fn a_block_takes_in_no_more_than_there_is_room_for() {
    const REFUSED: u16 = TxCode::ABOVE_SECURED.0;
    let script = "param epoch_blocks 10\nparam seats_min 1\nparam candidate_stake_min 100000000000\nparam seats_stake_min 200000000000\n\
        accounts A B C S\nS: candidate amount=240\nS: stand\nblocks 8\nexpect third 240\nA: order o1 match=80000000\nB: order o2 match=80000000\nB: topup o2 57";
    let mut world = run("secured", script).unwrap();
    let before = room(&world);
    assert!(before > coins("19") && before < coins("20"));
    // Each has room alone; the second has none behind the first, a third that is smaller has.
    let txs = [
        top_up(&world, "A", "o1", "12"),
        top_up(&world, "B", "o2", "12"),
        top_up(&world, "C", "o2", "7"),
    ];
    world.block(10, &txs);
    assert_eq!(codes(&world), [0, REFUSED, 0]);
    assert_eq!(room(&world), before.checked_sub(coins("19")).unwrap());
    // What is given back makes room at once.
    let txs = [cancel(&world, "B", "o2"), top_up(&world, "A", "o1", "12")];
    world.block(10, &txs);
    assert_eq!(codes(&world), [0, 0]);
    assert!(room(&world) > coins("54") && room(&world) < coins("66"));
    let txs = [top_up(&world, "A", "o1", "66")];
    world.block(10, &txs);
    assert_eq!(codes(&world), [REFUSED]);
}

#[test]
fn who_locks_and_gives_back_over_and_over_in_a_block_keeps_nobody_out() {
    let script = "param epoch_blocks 10\nparam seats_min 1\nparam candidate_stake_min 100000000000\nparam seats_stake_min 200000000000\n\
        accounts A B C S\nS: candidate amount=240\nS: stand\nblocks 8\nexpect third 240\nB: order o2 match=80000000";
    let mut world = run("secured", script).unwrap();
    let key = world.keys["A"].clone();
    let mut nonce = Nonce::default();
    let mut txs = Vec::new();
    let mut send = |action: Action| {
        let mut transaction = world.transaction(&key, action);
        transaction.nonce = nonce;
        nonce = nonce.next().unwrap();
        txs.push(transaction.sign(&key).verify().unwrap());
        OrderId::of(
            &chain_id(),
            key.address(),
            txs[txs.len() - 1].transaction().nonce,
        )
    };
    // Half of the room, ten times.
    for _ in 0..10 {
        let mut header = header();
        header.kind = KindId(2);
        header.match_within = Millis(80_000_000);
        let order = send(Action::PostOrder(Boxed::new(tx::PostOrder { header })));
        let amount = coins("40");
        send(Action::TopUp(tx::TopUp { order, amount }));
        send(Action::CancelOrder(tx::CancelOrder { order }));
    }
    txs.push(top_up(&world, "B", "o2", "57"));
    world.block(10, &txs);
    assert!(codes(&world).iter().all(|code| *code == 0));
}

const NAMES: [&str; 4] = ["A", "B", "C", "D"];

fn blocks() -> impl Strategy<Value = Vec<Vec<Step>>> {
    // From a fraction of the room to more than all of it.
    let amount = prop_oneof![1u64..1_000, 1u64..60_000_000_000, 1u64..300_000_000_000];
    steps::blocks(NAMES.len(), 12, amount)
}

fn action(world: &World, orders: &[OrderId], step: &Step) -> Option<Action> {
    let amount = Amount::from_base_units(step.amount).unwrap();
    let known = || Some(orders[step.which.checked_rem(orders.len())?]);
    let candidate = world.keys["S"].address();
    Some(match step.verb {
        0..=2 => {
            let mut header = header();
            // A kind that nobody offers.
            header.kind = KindId(2);
            header.match_within = Millis(80_000_000);
            header.slots = 1 + u16::try_from(step.which % 3).unwrap();
            Action::PostOrder(Boxed::new(tx::PostOrder { header }))
        }
        3..=6 => Action::TopUp(tx::TopUp {
            order: known()?,
            amount,
        }),
        7..=8 => Action::CancelOrder(tx::CancelOrder { order: known()? }),
        9 => Action::DelegateStake(tx::DelegateStake { candidate, amount }),
        10 => Action::UndelegateStake(tx::UndelegateStake {
            candidate,
            shares: amount,
        }),
        _ => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_block_locks_more_than_it_may_whatever_is_in_it(blocks in blocks()) {
        let script = "param epoch_blocks 10\nparam seats_min 1\nparam candidate_stake_min 100000000000\nparam seats_stake_min 200000000000\n\
            accounts A B C D S\nS: candidate amount=120\nA: delegate S 80\nB: delegate S 40\nS: stand\nblocks 7";
        let mut world = run("secured", script).unwrap();
        let mut orders = Vec::new();
        for block in blocks {
            let mut txs = Vec::new();
            for (name, step) in NAMES.iter().zip(&block) {
                let key = world.keys[*name].clone();
                let Some(action) = action(&world, &orders, step) else {
                    continue;
                };
                let transaction = world.transaction(&key, action);
                if matches!(transaction.action, Action::PostOrder(_)) {
                    orders.push(OrderId::of(&chain_id(), key.address(), transaction.nonce));
                }
                txs.push(transaction.sign(&key).verify().unwrap());
            }
            world.block(10, &txs);
        }
    }
}

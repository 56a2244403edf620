//! What several transactions of one block lock together.

use crate::{
    script::run,
    world::{World, coins},
};
use fairweir_ledger::secured;
use fairweir_types::{Action, Amount, TxCode, VerifiedTx, tx};

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
fn a_block_takes_in_no_more_than_there_was_room_for_at_its_beginning() {
    const REFUSED: u16 = TxCode::ABOVE_SECURED.0;
    let script = "param epoch_blocks 10\nparam seats 10\nparam candidate_stake_min 100000000000\nparam seats_stake_min 500000000000\n\
        accounts A B C S\nS: candidate amount=600\nblocks 9\nexpect third 240\nA: order o1 match=80000000\nB: order o2 match=80000000\nB: topup o2 57";
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
    // What is given back in a block makes room from the next one on.
    let txs = [cancel(&world, "B", "o2"), top_up(&world, "A", "o1", "12")];
    world.block(10, &txs);
    assert_eq!(codes(&world), [0, REFUSED]);
    assert!(room(&world) > coins("66"));
    let txs = [top_up(&world, "A", "o1", "66")];
    world.block(10, &txs);
    assert_eq!(codes(&world), [0]);
}

//! Many unmatched orders hold up neither others' windows nor each other's refunds for ever.

use crate::{
    full_block::{header, signed},
    world::{World, coins, key_of},
};
use fairweir_ledger::market::Phase;
use fairweir_types::{
    Action, Address, BoundedBytes, Boxed, ByteCount, Digest, Event, Millis, Units, VerifiedTx,
    catalogue::Versions,
    limits::{MATCH_RETRIES_PER_BLOCK_MAX, SLOTS_SWEPT_MAX},
    order::{Demand, KindId, Offer, OrderId, PriceVector, Privacy, UnitVector},
    tx::{Bond, PostOrder, RegisterOffer},
};

/// Orders of sixteen slots of a kind that nobody offers.
const ORDERS: u64 = 64;

fn crowd(first_nonce: u64) -> Vec<VerifiedTx> {
    let mut header = header();
    header.kind = KindId(2);
    header.match_within = Millis(30_000);
    (first_nonce..first_nonce + ORDERS)
        .map(|nonce| {
            signed(
                nonce,
                Action::PostOrder(Boxed::new(PostOrder {
                    header: header.clone(),
                })),
            )
        })
        .collect()
}

pub(crate) fn offer(owner: Address) -> Offer {
    Offer {
        kind: KindId(1),
        versions: Versions::only(1),
        digest: Digest::ZERO,
        prices: PriceVector::default(),
        capacity: 16,
        collateral: coins("100"),
        demand_max: Demand {
            units: UnitVector {
                input: Units(1),
                ..UnitVector::default()
            },
            bytes_in: ByteCount(4),
            execution_max: Millis(10_000),
            ..Demand::default()
        },
        level: 0,
        capabilities: fairweir_types::BoundedVec::default(),
        region: None,
        privacy_max: Privacy::Public,
        owner,
        endpoint: BoundedBytes::new(vec![1]).unwrap(),
    }
}

fn replaced(world: &World) -> bool {
    let is_replaced = |event: &Event| matches!(event, Event::WorkerReplaced(_));
    world.last.events.iter().any(is_replaced)
}

#[test]
fn a_window_ends_on_time_however_many_orders_are_new_or_unmatched() {
    let mut world = World::new(&["A", "W"], &[]);
    let worker = key_of("W");
    let amount = coins("100");
    assert!(world.act(&worker, Action::Bond(Bond { amount })).is_done());
    let offer = offer(worker.address());
    let register = Action::RegisterOffer(Boxed::new(RegisterOffer { offer }));
    assert!(world.act(&worker, register).is_done());
    let mut single = header();
    single.slots = 1;
    let buyer = key_of("A").address();
    let post = signed(
        0,
        Action::PostOrder(Boxed::new(PostOrder { header: single })),
    );
    world.block(10, std::slice::from_ref(&post));
    let id = OrderId::of(&crate::world::chain_id(), buyer, post.transaction().nonce);
    world.orders.insert("o".to_owned(), id);
    world.block(10, &[]);
    world.block(10, &[]);
    assert_eq!(world.slot("o").unwrap().phase, Phase::Executing);
    // 1,024 slots that nobody takes are tried again and again.
    world.block(10, &crowd(1));
    for _ in 0..3 {
        world.block(2_000, &[]);
        assert!(!replaced(&world));
    }
    // As many again are new in the very block in which the window ends.
    world.block(10, &crowd(1 + ORDERS));
    world.block(10, &[]);
    world.block(4_000, &[]);
    assert!(replaced(&world), "the window did not end");
    let tries = |world: &World| {
        let slots = fairweir_ledger::invariants::open_slots(&world.state).unwrap();
        slots
            .iter()
            .map(|(_, slot)| usize::from(slot.tries))
            .sum::<usize>()
    };
    let before = tries(&world);
    world.block(2_000, &[]);
    let most = MATCH_RETRIES_PER_BLOCK_MAX + SLOTS_SWEPT_MAX;
    assert!(tries(&world) - before <= most);
    // The money comes back, with some delay.
    for _ in 0..2 * ORDERS {
        world.block(5_000, &[]);
    }
    let slots = fairweir_ledger::invariants::open_slots(&world.state).unwrap();
    assert!(
        slots.iter().all(|(slot, _)| slot.order == id),
        "{} slots are left",
        slots.len()
    );
}

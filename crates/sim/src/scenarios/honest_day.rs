//! Many orders, short and long, from two buyers at once: all are settled, and everybody earns.

use crate::{Plan, World, play};
use futures::future::join_all;

/// Orders of each buyer.
const ORDERS: usize = 6;

pub(super) fn run(seed: u64) {
    let plan = Plan {
        buyers: 2,
        ..Plan::honest(seed)
    };
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyers = [world.buyer(1), world.buyer(2)];
        let clock = world.context();
        let buying = buyers.iter().flat_map(|buyer| {
            (0..ORDERS).map(move |number| {
                // Every third text is longer than an order may carry.
                let lines = if number % 3 == 2 { 200 } else { 3 };
                let text = super::text(seed, number, lines);
                async move { buyer.buy(clock, &text).await }
            })
        });
        for purchase in join_all(buying).await {
            let purchase = purchase.expect("the purchase goes through");
            let (_, words) = purchase.bought.as_ref().expect("the work is settled");
            assert!(words.signed && words.settled && words.sampled && !words.disputed);
            assert_eq!(words.recomputed_by, 2, "both verifiers agree");
        }
        drop(buyers);
        let story = world.end().await;
        assert_eq!(story.slashes().count(), 0, "nobody is slashed");
    });
}

//! Links are slow, jittery and lose what is opened over them. Every buyer gets its work or its money.

use crate::{Plan, World, play};
use fairweir_net::memory::Link;
use fairweir_types::event::SlashReason;
use futures::future::join_all;
use std::time::Duration;

/// A link across a continent.
pub(super) const JITTERY: Link = Link {
    latency: Duration::from_millis(20),
    jitter: Duration::from_millis(30),
    loss_bps: 0,
};
/// The same, and one in thirty openings is lost.
const LOSSY: Link = Link {
    loss_bps: 330,
    ..JITTERY
};
const ORDERS: usize = 3;

pub(super) fn run(seed: u64) {
    let plan = Plan {
        buyers: ORDERS,
        ..Plan::honest(seed)
    };
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        world.degrade(LOSSY);
        let clock = world.context();
        let buyers: Vec<_> = (1..=ORDERS).map(|number| world.buyer(number)).collect();
        let buying = buyers.iter().zip(0..).map(|(buyer, number)| async move {
            let text = super::text(seed, number, 5);
            buyer.buy(clock, &text).await
        });
        for purchase in join_all(buying).await {
            purchase.expect("the order comes to an end");
        }
        drop(buyers);
        // Nobody can tell a lost transaction from one that was never sent; nobody may be called a liar for it.
        let late = [
            SlashReason::ReceiptLate,
            SlashReason::Unopened,
            SlashReason::VerdictMissing,
        ];
        world.end_excusing(&late).await;
    });
}

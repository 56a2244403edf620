//! A worker is cut off when work comes to it. Another one takes over; once the link is back, the first works again.

use super::settled;
use crate::{Plan, World, play};
use fairweir_node::network::names;
use fairweir_types::{Event, event::SlashReason};

pub(super) fn run(seed: u64) {
    let plan = Plan::honest(seed);
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let text = super::text(seed, 0, 5);
        let before = buyer.balance().await.expect("the node answers");
        // Before the match: after it the worker might be done first. It is the cheapest, and its offer stands.
        world.cut(&names::worker(1));
        let posted = buyer.post(&text).await.expect("the order is posted");
        let mut blocks = world.chain().subscribe(posted.height);
        let cut_off = loop {
            let block = blocks.next().await.expect("the chain runs");
            let matched = block.events.iter().find_map(|event| match event {
                Event::Matched(matched) => Some(matched.worker),
                _ => None,
            });
            if let Some(worker) = matched {
                break worker;
            }
        };
        drop(blocks);
        let purchase = buyer.complete(world.context(), &text, posted, before).await;
        let purchase = purchase.expect("the order comes to an end");
        let replacement = settled(&purchase).paid.to;
        assert_ne!(replacement, cut_off, "another worker takes over");
        world.restore(&names::worker(1));
        let again = buyer.buy(world.context(), &super::text(seed, 1, 5)).await;
        let again = again.expect("the order comes to an end");
        assert_eq!(settled(&again).paid.to, cut_off, "the cheapest is back");
        let late = [SlashReason::ReceiptLate, SlashReason::VerdictMissing];
        let story = world.end_excusing(&late).await;
        story.tells(
            purchase.order,
            &[
                "Matched",
                "Slashed",
                "WorkerReplaced",
                "Matched",
                "Settled",
                "OrderClosed",
            ],
        );
        let other = story.slashes().find(|slashed| slashed.account != cut_off);
        assert_eq!(other, None, "nobody else is late");
    });
}

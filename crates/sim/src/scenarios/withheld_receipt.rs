//! A worker never hands in its receipt. Another one gets the slot, and the late one pays a penalty.

use super::settled;
use crate::{Plan, World, byzantine::Behaviour, play};
use fairweir_types::{Amount, event::SlashReason};

pub(super) fn run(seed: u64) {
    let plan = Plan::with_cheat(seed, Behaviour::WithheldReceipt);
    let cheat = plan.cheat().expect("there is a cheat");
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let purchase = buyer.buy(world.context(), &super::text(seed, 0, 5)).await;
        let purchase = purchase.expect("the order comes to an end");
        let story = world.end().await;
        let workers = story.workers_of(purchase.slot());
        assert_eq!(workers, [cheat, settled(&purchase).paid.to]);
        let lost: Vec<_> = story.slashes().collect();
        let [lost] = lost.as_slice() else {
            panic!("one participant is slashed once, not {lost:?}");
        };
        assert_eq!(
            (lost.account, lost.reason),
            (cheat, SlashReason::ReceiptLate)
        );
        // The buyer is made whole, not rewarded: else orders that nobody can execute would earn money.
        assert!(lost.to_buyer > Amount::ZERO && lost.to_buyer < lost.burned);
        let spent = lost.to_buyer.checked_add(lost.burned);
        assert_eq!(spent, Ok(lost.amount), "nobody else has a part of it");
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
    });
}

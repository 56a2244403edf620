//! A worker forges its output. The verifiers disagree, five others decide, the buyer has every base unit back.

use super::refunded;
use crate::{Plan, Story, Work, World, byzantine::Behaviour, play};
use fairweir_types::event::{RefundReason, SlashReason};

pub(super) fn run(seed: u64) {
    told_of(
        seed,
        Behaviour::WrongOutput,
        (RefundReason::Invalid, SlashReason::WrongTrace),
        &[
            "OrderPosted",
            "Matched",
            "ReceiptSubmitted",
            "VerifiersDrawn",
            "ReceiptOpened",
            "Disputed",
            "VerifiersDrawn",
            "Judged",
            "Slashed",
            "Refunded",
            "OrderClosed",
        ],
    );
}

/// A worker cheats at a language model's answer.
pub(super) fn at_inference(seed: u64, behaviour: Behaviour) {
    told_of(
        seed,
        behaviour,
        (RefundReason::Invalid, SlashReason::WrongTrace),
        &[
            "Matched",
            "ReceiptSubmitted",
            "VerifiersDrawn",
            "ReceiptOpened",
            "Disputed",
            "Judged",
            "Slashed",
            "Refunded",
        ],
    );
}

/// A worker cheats at the work itself: it loses stake, nobody else does, and the buyer is where it was.
pub(super) fn told_of(
    seed: u64,
    behaviour: Behaviour,
    (refund, slash): (RefundReason, SlashReason),
    events: &[&str],
) -> Story {
    let plan = Plan::with_cheat(seed, behaviour);
    let cheat = plan.cheat().expect("there is a cheat");
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let bonded = world.bonded(cheat);
        let work = if behaviour.is_about_models() {
            Work::chat(&super::question(seed, 0))
        } else {
            Work::text(&super::text(seed, 0, 5))
        };
        let purchase = buyer.buy_work(world.context(), &work).await;
        let purchase = purchase.expect("the order comes to an end");
        assert_eq!(refunded(&purchase).reason, refund);
        assert_eq!(purchase.before, purchase.after, "the buyer is made whole");
        let left = world.bonded(cheat);
        let story = world.end().await;
        assert_eq!(story.workers_of(purchase.slot()), [cheat]);
        let lost: Vec<_> = story.slashes().collect();
        let [lost] = lost.as_slice() else {
            panic!("one participant is slashed once, not {lost:?}");
        };
        assert_eq!((lost.account, lost.reason), (cheat, slash));
        assert_eq!(bonded.checked_sub(lost.amount), Ok(left));
        story.tells(purchase.order, events);
        story
    })
}

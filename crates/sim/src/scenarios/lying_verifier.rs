//! A verifier says that right work is wrong. Five others decide, the worker is paid, and the liar pays for the dispute.

use super::settled;
use crate::{Plan, Story, Work, World, byzantine::Behaviour, play};
use fairweir_types::event::SlashReason;

/// Orders within which a verifier with most of the stake is drawn: it is missed by all with probability below 10⁻⁸.
const ORDERS_MAX: usize = 12;

pub(super) fn run(seed: u64) {
    told_of(
        seed,
        Behaviour::LyingVerifier,
        SlashReason::WrongVerdict,
        &[
            "VerifiersDrawn",
            "RevealDue",
            "VerdictRevealed",
            "Disputed",
            "VerifiersDrawn",
            "Judged",
            "Slashed",
            "Settled",
        ],
    );
}

/// A verifier cheats whenever it is drawn: every order is settled all the same, for the same price, and the cheat pays.
pub(super) fn told_of(
    seed: u64,
    behaviour: Behaviour,
    slash: SlashReason,
    events: &[&str],
) -> Story {
    let plan = Plan::with_cheat(seed, behaviour);
    let cheat = plan.cheat().expect("there is a cheat");
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let bonded = world.bonded(cheat);
        for number in 0..ORDERS_MAX {
            let work = if behaviour.is_about_models() {
                Work::chat(&super::question(seed, number))
            } else {
                Work::text(&super::text(seed, number, 5))
            };
            let purchase = buyer.buy_work(world.context(), &work).await;
            let purchase = purchase.expect("the order comes to an end");
            let was_disputed = settled(&purchase).disputed;
            if !was_disputed {
                continue;
            }
            let left = world.bonded(cheat);
            let story = world.end().await;
            let lost: Vec<_> = story.slashes().collect();
            let [lost] = lost.as_slice() else {
                panic!("one participant is slashed once, not {lost:?}");
            };
            assert_eq!((lost.account, lost.reason), (cheat, slash));
            assert_eq!(bonded.checked_sub(lost.amount), Ok(left));
            story.tells(purchase.order, events);
            return story;
        }
        panic!("the cheat is never drawn");
    })
}

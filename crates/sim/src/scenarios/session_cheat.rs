//! Workers that cheat in a session: wrong answers, claims beyond the receipts, leaves that are not shown. The buyer has the whole
//! batch back, and the stake that is lost is more than what the lane could have gained.

use crate::{Plan, World, byzantine::Behaviour, play};
use fairweir_types::{
    Amount, Event,
    event::{RefundReason, SlashReason},
};

/// How a batch may end, and why its worker loses stake.
type End = (RefundReason, SlashReason);

const WRONG: End = (RefundReason::Invalid, SlashReason::WrongTrace);
const NOT_SHOWN: End = (RefundReason::Unopened, SlashReason::Unopened);

pub(super) fn wrong_output(seed: u64) {
    told_of(seed, Behaviour::WrongOutput, &[WRONG]);
}

/// A draw beyond what its receipts add up to falls on nothing that it could show.
pub(super) fn inflated_claim(seed: u64) {
    told_of(seed, Behaviour::InflatedClaim, &[WRONG, NOT_SHOWN]);
}

pub(super) fn withheld_leaves(seed: u64) {
    told_of(seed, Behaviour::WithheldLeaves, &[NOT_SHOWN]);
}

fn told_of(seed: u64, behaviour: Behaviour, ends: &[End]) {
    let plan = Plan::with_cheat(seed, behaviour);
    let cheat = plan.cheat().expect("there is a cheat");
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let bonded = world.bonded(cheat);
        let before = buyer.balance().await.expect("the node answers");
        let mut session = buyer.open_session(1).await.expect("a lane opens");
        assert_eq!(session.lanes[0].0.worker, cheat, "the cheapest is matched");
        for number in 0..4 {
            let text = super::text(seed, number, 2);
            buyer
                .ask(&mut session, 0, &text)
                .await
                .expect("the cheat answers");
        }
        let cap = session.lanes[0].0.cap;
        let closed = buyer.close_session(world.context(), &session).await;
        closed.expect("the session comes to an end");
        let left = world.bonded(cheat);
        let after = buyer.balance().await.expect("the node answers");
        let story = world.end().await;
        let refunds: Vec<_> = story
            .events()
            .filter_map(|event| match event {
                Event::Refunded(refunded) => Some(refunded.reason),
                _ => None,
            })
            .collect();
        let [refund] = refunds.as_slice() else {
            panic!("one batch goes back, not {refunds:?}");
        };
        let lost: Vec<_> = story.slashes().collect();
        let [lost] = lost.as_slice() else {
            panic!("one participant is slashed once, not {lost:?}");
        };
        assert_eq!(lost.account, cheat);
        assert!(
            ends.contains(&(*refund, lost.reason)),
            "{refund:?}, {lost:?}"
        );
        assert_eq!(bonded.checked_sub(lost.amount), Ok(left));
        assert!(
            lost.amount > cap,
            "the loss exceeds all that the lane could gain"
        );
        let fees = before
            .checked_sub(after)
            .expect("a session is never a gain");
        let most = Amount::from_base_units(Amount::COIN_BASE_UNITS / 100).expect("below the cap");
        assert!(
            fees < most,
            "the buyer pays its transactions alone, not {fees}"
        );
    });
}

//! Batches of which nothing is drawn, and their buyer that has one of their requests checked.

use crate::{Buyer, Plan, Session, Story, World, buyer::again, byzantine::Behaviour, play};
use fairweir_net::Network;
use fairweir_types::{
    Action, Address, Amount, Event, Height,
    event::{RefundReason, SlashReason},
    order::SlotId,
    tx::Challenge,
};

/// Requests of a session.
const REQUESTS: usize = 2;
/// Sessions within which nothing is drawn of a batch: of 98 in a hundred nothing is.
const SESSIONS_MAX: usize = 4;
/// Governed values: as by default one request of a hundred is drawn, and no buyer waits long.
const PARAMS: &[(&str, u64)] = &[("challenge_window", 5_000)];

/// The work is right: it is settled, and the buyer pays for the check what the escrow would else have paid.
pub(super) fn in_vain(seed: u64) {
    let (story, _) = challenged(seed, Plan::honest(seed));
    assert_eq!(story.slashes().count(), 0);
    let settled = story.events().filter_map(|event| match event {
        Event::BatchSettled(settled) if settled.samples.len() == 1 => Some(settled),
        _ => None,
    });
    let settled: Vec<_> = settled.collect();
    let [settled] = settled.as_slice() else {
        panic!("one batch was checked, not {settled:?}");
    };
    assert_eq!((settled.recomputed_by, settled.disputed), (2, false));
    assert_eq!(settled.paid.amount, settled.root.sum);
}

/// The work is wrong: the buyer has the batch back, and its worker loses stake.
pub(super) fn wrong_output(seed: u64) {
    let (story, worker) = challenged(seed, Plan::with_cheat(seed, Behaviour::WrongOutput));
    let lost: Vec<_> = story.slashes().collect();
    let [lost] = lost.as_slice() else {
        panic!("the worker alone pays, not {lost:?}");
    };
    assert_eq!(
        (lost.account, lost.reason),
        (worker, SlashReason::WrongTrace)
    );
    assert!(story.events().any(
        |event| matches!(event, Event::Refunded(refunded) if refunded.reason == RefundReason::Invalid)
    ));
}

/// Sessions until one had a batch of which nothing was drawn, which its buyer challenged: what happened then, and its worker.
fn challenged(seed: u64, plan: Plan) -> (Story, Address) {
    let plan = Plan {
        params: PARAMS,
        ..plan
    };
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        for number in 0..SESSIONS_MAX {
            let mut session = buyer.open_session(1).await.expect("a lane opens");
            for request in 0..REQUESTS {
                let text = super::text(seed, number * REQUESTS + request, 2);
                let answer = buyer.ask(&mut session, 0, &text).await;
                answer.expect("the worker answers");
            }
            let worker = session.lanes[0].0.worker;
            let (closed, is_challenged) = futures::join!(
                buyer.close_session(world.context(), &session),
                challenge(&buyer, &session)
            );
            closed.expect("the session comes to an end");
            if is_challenged {
                return (world.end().await, worker);
            }
        }
        panic!("something was drawn of every batch");
    })
}

/// Challenges the batch of a session where its last unit is claimed; says whether it could, because nothing was drawn.
async fn challenge<N: Network>(buyer: &Buyer<N>, session: &Session) -> bool {
    let mut batch: Option<(SlotId, Amount)> = None;
    let client = buyer.sender().client();
    let mut events = again(|| client.follow(Height::ZERO)).await;
    let events = events.as_mut().expect("the node answers");
    loop {
        let page = events.next().await.expect("the chain goes on");
        for event in page.events.iter() {
            match event {
                Event::BatchPosted(posted) if posted.lane == session.lanes[0].0.slot_id => {
                    batch = Some((posted.slot_id, posted.root.sum));
                }
                Event::LeavesDue(due) if batch.is_some_and(|(slot, _)| slot == due.slot_id) => {
                    return false;
                }
                Event::NothingDrawn(drawn) => {
                    let Some((slot_id, total)) = batch.filter(|(slot, _)| *slot == drawn.slot_id)
                    else {
                        continue;
                    };
                    let least = Amount::from_base_units(1).expect("a base unit");
                    let at = Some(total.checked_sub(least).expect("a batch costs something"));
                    let action = Action::Challenge(Challenge { slot_id, at });
                    buyer
                        .sender()
                        .send(action)
                        .await
                        .expect("it has the deposit");
                    return true;
                }
                _ => {}
            }
        }
    }
}

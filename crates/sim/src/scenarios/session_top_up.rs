//! A lane that is used up is topped up by its buyer, and serves on; its worker claims beyond the first cap, and everything is paid.

use crate::{Plan, World, play};
use commonware_runtime::Clock as _;
use core::time::Duration;
use fairweir_types::{Amount, Event};

/// How long a worker takes at most to hear that its lane holds more.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn run(seed: u64) {
    let plan = Plan::honest(seed);
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let mut session = buyer.open_small_session().await.expect("a lane opens");
        let cap = session.lanes[0].0.cap;
        let text = super::text(seed, 1, 10);
        let (mut asked, mut topped_up_at) = (0u32, None);
        loop {
            if !buyer.can_ask(&session, 0, &text) {
                if topped_up_at.is_some() {
                    break;
                }
                let topped_up = buyer.top_up(&mut session, 0).await;
                topped_up.expect("its worker has the stake");
                world.context().sleep(HEARD_WITHIN).await;
                topped_up_at = Some(asked);
            }
            let answer = buyer.ask(&mut session, 0, &text).await;
            answer.expect("the lane answers");
            asked += 1;
        }
        assert!(topped_up_at.is_some_and(|before| 0 < before && before < asked));
        let closed = buyer.close_session(world.context(), &session).await;
        closed.expect("the session comes to an end");
        let story = world.end().await;
        assert_eq!(story.slashes().count(), 0);
        let (mut requests, mut paid, mut claimed) = (0, Vec::new(), Amount::ZERO);
        for event in story.events() {
            match event {
                Event::BatchSettled(settled) => {
                    requests += settled.count;
                    paid.push(settled.paid.amount);
                }
                Event::LaneClosed(closed) => claimed = closed.claimed,
                _ => {}
            }
        }
        assert_eq!(requests, asked, "each request is settled once");
        assert_eq!(Amount::sum(paid), Ok(claimed), "what was claimed is paid");
        assert!(claimed > cap, "more than the first cap: {claimed}");
    });
}

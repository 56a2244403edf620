//! Requests of a session on two workers: all are answered, claimed in batches, sampled, checked and paid.

use crate::{Plan, World, play};
use fairweir_types::{Amount, Event};

/// Requests in each lane.
const REQUESTS: usize = 8;

pub(super) fn run(seed: u64) {
    let plan = Plan::honest(seed);
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let mut session = buyer.open_session(2).await.expect("two lanes open");
        for number in 0..2 * REQUESTS {
            let text = super::text(seed, number, 1 + number % 3);
            let answer = buyer.ask(&mut session, number % 2, &text).await;
            answer.expect("a lane answers");
        }
        let closed = buyer.close_session(world.context(), &session).await;
        closed.expect("the session comes to an end");
        let story = world.end().await;
        assert_eq!(story.slashes().count(), 0);
        let (mut requests, mut paid, mut claimed) = (0, Vec::new(), Vec::new());
        for event in story.events() {
            match event {
                Event::BatchSettled(settled) => {
                    requests += settled.count;
                    paid.push(settled.paid.amount);
                    let checkers = if settled.samples.is_empty() { 0 } else { 2 };
                    assert_eq!(settled.recomputed_by, checkers, "{settled:?}");
                }
                Event::LaneClosed(closed) => claimed.push(closed.claimed),
                _ => {}
            }
        }
        assert_eq!(
            usize::try_from(requests),
            Ok(2 * REQUESTS),
            "each request is settled once"
        );
        assert_eq!(
            Amount::sum(paid),
            Amount::sum(claimed),
            "what was claimed is paid"
        );
    });
}

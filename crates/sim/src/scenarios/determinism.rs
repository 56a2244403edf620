//! The same seed tells the same story, to the last bit of the state root; another seed tells another.

use crate::{Plan, Story, World, byzantine::Behaviour, play};
use futures::future::join_all;

/// A story with a cheat, two buyers at once, and links that jitter.
fn told(seed: u64) -> Story {
    let plan = Plan {
        buyers: 2,
        ..Plan::with_cheat(seed, Behaviour::WrongOutput)
    };
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        world.degrade(super::lossy::JITTERY);
        let buyers = [world.buyer(1), world.buyer(2)];
        let clock = world.context();
        let buying = buyers.iter().zip(0..).map(|(buyer, number)| async move {
            let text = super::text(seed, number, 5);
            buyer.buy(clock, &text).await
        });
        for purchase in join_all(buying).await {
            purchase.expect("the order comes to an end");
        }
        drop(buyers);
        world.end().await
    })
}

pub(super) fn run(seed: u64) {
    let story = told(seed);
    let again = told(seed);
    let difference = story.events.iter().zip(&again.events).find(|(a, b)| a != b);
    assert_eq!(difference, None, "the same seed gives the same events");
    assert_eq!(
        (story.height, story.state_root, story.events_root()),
        (again.height, again.state_root, again.events_root()),
        "the same seed gives the same chain"
    );
    assert_eq!(story, again, "the same seed gives the same story");
    let other = told(seed.wrapping_add(1));
    assert_ne!(story.state_root, other.state_root);
    assert_ne!(story.events_root(), other.events_root());
}

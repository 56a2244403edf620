//! The machine crashes again and again at random moments, and its disk keeps any part of what was not synced. Nothing that
//! was acknowledged is lost, and every order comes to its end.

use crate::{Buyer, Plan, Story, World, world};
use commonware_runtime::{Clock as _, deterministic};
use commonware_utils::probability;
use fairweir_client::orders::Posted;
use fairweir_net::Network;
use fairweir_types::{Digest, Event, digest::Domain};
use futures::future::{Either, select};
use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Crashes before the last life.
const CRASHES: u64 = 4;
/// The longest life that ends in a crash, in milliseconds: an order takes about two seconds.
const LIFE_MS_MAX: u64 = 6_000;
/// Orders after which the buyer has enough.
const ORDERS: usize = 6;

/// A disk of which a crash leaves any bytes that were written and not synced.
fn torn() -> deterministic::FaultConfig {
    deterministic::FaultConfig::default().write(deterministic::WriteConfig {
        failure_rate: probability!(0.0),
        retention_rate: probability!(0.5),
        mode: deterministic::PartialWriteMode::Subset,
    })
}

/// What outlives a crash: what people saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    posted: Vec<(usize, Posted)>,
    story: Story,
}

type Notes = Arc<Mutex<Seen>>;

fn note(notes: &Notes, write: impl FnOnce(&mut Seen)) {
    write(&mut notes.lock().unwrap_or_else(PoisonError::into_inner));
}

fn seen(notes: &Notes) -> Seen {
    notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Everything that was seen before is still there, at the same place.
fn check_nothing_is_lost(before: &Seen, story: &Story) {
    assert!(
        story.events.starts_with(&before.story.events),
        "events that were seen are still there"
    );
    for (_, posted) in &before.posted {
        let is_there = story.events.iter().any(|(height, event)| {
            *height == posted.height
                && matches!(event, Event::OrderPosted(found) if found.order == posted.order)
        });
        assert!(is_there, "order {} is still there", posted.order);
    }
}

/// One order after the other, and what is open from earlier lives first.
async fn buy<N: Network>(world: &World, buyer: &Buyer<N>, seed: u64, notes: &Notes) {
    let open = world.story().await.open_orders();
    let before = buyer.balance().await.expect("the node answers");
    for (_, posted) in seen(notes).posted {
        if open.contains(&posted.order) {
            // Its output is not asked for: a worker keeps outputs in memory, and one that was settled just before a crash of
            // the worker's own machine is gone with it.
            let end = buyer.end_of(posted).await;
            end.expect("an order of an earlier life comes to its end");
        }
    }
    while seen(notes).posted.len() < ORDERS {
        let number = seen(notes).posted.len();
        let text = super::text(seed, number, 5);
        let posted = buyer.post(&text).await.expect("the order is posted");
        note(notes, |seen| seen.posted.push((number, posted)));
        let done = buyer.complete(world.context(), &text, posted, before);
        done.await.expect("the order comes to its end");
        let story = world.story().await;
        note(notes, |seen| seen.story = story);
    }
}

async fn live(context: &world::Context, plan: &Plan, notes: &Notes) -> World {
    let world = World::boot(context, plan).await;
    let story = world.story().await;
    check_nothing_is_lost(&seen(notes), &story);
    note(notes, |seen| seen.story = story);
    let buyer = world.buyer(1);
    buy(&world, &buyer, plan.seed, notes).await;
    drop(buyer);
    world
}

pub(super) fn run(seed: u64) {
    let plan = Plan::honest(seed);
    let notes = Notes::default();
    let disk = world::config(seed).with_storage_fault_config(torn());
    let mut runner = deterministic::Runner::new(disk);
    for life in 0..CRASHES {
        let moment = Digest::of(Domain::Draw, &[&seed.to_be_bytes(), &life.to_be_bytes()]);
        let lasts = Duration::from_millis(moment.leading_u64() % LIFE_MS_MAX);
        let (plan, notes) = (&plan, &notes);
        let (_, checkpoint) = runner.start_and_recover(|context| async move {
            let life = pin!(live(&context, plan, notes));
            let crash = pin!(context.sleep(lasts));
            match select(life, crash).await {
                Either::Left((world, _)) => drop(world),
                Either::Right(_) => {}
            }
        });
        runner = deterministic::Runner::from(checkpoint);
    }
    let (plan, notes) = (&plan, &notes);
    let (story, _) = runner
        .start_and_recover(|context| async move { live(&context, plan, notes).await.end().await });
    assert_eq!(story.open_orders(), Vec::new());
    check_nothing_is_lost(&seen(notes), &story);
}

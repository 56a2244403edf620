//! Verifiers that lie together about a batch, and who appeals their verdict.

use crate::{Plan, Story, Work, World, byzantine::Behaviour, play};
use fairweir_types::{
    Address, Event,
    event::{AppealOutcome, SlashReason},
    limits::APPEAL_DEFENDERS_MAX,
};

/// Requests of a session.
const REQUESTS: usize = 4;
/// Sessions within which a batch is disputed: one is with nine in ten.
const SESSIONS_MAX: usize = 8;
/// What a verifier bonds that is drawn nearly always.
const OFTEN_DRAWN: u64 = 9_000;

/// Everybody lies about the samples of an honest worker. It turns the verdict against three of them.
pub(super) fn against_worker(seed: u64) {
    turned_by_worker(seed, Behaviour::ForgedVerdict, AppealOutcome::DefenderWrong);
}

/// The same, where the liars show the run that the worker has: it is not the one that they voted for, so that they have nothing to show.
pub(super) fn copied(seed: u64) {
    turned_by_worker(seed, Behaviour::CopiedRun, AppealOutcome::DefenderSilent);
}

fn turned_by_worker(seed: u64, behaviour: Behaviour, outcome: AppealOutcome) {
    let mut plan = Plan::honest(seed);
    plan.models = true;
    for liar in plan.workers.iter_mut().skip(1).chain(&mut plan.verifiers) {
        liar.behaviour = Some(behaviour);
    }
    let (story, worker) = disputed(seed, plan);
    assert_eq!(story.appeals(), [outcome; APPEAL_DEFENDERS_MAX]);
    assert_eq!(story.slashes_of(worker).count(), 0);
    // Two of the first draw, and five of the dispute.
    let lost: Vec<_> = story.slashes().collect();
    assert_eq!(
        lost.len(),
        7,
        "whoever was against the batch pays: {lost:?}"
    );
    let is_wrong = |reason: SlashReason| reason == SlashReason::WrongVerdict;
    assert!(lost.iter().all(|lost| is_wrong(lost.reason)));
    assert!(is_told(
        &story,
        |event| matches!(event, Event::BatchSettled(settled) if settled.disputed)
    ));
}

/// A worker forges its answers, and all verifiers but two find what it wrote. One of the two turns their verdict.
pub(super) fn against_buyer(seed: u64) {
    let mut plan = Plan::with_cheat(seed, Behaviour::ForgedTrace);
    for friend in plan.workers.iter_mut().skip(1) {
        friend.behaviour = Some(Behaviour::ForgedVerdict);
    }
    for (number, verifier) in plan.verifiers.iter_mut().enumerate() {
        if number < 2 {
            verifier.stake = crate::plan::hundredths(OFTEN_DRAWN * 100);
        } else {
            verifier.behaviour = Some(Behaviour::ForgedVerdict);
        }
    }
    let (story, worker) = disputed(seed, plan);
    let outcomes = [AppealOutcome::DefenderWrong; APPEAL_DEFENDERS_MAX];
    assert_eq!(story.appeals(), outcomes);
    let lost: Vec<_> = story.slashes_of(worker).collect();
    let [lost] = lost.as_slice() else {
        panic!("the worker pays once, not {lost:?}");
    };
    assert_eq!(lost.reason, SlashReason::WrongTrace);
    assert!(is_told(&story, |event| matches!(event, Event::Refunded(_))));
}

fn is_told(story: &Story, is_it: impl Fn(&Event) -> bool) -> bool {
    story.events().any(is_it)
}

/// Sessions until a batch was disputed: what happened then, and its worker.
fn disputed(seed: u64, plan: Plan) -> (Story, Address) {
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        for number in 0..SESSIONS_MAX {
            let works: Vec<_> = (0..REQUESTS)
                .map(|request| Work::chat(&super::question(seed, number * REQUESTS + request)))
                .collect();
            let longest = Work::chat(&super::question(seed, 6));
            let session = buyer.open_session_for(&longest).await;
            let mut session = session.expect("a lane opens");
            for work in works {
                let answer = buyer.ask_work(&mut session, 0, work).await;
                answer.expect("the worker answers");
            }
            let worker = session.lanes[0].0.worker;
            let closed = buyer.close_session(world.context(), &session).await;
            closed.expect("the session comes to an end");
            let story = world.story().await;
            if !story.appeals().is_empty() {
                return (world.end().await, worker);
            }
        }
        panic!("no batch was disputed");
    })
}

//! Verifiers find another trace than there is, and insist on it before the referee with a forged run.

use super::{lying_verifier, settled};
use crate::{Plan, Work, World, byzantine::Behaviour, play};
use fairweir_types::{
    event::{AppealOutcome, SlashReason},
    limits::APPEAL_DEFENDERS_MAX,
};

/// One verifier among honest ones: it loses the vote, appeals, and loses to the worker.
pub(super) fn alone(seed: u64) {
    let story = lying_verifier::told_of(
        seed,
        Behaviour::ForgedVerdict,
        SlashReason::WrongVerdict,
        &[
            "Disputed",
            "Judged",
            "Appealed",
            "AppealNarrowed",
            "AppealDecided",
            "Slashed",
            "Settled",
        ],
    );
    assert_eq!(story.appeals(), [AppealOutcome::AppellantWrong]);
}

/// All verifiers together: the vote says that an honest worker was wrong. It turns the verdict against three of them, one after the other.
pub(super) fn together(seed: u64) {
    let outcomes = [AppealOutcome::DefenderWrong; APPEAL_DEFENDERS_MAX];
    turned(seed, Behaviour::ForgedVerdict, |_| {}, &outcomes);
}

/// The same, where the liars show the run that the worker has: it is not the one that they voted for, so that they have nothing to show.
pub(super) fn copied(seed: u64) {
    let outcomes = [AppealOutcome::DefenderSilent; APPEAL_DEFENDERS_MAX];
    turned(seed, Behaviour::CopiedRun, |_| {}, &outcomes);
}

/// The same, where one of the liars finds a third trace, appeals before the worker does, and loses on purpose: the worker has its turn all the
/// same.
pub(super) fn decoy(seed: u64) {
    let mut outcomes = vec![AppealOutcome::AppellantSilent];
    outcomes.extend([AppealOutcome::DefenderWrong; APPEAL_DEFENDERS_MAX]);
    let change = |plan: &mut Plan| {
        plan.workers[0].behaviour = Some(Behaviour::LateAppeal);
        plan.verifiers[0].behaviour = Some(Behaviour::Decoy);
    };
    turned(seed, Behaviour::ForgedVerdict, change, &outcomes);
}

/// An honest worker turns the verdict of verifiers that lie together.
fn turned(
    seed: u64,
    behaviour: Behaviour,
    change: impl FnOnce(&mut Plan),
    outcomes: &[AppealOutcome],
) {
    let mut plan = Plan::honest(seed);
    plan.models = true;
    for cheat in plan.workers.iter_mut().skip(1).chain(&mut plan.verifiers) {
        cheat.behaviour = Some(behaviour);
    }
    change(&mut plan);
    let cheats = plan.workers.len() - 1 + plan.verifiers.len();
    let outcomes = outcomes.to_vec();
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let buyer = world.buyer(1);
        let work = Work::chat(&super::question(seed, 0));
        let purchase = buyer.buy_work(world.context(), &work).await;
        let purchase = purchase.expect("the order comes to an end");
        let worker = settled(&purchase).paid.to;
        let story = world.end().await;
        assert_eq!(story.appeals(), outcomes, "each defends alone");
        let lost: Vec<_> = story.slashes().collect();
        assert_eq!(lost.len(), cheats, "whoever was against the work pays");
        for slashed in lost {
            assert_eq!(slashed.reason, SlashReason::WrongVerdict);
            assert_ne!(slashed.account, worker);
        }
        story.tells(
            purchase.order,
            &["Judged", "Appealed", "AppealDecided", "Slashed", "Settled"],
        );
    });
}

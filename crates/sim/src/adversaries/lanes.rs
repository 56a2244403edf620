//! Stories of a worker that cheats in a lane: samples find it at the governed rate.

use super::{
    Cheats, Outcome, Town,
    measure::{Told, base_units, earned, read},
    orders::{VERIFIER_STAKE, WORKER_STAKE, float, governed, plan, share, texts},
};
use crate::{
    byzantine::{
        Behaviour, RepeatedLeaf, Twist, WithheldKey, WithheldLink, forged_request, repeat_leaf,
    },
    plan::{hundredths, key},
    world::play_long,
};
use fairweir_node::network::names;
use fairweir_services::{Kind as _, session::LaneTerms, text::Text};
use fairweir_types::Amount;
use std::sync::Arc;

/// Requests of a lane: a quarter of its batches are sampled at the default rate of one per cent.
pub(super) const REQUESTS: u32 = 25;
/// Its cap: with the longest request its worker's least stake just covers it.
pub(super) const CAP: Amount = hundredths(275);
/// Seven honest verifiers: two, and five for a dispute.
const VERIFIERS: u32 = 7;

/// How a worker cheats in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cheat {
    /// By a behaviour of its role.
    Twist(Behaviour),
    /// [`RepeatedLeaf`].
    RepeatedLeaf,
    /// [`forged_request`].
    ForgedRequest,
    /// [`WithheldKey`].
    WithheldKey,
    /// Wrong output, with one of the verifiers as a friend that withholds its link when it would find it out.
    WithheldLink,
    /// The same, with one of the validators as a friend besides, who withholds blocks that do not ask that verifier.
    WithheldBlock,
    /// [`forged_request`], with that verifier as a friend.
    ShelteredForgery,
}

/// What a lane came to before it was closed.
struct Lane {
    /// What each request cost.
    costs: Vec<f64>,
    /// What they cost together, and what the voucher covers.
    total: f64,
    covered: f64,
}

impl Lane {
    /// The dearest request that the voucher covers once more.
    fn again(&self) -> f64 {
        let left = self.covered - self.total;
        let fitting = self.costs.iter().copied().filter(|cost| *cost <= left);
        fitting.fold(0.0, f64::max)
    }
}

/// The loss by formula. With P the probability that something of the batch is sampled, T what its requests cost, V what its voucher covers,
/// v what a claim without work is worth, s·S the share of the stake:
/// who is found loses s·S and the batch's total on top of not being paid; who is not gains what it claims.
fn expected(cheat: Cheat, lane: &Lane, params: &fairweir_ledger::Params) -> f64 {
    let slash = float(WORKER_STAKE) * share(params, "slash_share_bps");
    let rate = share(params, "sampling_bps");
    let sampled = (f64::from(REQUESTS) * rate).min(1.0);
    let (total, covered) = (lane.total, lane.covered);
    match cheat {
        // No work at all, and all its pay: P·(s·S + T) − (1 − P)·T.
        // A friend does not change it, nor withhold: without a link something is drawn for sure, and all of it is wrong.
        Cheat::WithheldKey
        | Cheat::WithheldLink
        | Cheat::WithheldBlock
        | Cheat::Twist(Behaviour::WrongOutput | Behaviour::WithheldLeaves) => {
            sampled * (slash + total) - (1.0 - sampled) * total
        }
        // All the work; a sum that is not its leaves' is found by any sample: P·(s·S + V + T) − (1 − P)·(V − T).
        Cheat::Twist(Behaviour::InflatedClaim) => {
            sampled * (slash + covered + total) - (1.0 - sampled) * (covered - total)
        }
        Cheat::Twist(Behaviour::UnclaimedLane) => total,
        // All the work; one leaf of n + 1 is forged, and found when drawn by its value: Q = (n + 1)·p·v/(T + v).
        Cheat::ForgedRequest => {
            let forged = lane.again();
            let claimed = total + forged;
            let drawn = ((f64::from(REQUESTS) + 1.0) * rate).min(1.0) * forged / claimed;
            drawn * (slash + claimed + total) - (1.0 - drawn) * forged
        }
        // The same; where the friend is asked for the link it must be found once more, by the one sample that is drawn without.
        Cheat::ShelteredForgery => {
            let forged = lane.again();
            let claimed = total + forged;
            let share = forged / claimed;
            let drawn = ((f64::from(REQUESTS) + 1.0) * rate).min(1.0) * share;
            // The first that is drawn of verifiers of equal stake.
            let asked = 1.0 / f64::from(VERIFIERS + 1);
            let found = drawn * (1.0 - asked + asked * share);
            let silence = float(VERIFIER_STAKE) * self::share(params, "missing_verdict_bps");
            let withheld = asked * drawn * (1.0 - share) * silence;
            // What the friend earns by verifying in the honest twin's story; what it earned in this one is counted.
            let check = total / f64::from(REQUESTS) * self::share(params, "check_fee_bps");
            let check = check.max(governed(params, "check_fee_min"));
            let checks = governed(params, "first_draw") / f64::from(VERIFIERS + 1);
            let earned = checks * sampled * check + asked * governed(params, "link_fee");
            found * (slash + claimed + total) - (1.0 - found) * forged + withheld + earned
        }
        // All the work, and one leaf twice, which any sample finds: P'·(s·S + T + v + T) − (1 − P')·v, with P' that of a leaf more.
        Cheat::RepeatedLeaf => {
            let again = lane.again();
            let drawn = ((f64::from(REQUESTS) + 1.0) * rate).min(1.0);
            drawn * (slash + total + again + total) - (1.0 - drawn) * again
        }
        // The second claim is refused; it costs no more than its fee.
        Cheat::Twist(_) => 0.0,
    }
}

/// A worker serves a lane and cheats with it.
pub(super) fn worker(seed: u64, cheats: bool, cheat: Cheat) -> Outcome {
    let has_friend = matches!(
        cheat,
        Cheat::WithheldLink | Cheat::WithheldBlock | Cheat::ShelteredForgery
    );
    let plan = plan(seed, VERIFIERS + u32::from(has_friend));
    let params = fairweir_ledger::params::of_genesis(&plan.genesis());
    let friend = WithheldLink::new(params, (Town::verifier(1), Town::worker(1)));
    let friend = Arc::new(friend);
    let mut twists = Cheats::new();
    let twist = match cheat {
        Cheat::Twist(behaviour) => Some(behaviour.twist()),
        Cheat::RepeatedLeaf => Some(Arc::new(RepeatedLeaf) as Arc<dyn Twist>),
        Cheat::WithheldKey => Some(Arc::new(WithheldKey) as Arc<dyn Twist>),
        Cheat::WithheldLink | Cheat::WithheldBlock => Some(Behaviour::WrongOutput.twist()),
        Cheat::ForgedRequest | Cheat::ShelteredForgery => None,
    };
    if let (true, Some(twist)) = (cheats, twist) {
        twists.insert(names::worker(1), twist);
    }
    if cheats && has_friend {
        let friend: Arc<dyn Twist> = friend.clone();
        twists.insert(names::verifier(1), friend);
    }
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, Text::ID, twists).await;
        let mut patron = town.patron(1);
        let works = texts(seed, usize::try_from(REQUESTS).expect("few requests"));
        let longest = works.iter().max_by_key(|work| work.spec.len());
        let longest = longest.expect("there are some").clone();
        patron.open_session(&longest, CAP, LaneTerms::WHOLE).await;
        town.heard().await;
        let mut right = Vec::new();
        for work in &works {
            right.push(patron.ask(work).await);
        }
        let name = names::worker(1);
        if cheats {
            match cheat {
                Cheat::RepeatedLeaf => town.restart(&name, repeat_leaf).await,
                Cheat::ForgedRequest | Cheat::ShelteredForgery => {
                    // It is the last leaf.
                    friend.fear_from(Amount::sum(right.iter().copied()).expect("it is little"));
                    let cook = |books: &mut super::Books| forged_request(books, &key(&name));
                    town.restart(&name, cook).await;
                }
                Cheat::WithheldBlock => {
                    town.chain.befriend(Town::worker(1), Town::verifier(1));
                }
                Cheat::WithheldLink | Cheat::WithheldKey | Cheat::Twist(_) => {}
            }
        }
        town.heard().await;
        patron.close().await;
        town.settle().await;
        let costs: Vec<_> = right.iter().map(|cost| float(*cost)).collect();
        let lane = Lane {
            total: costs.iter().sum(),
            covered: float(patron.promised()),
            costs,
        };
        let is_wrong = matches!(
            cheat,
            Cheat::Twist(Behaviour::WrongOutput)
                | Cheat::WithheldLink
                | Cheat::WithheldBlock
                | Cheat::WithheldKey
        ) && cheats;
        let mut adversaries = vec![Town::worker(1)];
        let mut expected = expected(cheat, &lane, &town.chain.params());
        if has_friend {
            expected -= base_units(earned(&town, Town::verifier(1)));
            adversaries.push(Town::verifier(1));
        }
        let told = Told {
            expected,
            right: if is_wrong {
                Amount::ZERO
            } else {
                Amount::sum(right).expect("it is little")
            },
            ..Told::default()
        };
        read(&town, &adversaries, told)
    })
}

/// A verifier cheats whenever it is drawn for a batch. A batch of n requests has a sample with probability n·p, for which two of eight
/// verifiers of equal stake are drawn: the cheat with 1/4. It then loses a share of its stake.
pub(super) fn verifier(seed: u64, cheats: bool, behaviour: Behaviour) -> Outcome {
    let plan = plan(seed, VERIFIERS + 1);
    let twists: Cheats = cheats
        .then(|| (names::verifier(1), behaviour.twist()))
        .into_iter()
        .collect();
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, Text::ID, twists).await;
        let mut patron = town.patron(1);
        let works = texts(seed, usize::try_from(REQUESTS).expect("few requests"));
        let longest = works.iter().max_by_key(|work| work.spec.len());
        let longest = longest.expect("there are some").clone();
        patron.open_session(&longest, CAP, LaneTerms::WHOLE).await;
        town.heard().await;
        let mut right = Vec::new();
        for work in &works {
            right.push(patron.ask(work).await);
        }
        town.heard().await;
        patron.close().await;
        town.settle().await;
        let params = town.chain.params();
        let lost = if behaviour == Behaviour::LyingVerifier {
            share(&params, "wrong_verdict_bps")
        } else {
            share(&params, "missing_verdict_bps")
        };
        let sampled = (f64::from(REQUESTS) * share(&params, "sampling_bps")).min(1.0);
        let drawn = governed(&params, "first_draw") / f64::from(VERIFIERS + 1);
        // It is paid for the link that it is asked for.
        let link = governed(&params, "link_fee") / f64::from(VERIFIERS + 1);
        let told = Told {
            expected: drawn * sampled * float(VERIFIER_STAKE) * lost - link,
            right: Amount::sum(right).expect("it is little"),
            ..Told::default()
        };
        read(&town, &[Town::verifier(1)], told)
    })
}

//! Stories of single orders: every piece of work is checked.

use super::{
    Cheats, Outcome, Town,
    measure::{Told, base_units, earned, read, signed},
};
use crate::{
    Part, Plan, Work,
    byzantine::{
        Behaviour, ColludingVerifier, Collusion, FleeingStake, ListeningVerifier, Planter,
        PrivateChannel, Twist,
    },
    plan::hundredths,
    scenarios,
    world::play_long,
};
use fairweir_ledger::Params;
use fairweir_node::network::names;
use fairweir_services::{Kind as _, inference::chat::Chat, text::Text};
use fairweir_types::{Address, Amount, Digest, order::KindId};
use futures::future::join_all;
use std::sync::Arc;

/// What a worker bonds: the least that the ledger takes by default.
pub(super) const WORKER_STAKE: Amount = hundredths(100 * 100);
/// What a verifier bonds: enough to stay in the pool after losing a twentieth.
pub(super) const VERIFIER_STAKE: Amount = hundredths(200 * 100);
/// Coins per million units, in hundredths: what the cheapest worker asks, and the other.
const PRICES: [u64; 2] = [500, 600];
/// Verifiers besides a cheat: two of them for the first draw, five for a dispute.
const HONEST_VERIFIERS: u32 = 7;
/// Orders of a story about verifiers.
const ORDERS: u32 = 6;
/// Of what a planter makes so much is planted: the least that protocol rule 4 asks for.
const PLANTED_BPS: u16 = 100;
/// Orders of a story about a planter: not more than its worker may have open at once.
const TOLD_ORDERS: u32 = 24;
/// Lines of a text.
const LINES: usize = 10;
/// What a fleeing worker bonds, and what of it it takes out.
const FLEEING_STAKE: Amount = hundredths(1_000 * 100);
const FLEEING: Amount = hundredths(900 * 100);

/// Two workers, verifiers and a buyer, at default parameters.
pub(super) fn plan(seed: u64, verifiers: u32) -> Plan {
    let part = |price, stake| Part {
        behaviour: None,
        price: hundredths(price),
        stake,
    };
    Plan {
        seed,
        workers: PRICES.map(|price| part(price, WORKER_STAKE)).to_vec(),
        verifiers: (0..verifiers).map(|_| part(0, VERIFIER_STAKE)).collect(),
        buyers: 1,
        models: false,
        params: &[],
    }
}

pub(super) fn float(amount: Amount) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "amounts of a story are below 2^53"
    )]
    {
        signed(amount) as f64
    }
}

/// A share in basis points.
pub(super) fn share(params: &Params, name: &str) -> f64 {
    governed(params, name) / 10_000.0
}

pub(super) fn governed(params: &Params, name: &str) -> f64 {
    let values = params.values();
    let found = values.iter().find(|(known, _)| *known == name);
    #[expect(clippy::cast_precision_loss, reason = "governed values are below 2^53")]
    {
        found.expect("the ledger has the parameter").1 as f64
    }
}

fn work(seed: u64, number: usize, kind: KindId) -> Work {
    if kind == Chat::ID {
        Work::chat(&scenarios::question(seed, number))
    } else {
        Work::text(&scenarios::text(seed, number, LINES))
    }
}

pub(super) async fn buy(town: &Town, seed: u64, (orders, kind): (u32, KindId)) -> Amount {
    let patron = &town.patron(1);
    let posting = (0..orders).map(|number| async move {
        let number = usize::try_from(number).expect("few orders");
        patron.post(&work(seed, number, kind)).await
    });
    join_all(posting).await;
    town.settle().await;
    patron.worth_of_settled()
}

/// What one order may cost at a worker's price.
fn quote(town: &Town, work: &Work, price: u64) -> f64 {
    float(town.patron(1).quote(work, hundredths(price)))
}

/// A worker cheats at one order and is found for sure: it loses the quote that was at stake and the share of its stake.
pub(super) fn worker(seed: u64, cheats: bool, behaviour: Behaviour) -> Outcome {
    let kind = if behaviour.is_about_models() {
        Chat::ID
    } else {
        Text::ID
    };
    cheating_worker(
        seed,
        kind,
        (cheats.then(|| behaviour.twist()), WORKER_STAKE),
        |params, quote, stake| {
            if behaviour == Behaviour::WithheldReceipt {
                let penalty = quote * share(params, "late_penalty_bps");
                return penalty.max(governed(params, "late_penalty_min"));
            }
            quote + stake * share(params, "slash_share_bps")
        },
    )
}

/// The same, and it unbonds what it can before it is found.
pub(super) fn fleeing_stake(seed: u64, cheats: bool) -> Outcome {
    let twist = cheats.then(|| -> Arc<dyn Twist> { Arc::new(FleeingStake { unbonds: FLEEING }) });
    cheating_worker(
        seed,
        Text::ID,
        (twist, FLEEING_STAKE),
        |params, quote, stake| quote + stake * share(params, "slash_share_bps"),
    )
}

fn cheating_worker(
    seed: u64,
    kind: KindId,
    (twist, stake): (Option<Arc<dyn Twist>>, Amount),
    expected: impl Fn(&Params, f64, f64) -> f64,
) -> Outcome {
    let mut plan = plan(seed, HONEST_VERIFIERS);
    plan.workers[0].stake = stake;
    let cheats: Cheats = twist
        .map(|twist| (names::worker(1), twist))
        .into_iter()
        .collect();
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, kind, cheats).await;
        let right = buy(&town, seed, (1, kind)).await;
        let quote = quote(&town, &work(seed, 0, kind), PRICES[0]);
        let expected = expected(&town.chain.params(), quote, float(stake));
        let told = Told {
            expected,
            right,
            ..Told::default()
        };
        read(&town, &[Town::worker(1)], told)
    })
}

/// A verifier cheats whenever it is drawn. Of eight with equal stake two are drawn for each order, the cheat with probability 1/4; each
/// time it loses a share of what is left of its stake: in the mean S·(1 − (1 − share/4)^orders).
pub(super) fn verifier(seed: u64, cheats: bool, behaviour: Behaviour) -> Outcome {
    let plan = plan(seed, HONEST_VERIFIERS + 1);
    let twists: Cheats = cheats
        .then(|| (names::verifier(1), behaviour.twist()))
        .into_iter()
        .collect();
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, Text::ID, twists).await;
        let right = buy(&town, seed, (ORDERS, Text::ID)).await;
        let params = town.chain.params();
        let lost = if behaviour == Behaviour::LyingVerifier {
            share(&params, "wrong_verdict_bps")
        } else {
            share(&params, "missing_verdict_bps")
        };
        let drawn = governed(&params, "first_draw") / f64::from(HONEST_VERIFIERS + 1);
        let kept = (1.0 - drawn * lost).powi(i32::try_from(ORDERS).expect("few orders"));
        let told = Told {
            expected: float(VERIFIER_STAKE) * (1.0 - kept),
            right,
            ..Told::default()
        };
        read(&town, &[Town::verifier(1)], told)
    })
}

/// A worker tells one verifier its trace. The other of the first draw is honest, so five others decide; the colluding one is drawn for the
/// first or the dispute with probability 2/8 + 6/8 · 5/6, and votes with the worker.
pub(super) fn collusion(seed: u64, cheats: bool) -> Outcome {
    let plan = plan(seed, HONEST_VERIFIERS + 1);
    let mut twists = Cheats::new();
    if cheats {
        let channel = Arc::new(PrivateChannel::default());
        let friend = ColludingVerifier(Arc::clone(&channel));
        twists.insert(names::worker(1), Arc::new(Collusion(channel)));
        twists.insert(names::verifier(1), Arc::new(friend));
    }
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, Text::ID, twists).await;
        let right = buy(&town, seed, (1, Text::ID)).await;
        let params = town.chain.params();
        let pool = f64::from(HONEST_VERIFIERS + 1);
        let first = governed(&params, "first_draw") / pool;
        let others = pool - governed(&params, "first_draw");
        let votes = first + (1.0 - first) * governed(&params, "dispute_draw") / others;
        let told = Told {
            expected: quote(&town, &work(seed, 0, Text::ID), PRICES[0])
                + float(WORKER_STAKE) * share(&params, "slash_share_bps")
                + votes * float(VERIFIER_STAKE) * share(&params, "wrong_verdict_bps"),
            right,
            ..Told::default()
        };
        let adversaries: [Address; 2] = [Town::worker(1), Town::verifier(1)];
        read(&town, &adversaries, told)
    })
}

/// A verifier takes the word of a worker that tells all, and of what it tells plants one in a hundred. Of what is planted the verifier is drawn for the first draw of a quarter,
/// with an honest one who disagrees; in the dispute it computes. All that it earns is gain, and is counted as measured: the formula is about its stake.
pub(super) fn listening_verifier(seed: u64, cheats: bool) -> Outcome {
    let plan = plan(seed, HONEST_VERIFIERS + 1);
    let channel = Arc::new(PrivateChannel::default());
    let secret = Digest::of_blob(&seed.to_be_bytes());
    let planter = Arc::new(Planter::new(Arc::clone(&channel), secret, PLANTED_BPS));
    let mut twists = Cheats::new();
    if cheats {
        let planter: Arc<dyn Twist> = planter.clone();
        twists.insert(names::worker(1), planter);
        twists.insert(
            names::verifier(1),
            Arc::new(ListeningVerifier::new(channel)),
        );
    }
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, Text::ID, twists).await;
        let right = buy(&town, seed, (TOLD_ORDERS, Text::ID)).await;
        let params = town.chain.params();
        let drawn = governed(&params, "first_draw") / f64::from(HONEST_VERIFIERS + 1);
        let lost = share(&params, "wrong_verdict_bps");
        let planted = i32::try_from(planter.planted()).expect("few orders");
        let kept = (1.0 - drawn * lost).powi(planted);
        let told = Told {
            expected: float(VERIFIER_STAKE) * (1.0 - kept)
                - base_units(earned(&town, Town::verifier(1))),
            right,
            planter: cheats.then(|| Town::worker(1)),
            ..Told::default()
        };
        read(&town, &[Town::verifier(1)], told)
    })
}

/// The texts of a story.
pub(super) fn texts(seed: u64, count: usize) -> Vec<Work> {
    (0..count)
        .map(|number| work(seed, number, Text::ID))
        .collect()
}

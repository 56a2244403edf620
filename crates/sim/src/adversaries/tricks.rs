//! Stories of buyers that cheat.

use super::{
    Cheats, Outcome, Patron, Town,
    lanes::CAP,
    measure::{Told, read},
    orders::{buy, float, governed, plan, share, texts},
};
use crate::{
    Work,
    byzantine::{
        absent_spec, early_close, frivolous_challenger, hidden_spec, overdrawing_buyer,
        replaying_buyer, unfunded_buyer, unpaying_buyer, wash_trader,
    },
    scenarios,
    world::play_long,
};
use fairweir_services::{
    Kind as _,
    inference::chat::Chat,
    session::{CREDIT_CHUNK, LaneTerms},
    text::Text,
};
use fairweir_types::{Amount, Units, limits::SPEC_INLINE_BYTES_MAX, order::KindId};

/// Seven honest verifiers: two, and five for a dispute.
const VERIFIERS: u32 = 7;
/// Requests of a session.
const REQUESTS: usize = 5;
/// Lines of a text that is too long for a block.
const LONG_LINES: usize = 30;

/// How a buyer cheats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trick {
    /// [`unpaying_buyer`].
    Unpaying,
    /// [`early_close`].
    EarlyClose,
    /// [`overdrawing_buyer`].
    Overdrawing,
    /// [`replaying_buyer`].
    Replaying,
    /// [`unfunded_buyer`].
    Unfunded,
    /// [`frivolous_challenger`].
    Challenger,
    /// [`absent_spec`].
    AbsentSpec,
    /// [`hidden_spec`].
    HiddenSpec,
    /// [`wash_trader`].
    WashTrader,
}

/// What a buyer pays besides work and the fees of its transactions: what was burned, and checks, less what a worker paid of them.
fn overhead(town: &Town) -> f64 {
    let buyer = Town::buyer(1);
    float(town.chain.burned_and_checks(buyer)) - float(town.chain.workers_part(buyer))
}

/// The checks and the link of a sampled batch of requests that are no dearer than this: what its worker pays at most where the lane keeps too little.
fn checks_of(town: &Town, dearest: Amount) -> Amount {
    let params = town.chain.params();
    let each = float(dearest) * share(&params, "check_fee_bps");
    let each = each.max(governed(&params, "check_fee_min"));
    let link = governed(&params, "link_fee");
    let checks = governed(&params, "first_draw") * each + link;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "half of a request of far less than a coin"
    )]
    Amount::from_base_units(checks.ceil() as u64 + 2).expect("it is little")
}

/// A buyer plays its trick, or, in the twin of the challenger, buys what is challenged.
pub(super) fn buyer(seed: u64, cheats: bool, trick: Trick) -> Outcome {
    let kind: KindId = if trick == Trick::Unpaying {
        Chat::ID
    } else {
        Text::ID
    };
    let plan = plan(seed, VERIFIERS);
    play_long(seed, |context| async move {
        let town = Town::boot(&context, &plan, kind, Cheats::new()).await;
        let mut patron = town.patron(1);
        let works = texts(seed, REQUESTS);
        match trick {
            Trick::Challenger => return challenged(&town, &patron, (seed, cheats)).await,
            Trick::AbsentSpec | Trick::HiddenSpec => {
                return unread(&town, &patron, (seed, trick)).await;
            }
            _ => {}
        }
        let mut ahead = Amount::ZERO;
        let received = match trick {
            Trick::Unpaying => {
                let long = Work::chat(&scenarios::long_question(seed));
                patron.open_session(&long, CAP, CREDIT_CHUNK).await;
                ahead = patron.ahead(&long, CREDIT_CHUNK);
                town.heard().await;
                unpaying_buyer(&mut patron, &long).await
            }
            Trick::EarlyClose | Trick::Overdrawing | Trick::Replaying => {
                let received = session(&town, &mut patron, (trick, &works)).await;
                let each = works
                    .iter()
                    .map(|work| patron.ahead(work, LaneTerms::WHOLE));
                ahead = each.max().unwrap_or_default();
                if trick == Trick::Overdrawing {
                    // What its vouchers say beyond the cap is refused before any work.
                    ahead = checks_of(&town, ahead);
                }
                received
            }
            Trick::Unfunded => {
                unfunded_buyer(&patron, &works[0]).await;
                Amount::ZERO
            }
            Trick::WashTrader => {
                wash_trader(&patron, &works).await;
                Amount::ZERO
            }
            Trick::Challenger | Trick::AbsentSpec | Trick::HiddenSpec => {
                unreachable!("they were told above")
            }
        };
        if !matches!(
            trick,
            Trick::Unfunded | Trick::WashTrader | Trick::EarlyClose
        ) {
            patron.close().await;
        }
        town.settle().await;
        let told = Told {
            received,
            ahead,
            expected: overhead(&town),
            ..Told::default()
        };
        let mut adversaries = vec![Town::buyer(1)];
        if trick == Trick::WashTrader {
            adversaries.push(Town::worker(1));
        }
        read(&town, &adversaries, told)
    })
}

async fn session(town: &Town, patron: &mut Patron, (trick, works): (Trick, &[Work])) -> Amount {
    let longest = works.iter().max_by_key(|work| work.spec.len());
    let longest = longest.expect("there are some").clone();
    let chunk: Units = LaneTerms::WHOLE;
    // Enough for the first ones alone.
    let cap = if trick == Trick::Overdrawing {
        patron.quote_at_most(&longest)
    } else {
        CAP
    };
    patron.open_session(&longest, cap, chunk).await;
    town.heard().await;
    match trick {
        Trick::Overdrawing => {
            patron.forget_cap();
            overdrawing_buyer(patron, works).await
        }
        Trick::Replaying => replaying_buyer(patron, works).await,
        _ => early_close(patron, works).await,
    }
}

/// The loser of a challenge pays the checks of all whom it called.
async fn challenged(town: &Town, patron: &Patron, (seed, cheats): (u64, bool)) -> Outcome {
    if cheats {
        let order = patron.post(&texts(seed, 1)[0]).await;
        frivolous_challenger(patron, order).await;
        town.settle().await;
    } else {
        buy(town, seed, (1, Text::ID)).await;
    }
    let params = town.chain.params();
    let quote = float(patron.quote_at_most(&texts(seed, 1)[0]));
    let check = (quote * share(&params, "check_fee_bps")).max(governed(&params, "check_fee_min"));
    let told = Told {
        expected: governed(&params, "dispute_draw") * check,
        ..Told::default()
    };
    read(town, &[Town::buyer(1)], told)
}

/// Who looks in vain for a spec that is a blob is paid the least that a check earns, by the buyer.
async fn unread(town: &Town, patron: &Patron, (seed, trick): (u64, Trick)) -> Outcome {
    let work = Work::text(&scenarios::text(seed, 0, LONG_LINES));
    assert!(work.spec.len() > SPEC_INLINE_BYTES_MAX, "it is a blob");
    let (leave, hide) = (|| town.leave(&work.spec), || town.take_away(&work.spec));
    if trick == Trick::AbsentSpec {
        absent_spec(patron, &work).await;
    } else {
        hidden_spec(patron, &work, (leave, hide)).await;
    }
    town.settle().await;
    let params = town.chain.params();
    let looked = governed(&params, "first_draw") + governed(&params, "dispute_draw");
    let (expected, friends) = match trick {
        Trick::AbsentSpec => (0.0, Vec::new()),
        _ => (
            looked * governed(&params, "check_fee_min"),
            vec![Town::worker(1)],
        ),
    };
    let adversaries: Vec<_> = [Town::buyer(1)].into_iter().chain(friends).collect();
    let told = Told {
        expected,
        ..Told::default()
    };
    read(town, &adversaries, told)
}

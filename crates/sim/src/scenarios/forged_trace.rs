//! A worker hands in a trace that is not that of its computation, loses the vote, and takes it to the referee with a forged run: there it loses
//! its deposit too.

use super::wrong_output;
use crate::byzantine::Behaviour;
use fairweir_types::event::{AppealOutcome, RefundReason, SlashReason};

pub(super) fn run(seed: u64) {
    let story = wrong_output::told_of(
        seed,
        Behaviour::ForgedTrace,
        (RefundReason::Invalid, SlashReason::WrongTrace),
        &[
            "Disputed",
            "Judged",
            "Appealed",
            "AppealNarrowed",
            "AppealDecided",
            "Slashed",
            "Refunded",
            "OrderClosed",
        ],
    );
    assert_eq!(story.appeals(), [AppealOutcome::AppellantWrong]);
}

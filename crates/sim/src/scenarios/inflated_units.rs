//! A worker charges for more units than the work took. Its output is right, and still it is judged wrong.

use crate::byzantine::Behaviour;
use fairweir_types::event::{RefundReason, SlashReason};

pub(super) fn run(seed: u64) {
    super::wrong_output::told_of(
        seed,
        Behaviour::InflatedUnits,
        (RefundReason::Invalid, SlashReason::WrongTrace),
        &[
            "Matched",
            "ReceiptOpened",
            "Disputed",
            "Judged",
            "Slashed",
            "Refunded",
        ],
    );
}

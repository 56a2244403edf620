//! A worker hands in a receipt and does not open it. That costs as much as the worst fault.

use crate::byzantine::Behaviour;
use fairweir_types::event::{RefundReason, SlashReason};

pub(super) fn run(seed: u64) {
    super::wrong_output::told_of(
        seed,
        Behaviour::WithheldOpening,
        (RefundReason::Unopened, SlashReason::Unopened),
        &[
            "ReceiptSubmitted",
            "VerdictCommitted",
            "OpeningDue",
            "Judged",
            "Slashed",
            "Refunded",
        ],
    );
}

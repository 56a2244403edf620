//! A verifier commits and keeps silent. The window runs out, five others decide, and silence costs stake.

use crate::byzantine::Behaviour;
use fairweir_types::event::SlashReason;

pub(super) fn run(seed: u64) {
    super::lying_verifier::told_of(
        seed,
        Behaviour::SilentVerifier,
        SlashReason::VerdictMissing,
        &[
            "VerdictCommitted",
            "RevealDue",
            "Slashed",
            "Disputed",
            "Judged",
            "Settled",
        ],
    );
}

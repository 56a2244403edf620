//! A verifier does no work: it commits to what it saw on the chain and reveals what the worker opened. Its commitment does
//! not open to that, so it counts as silent.

use crate::byzantine::Behaviour;
use fairweir_types::event::SlashReason;

pub(super) fn run(seed: u64) {
    super::lying_verifier::told_of(
        seed,
        Behaviour::CopyingVerifier,
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

//! Judging work: draw, commit, open, reveal, decide (protocol rules 4, 5 and 7).
//!
//! Verifiers commit to their own trace before the worker opens its own, so that nobody can copy. If both of the first
//! draw agree with the worker the work is valid. Else five others decide, by at least four. Without that many eligible
//! verifiers, or without that many votes for one trace, the buyer is refunded and nobody is slashed for the work.
//!
//! It deliberately does not know what a trace is: a kind of service makes it, and equal work makes equal traces.

mod challenge;
mod commit_verdict;
mod draw;
mod error;
mod judge;
mod open_receipt;
mod reveal_verdict;
mod window;

pub(crate) use challenge::challenge;
pub(crate) use commit_verdict::commit_verdict;
pub(crate) use draw::{begin_commit, choose, draw};
pub use error::VerificationError;
pub(crate) use judge::{conclude, slash_unlinked, unopened};
pub(crate) use open_receipt::open_receipt;
pub(crate) use reveal_verdict::reveal_verdict;
pub(crate) use window::{begin_reveal, window_ended};

use crate::market::{Draw, Phase, Slot};
use fairweir_types::receipt::Tier;

impl Slot {
    /// The verifiers of a draw.
    pub(crate) fn draw_of(&mut self, tier: Tier) -> &mut Draw {
        match tier {
            Tier::First => &mut self.first,
            Tier::Dispute => &mut self.dispute,
        }
    }
}

/// The phase in which verifiers of a draw commit.
const fn committing(tier: Tier) -> Phase {
    match tier {
        Tier::First => Phase::Committing,
        Tier::Dispute => Phase::DisputeCommitting,
    }
}

/// The phase in which verifiers of a draw reveal.
const fn revealing(tier: Tier) -> Phase {
    match tier {
        Tier::First => Phase::Revealing,
        Tier::Dispute => Phase::DisputeRevealing,
    }
}

//! Actions about validators.

use crate::{codec::record, double_vote::DoubleVote};

/// Shows that a validator voted twice; anybody may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDoubleVote {
    /// The two votes.
    pub evidence: DoubleVote,
}
record!(ReportDoubleVote { evidence });

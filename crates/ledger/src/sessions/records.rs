//! What a slot holds besides when it is a lane or a batch.

use crate::state::state_record;
use fairweir_types::{
    Address, Amount, BoundedVec, Height, Millis,
    limits::{BATCH_SAMPLES_MAX, DRAWN_MAX},
    order::SlotId,
    session::{Numbers, SampledLeaf},
    sum_tree::SumNode,
};

/// A lane of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// The chain time at which it closes by itself.
    pub until: Millis,
    /// What its batches claimed together, whatever became of them.
    pub claimed: Amount,
    /// What of its cap and reserve is still held by the session's order.
    pub left: Amount,
    /// What of `left` is for fees and checks alone.
    pub reserve: Amount,
    /// Batches posted.
    pub batches: u32,
    /// The least number that the requests of its next batch may have: above all that were claimed.
    pub next_request: u64,
    /// Batches that wait for their settlement.
    pub open_batches: u32,
    /// Whether a batch of it was judged wrong or not shown: it takes no more.
    pub has_failed: bool,
}
state_record!(Lane {
    until,
    claimed,
    left,
    reserve,
    batches,
    next_request,
    open_batches,
    has_failed
});

/// A batch of a lane's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its lane.
    pub lane: SlotId,
    /// The root over its leaves, with what they cost together.
    pub root: SumNode,
    /// How many leaves it has.
    pub count: u32,
    /// Which numbers they have.
    pub numbers: Numbers,
    /// What its worker gets when it is right.
    pub pay: Amount,
    /// The block that draws its samples; zero before that was drawn.
    pub draws_at: Height,
    /// The drawn offsets into what it costs, ascending: the leaves that cover them are checked.
    pub samples: BoundedVec<Amount, BATCH_SAMPLES_MAX>,
    /// Of each, in their order, once they are shown.
    pub leaves: BoundedVec<SampledLeaf, BATCH_SAMPLES_MAX>,
    /// Who let the dispute's verifiers read what was shown.
    pub sharers: BoundedVec<Address, DRAWN_MAX>,
}
state_record!(Batch {
    lane,
    root,
    count,
    numbers,
    pay,
    draws_at,
    samples,
    leaves,
    sharers
});

//! What a slot holds besides when it is a lane or a batch.

use super::links::LinkAsked;
use crate::state::state_record;
use fairweir_types::{
    Address, Amount, BoundedVec, Digest, Height, Millis,
    limits::{BATCH_SAMPLES_MAX, BATCH_VOICES_MAX, DRAWN_MAX},
    order::SlotId,
    session::{Numbers, SampleTraces, SampledLeaf, batch_trace},
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
    /// The block that draws its verifiers; zero before that was drawn.
    pub draws_at: Height,
    /// What its beacon gave for the draw of the samples; zeros before.
    pub seed: Digest,
    /// The link that one of its verifiers is asked for.
    pub link: Option<LinkAsked>,
    /// The drawn offsets into what it costs, ascending: the leaves that cover them are checked.
    pub samples: BoundedVec<Amount, BATCH_SAMPLES_MAX>,
    /// What each check earns, if nothing was drawn and the buyer chose what is checked: its deposit pays them then, unless the work is wrong.
    pub chosen_check: Option<Amount>,
    /// Of each, in their order, once they are shown.
    pub leaves: BoundedVec<SampledLeaf, BATCH_SAMPLES_MAX>,
    /// Who let the dispute's verifiers read what was shown.
    pub sharers: BoundedVec<Address, DRAWN_MAX>,
    /// What its worker and its verifiers found of the samples; what several found once.
    pub found: BoundedVec<Found, BATCH_VOICES_MAX>,
}
state_record!(Batch {
    lane,
    root,
    count,
    numbers,
    pay,
    draws_at,
    seed,
    link,
    samples,
    chosen_check,
    leaves,
    sharers,
    found
});

/// What somebody found of a batch's samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The trace of the batch.
    pub trace: Digest,
    /// Those of its samples, of which it is made.
    pub samples: SampleTraces,
}
state_record!(Found { trace, samples });

impl Batch {
    /// Writes down what somebody found, if the batch's trace is made of it.
    pub(crate) fn hear(
        &mut self,
        slot_id: &SlotId,
        trace: &Digest,
        samples: &SampleTraces,
    ) -> bool {
        let is_whole = samples.len() == self.samples.len();
        if !is_whole || batch_trace(slot_id, samples.iter()) != *trace {
            return false;
        }
        let found = Found {
            trace: *trace,
            samples: samples.clone(),
        };
        // There are no more voices than there is room for.
        self.samples_of(trace).is_some() || self.found.push(found).is_ok()
    }

    /// The traces of the samples that a trace of the batch is made of.
    pub(crate) fn samples_of(&self, trace: &Digest) -> Option<&[Digest]> {
        let found = self.found.iter().find(|found| found.trace == *trace);
        found.map(|found| found.samples.as_slice())
    }
}

//! What the ledger did with sessions: lanes and batches.

use super::Payment;
use crate::{
    amount::Amount,
    bounded::BoundedVec,
    codec::record,
    digest::Digest,
    hash_chain::HashChain,
    keys::Address,
    limits::{BATCH_SAMPLES_MAX, DRAWN_MAX},
    order::{Demand, KindId, PriceVector, SlotId},
    quantity::Millis,
    receipt::Randomness,
    session::{Numbers, Payers, Reader, SampledLeaf, Wrap},
    sum_tree::SumNode,
};

/// A lane of a session serves requests from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneOpened {
    /// The lane.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// Who may ask and pay.
    pub payers: Payers,
    /// The kind of service.
    pub kind: KindId,
    /// The version of the kind that its requests follow.
    pub version: u16,
    /// The worker's prices.
    pub prices: PriceVector,
    /// The most that one request may take.
    pub demand: Demand,
    /// The most that all requests may cost together.
    pub cap: Amount,
    /// The chain time at which the lane closes by itself.
    pub until: Millis,
}
record!(LaneOpened {
    slot_id,
    worker,
    payers,
    kind,
    version,
    prices,
    demand,
    cap,
    until
});

/// The cap of a lane was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneToppedUp {
    /// The lane.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// The session's buyer.
    pub payer: Address,
    /// The most that all requests may cost together from here on.
    pub cap: Amount,
    /// What was locked for it, the reserve for fees and checks included.
    pub locked: Amount,
}
record!(LaneToppedUp {
    slot_id,
    worker,
    payer,
    cap,
    locked
});

/// A lane takes no more requests; its worker may still claim payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneClosing {
    /// The lane.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// The chain time until which batches are taken.
    pub until: Millis,
}
record!(LaneClosing {
    slot_id,
    worker,
    until
});

/// A lane left the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneClosed {
    /// The lane.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// What its batches claimed together.
    pub claimed: Amount,
    /// What of its budget went back to the payers.
    pub returned: Amount,
}
record!(LaneClosed {
    slot_id,
    worker,
    claimed,
    returned
});

/// A worker claimed payment for requests of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPosted {
    /// The batch.
    pub slot_id: SlotId,
    /// Its lane.
    pub lane: SlotId,
    /// Its number in the lane, from 0.
    pub number: u32,
    /// The worker.
    pub worker: Address,
    /// The root over the requests' leaves, with what they cost together.
    pub root: SumNode,
    /// How many leaves it has.
    pub count: u32,
    /// Which numbers they have.
    pub numbers: Numbers,
}
record!(BatchPosted {
    slot_id,
    lane,
    number,
    worker,
    root,
    count,
    numbers
});

/// The verifiers of a batch were drawn; one of them must reveal a link of its hash chain before anybody can know which requests are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkDue {
    /// The batch.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// What the beacon gave for the draw of the samples.
    pub seed: Digest,
    /// The verifier.
    pub verifier: Address,
    /// Its chain.
    pub hash_chain: HashChain,
    /// Which link of it, from 1.
    pub index: u32,
    /// The chain time until which it must be revealed.
    pub due: Millis,
}
record!(LinkDue {
    slot_id,
    worker,
    seed,
    verifier,
    hash_chain,
    index,
    due
});

/// A verifier revealed the link that a batch waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRevealed {
    /// The batch.
    pub slot_id: SlotId,
    /// The verifier.
    pub verifier: Address,
    /// The link.
    pub link: Digest,
}
record!(LinkRevealed {
    slot_id,
    verifier,
    link
});

/// No request of a batch was drawn for a check: it waits for its time and is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingDrawn {
    /// The batch.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
}
record!(NothingDrawn { slot_id, worker });

/// The buyer of a batch of which nothing was drawn has one of its requests checked, and risks a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleChosen {
    /// The batch.
    pub slot_id: SlotId,
    /// Its buyer.
    pub buyer: Address,
    /// The offset into what the batch costs: the leaf that covers it is meant.
    pub at: Amount,
}
record!(SampleChosen { slot_id, buyer, at });

/// Requests of a batch were drawn for a check, or one was chosen; its worker must show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavesDue {
    /// The batch.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// The drawn offsets into what the batch costs, ascending: of each the leaf is meant that covers it.
    pub samples: BoundedVec<Amount, BATCH_SAMPLES_MAX>,
    /// The batch's verifiers, to whom they are shown.
    pub readers: BoundedVec<Reader, DRAWN_MAX>,
    /// The chain time until which they must be shown.
    pub due: Millis,
}
record!(LeavesDue {
    slot_id,
    worker,
    samples,
    readers,
    due
});

/// A worker showed the sampled leaves of a batch: all that its verifiers need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavesShown {
    /// The batch.
    pub slot_id: SlotId,
    /// Its lane.
    pub lane: SlotId,
    /// The worker.
    pub worker: Address,
    /// Who may ask and pay.
    pub payers: Payers,
    /// The kind of service.
    pub kind: KindId,
    /// The version of the kind that its requests follow.
    pub version: u16,
    /// The worker's prices.
    pub prices: PriceVector,
    /// The most that one request may take.
    pub demand: Demand,
    /// The root over the requests' leaves, with what they cost together.
    pub root: SumNode,
    /// How many leaves it has.
    pub count: u32,
    /// Which numbers they have.
    pub numbers: Numbers,
    /// The drawn offsets into what the batch costs, ascending: of each the leaf is meant that covers it.
    pub samples: BoundedVec<Amount, BATCH_SAMPLES_MAX>,
    /// Of each, in their order, what opens later.
    pub leaves: BoundedVec<SampledLeaf, BATCH_SAMPLES_MAX>,
    /// The digest of the encoded [`crate::session::ShownLeaves`].
    pub shown: Digest,
    /// The blob digest of the encoded [`crate::session::SealedLeaves`].
    pub sealed: Digest,
    /// To whom they are sealed.
    pub readers: BoundedVec<Reader, DRAWN_MAX>,
}
record!(LeavesShown {
    slot_id,
    lane,
    worker,
    payers,
    kind,
    version,
    prices,
    demand,
    root,
    count,
    numbers,
    samples,
    leaves,
    shown,
    sealed,
    readers
});

/// The verifiers of a dispute over a batch were drawn; whoever can read what was shown must let them read it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharingDue {
    /// The batch.
    pub slot_id: SlotId,
    /// Its worker.
    pub worker: Address,
    /// The dispute's verifiers.
    pub readers: BoundedVec<Reader, DRAWN_MAX>,
    /// The chain time until which somebody must share.
    pub due: Millis,
}
record!(SharingDue {
    slot_id,
    worker,
    readers,
    due
});

/// The verifiers of a dispute were given the content key of a batch's shown leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavesShared {
    /// The batch.
    pub slot_id: SlotId,
    /// Who gave it: the worker, or a verifier of the first draw.
    pub sender: Address,
    /// The key for each of them, in their order.
    pub wraps: BoundedVec<Wrap, DRAWN_MAX>,
}
record!(LeavesShared {
    slot_id,
    sender,
    wraps
});

/// A batch was settled: its worker is paid. This is the leaf that the proof of a session's receipt leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSettled {
    /// The batch.
    pub slot_id: SlotId,
    /// Its lane.
    pub lane: SlotId,
    /// Its buyer, with the delegate if there is one.
    pub payers: Payers,
    /// The root over the requests' leaves, with what they cost together.
    pub root: SumNode,
    /// How many leaves it has.
    pub count: u32,
    /// The drawn offsets, ascending: the leaves that cover them were checked.
    pub samples: BoundedVec<Amount, BATCH_SAMPLES_MAX>,
    /// To the worker.
    pub paid: Payment,
    /// To the verifiers, for their checks and the link.
    pub checks: BoundedVec<Payment, { DRAWN_MAX * 2 }>,
    /// The settlement fee, burned.
    pub burned: Amount,
    /// What of the part for checks goes back to the buyer.
    pub returned: Amount,
    /// Verifiers that re-executed the samples and agree with the worker.
    pub recomputed_by: u16,
    /// Whether a dispute decided.
    pub disputed: bool,
    /// Where the randomness of the draws came from.
    pub randomness: Randomness,
}
record!(BatchSettled {
    slot_id,
    lane,
    payers,
    root,
    count,
    samples,
    paid,
    checks,
    burned,
    returned,
    recomputed_by,
    disputed,
    randomness
});

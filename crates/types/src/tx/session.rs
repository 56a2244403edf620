//! Actions about sessions: lanes and batches.

use crate::{
    amount::Amount,
    bounded::BoundedVec,
    codec::record,
    digest::Digest,
    limits::{BATCH_SAMPLES_MAX, DRAWN_MAX},
    order::{OrderId, SlotId},
    session::{LeafOpening, Numbers, SampledLeaf, SignedVoucher, Wrap},
};

/// Claims payment for requests of a lane; sent by its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostBatch {
    /// The lane.
    pub lane: SlotId,
    /// How many batches the lane had before, so that none is taken twice.
    pub number: u32,
    /// The digest of the Merkle sum root over the requests' leaves (protocol rule 2).
    pub root: Digest,
    /// How many leaves it has; more than zero.
    pub count: u32,
    /// Which numbers they have, all above those that the lane claimed before.
    pub numbers: Numbers,
    /// What they cost together: the root's sum.
    pub total: Amount,
    /// A voucher that covers it and all that the lane claimed before.
    pub voucher: SignedVoucher,
}
record!(PostBatch {
    lane,
    number,
    root,
    count,
    numbers,
    total,
    voucher
});

/// Reveals the link of the sender's hash chain that decides, with the beacon, which leaves of a batch are drawn; sent by one of its verifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevealLink {
    /// The batch.
    pub slot_id: SlotId,
    /// The link that the draw named.
    pub link: Digest,
}
record!(RevealLink { slot_id, link });

/// Shows the sampled leaves of a batch; sent by its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowLeaves {
    /// The batch.
    pub slot_id: SlotId,
    /// The digest of the encoded [`crate::session::ShownLeaves`].
    pub shown: Digest,
    /// The blob digest of the encoded [`crate::session::SealedLeaves`], in which the drawn verifiers can read it.
    pub sealed: Digest,
    /// Of each sample, in their order, what opens later.
    pub leaves: BoundedVec<SampledLeaf, BATCH_SAMPLES_MAX>,
}
record!(ShowLeaves {
    slot_id,
    shown,
    sealed,
    leaves
});

/// Lets the verifiers of a dispute read a batch's shown leaves; sent by its worker, or by a verifier of the first draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareLeaves {
    /// The batch.
    pub slot_id: SlotId,
    /// The content key for each of them, in their order.
    pub wraps: BoundedVec<Wrap, DRAWN_MAX>,
}
record!(ShareLeaves { slot_id, wraps });

/// Opens the commitments of a batch's sampled leaves; sent by its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBatch {
    /// The batch.
    pub slot_id: SlotId,
    /// Of each sample, in their order.
    pub openings: BoundedVec<LeafOpening, BATCH_SAMPLES_MAX>,
}
record!(OpenBatch { slot_id, openings });

/// Closes all lanes of a session; sent by its buyer or delegate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseSession {
    /// The session's order.
    pub order: OrderId,
}
record!(CloseSession { order });

/// Raises the cap of a lane that serves; sent by its session's buyer, or by the delegate that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUpLane {
    /// The lane.
    pub lane: SlotId,
    /// By how much; the reserve for fees and checks comes on top.
    pub amount: Amount,
}
record!(TopUpLane { lane, amount });

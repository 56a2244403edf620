//! What the two sides of an appeal send.

use crate::{
    bounded::{BoundedBytes, BoundedVec},
    codec::record,
    digest::Digest,
    limits::{APPEAL_CHILDREN_MAX, BATCH_LEAVES_MAX, EXHIBIT_BYTES_MAX},
    order::SlotId,
    receipt::{Receipt, SignedReceipt},
    session::{Leaf, SignedRequest},
};

/// Appeals the verdict of a dispute to the referee; sent by whoever loses by it, who risks a deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appeal {
    /// The slot.
    pub slot_id: SlotId,
    /// Of a batch: the sample to play about, one of those about which the sender and the verdict differ. Zero for other work.
    pub sample: u8,
    /// The digest of the sender's whole run; zero where it found that the order must be refused, and where there is no run to show.
    pub run: Digest,
    /// What binds the run to the trace that the sender stands for: the kind's referee reads it. Of a batch it is an encoded [`BoundSample`] where
    /// both sides say what the sample gives. Who says that it was not shown as the root promises has nothing to show; who says otherwise
    /// against that shows a [`BoundLeaf`], and no run.
    pub bound: BoundedBytes<EXHIBIT_BYTES_MAX>,
}
record!(Appeal {
    slot_id,
    sample,
    run,
    bound
});

/// Binds a run to the trace of one sample of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundSample {
    /// The sample's receipt, whose digest stands on the ledger.
    pub receipt: Receipt,
    /// What the kind's referee reads.
    pub bound: BoundedBytes<EXHIBIT_BYTES_MAX>,
}
record!(BoundSample { receipt, bound });

/// Shows that a sampled leaf is as its root promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundLeaf {
    /// All leaves of the batch.
    pub list: BoundedVec<Leaf, BATCH_LEAVES_MAX>,
    /// The leaf's request.
    pub request: SignedRequest,
    /// Its receipt.
    pub receipt: SignedReceipt,
}
record!(BoundLeaf {
    list,
    request,
    receipt
});

/// Defends a verdict that is appealed; sent by whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defend {
    /// The slot.
    pub slot_id: SlotId,
    /// The digest of the sender's whole run; zero as in an [`Appeal`].
    pub run: Digest,
    /// What binds the run to the trace that the verdict is for, as in an [`Appeal`].
    pub bound: BoundedBytes<EXHIBIT_BYTES_MAX>,
}
record!(Defend {
    slot_id,
    run,
    bound
});

/// Opens the sender's node under which the two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenNode {
    /// The slot.
    pub slot_id: SlotId,
    /// How long the path to the node is, so that it is not taken for another.
    pub depth: u8,
    /// The node's children; empty ones behind the last are left out.
    pub children: BoundedVec<Digest, APPEAL_CHILDREN_MAX>,
}
record!(OpenNode {
    slot_id,
    depth,
    children
});

/// Shows the referee what the cell follows from about which the two runs differ; sent by either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// The slot.
    pub slot_id: SlotId,
    /// What the kind's referee reads.
    pub shown: BoundedBytes<EXHIBIT_BYTES_MAX>,
}
record!(Exhibit { slot_id, shown });

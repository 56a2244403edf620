//! What the two sides of an appeal send.

use crate::{
    bounded::{BoundedBytes, BoundedVec},
    codec::record,
    digest::Digest,
    limits::{APPEAL_CHILDREN_MAX, EXHIBIT_BYTES_MAX},
    order::SlotId,
};

/// Appeals the verdict of a dispute to the referee; sent by whoever loses by it, who risks a deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appeal {
    /// The slot.
    pub slot_id: SlotId,
    /// The digest of the sender's whole run; zero where it found that the order must be refused.
    pub run: Digest,
    /// What binds the run to the trace that the sender stands for: the kind's referee reads it.
    pub bound: BoundedBytes<EXHIBIT_BYTES_MAX>,
}
record!(Appeal {
    slot_id,
    run,
    bound
});

/// Defends a verdict that is appealed; sent by whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defend {
    /// The slot.
    pub slot_id: SlotId,
    /// The digest of the sender's whole run; zero where it found that the order must be refused.
    pub run: Digest,
    /// What binds the run to the trace that the verdict is for.
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

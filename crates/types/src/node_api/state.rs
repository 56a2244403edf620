//! Copying the state of a node, in parts that its block headers commit to.

use crate::{
    bounded::BoundedBytes,
    codec::record,
    limits::{STATE_KEY_BYTES_MAX, STATE_PART_BYTES_MAX},
};

/// Asks for operations of the store of the state, with the proof that they belong to the root that it had at a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskState {
    /// How many operations the store had made then: the end of the range in a block's header.
    pub size: u64,
    /// The first operation.
    pub start: u64,
    /// How many at most; the node may give fewer.
    pub max: u32,
    /// Whether it is the one operation at which a copy begins, with the nodes that stand for all before it.
    pub is_boundary: bool,
}
record!(AskState {
    size,
    start,
    max,
    is_boundary
});

/// A part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePart {
    /// Operations and proof, as the store's library encodes them: the asker checks them against the root in a block that is proven final.
    pub bytes: BoundedBytes<STATE_PART_BYTES_MAX>,
}
record!(StatePart { bytes });

/// Asks for a proof of what the newest final state holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskProof {
    /// The key.
    pub key: BoundedBytes<STATE_KEY_BYTES_MAX>,
}
record!(AskProof { key });

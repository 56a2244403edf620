//! The words between a worker's desk and its buyers.

use super::Refusal;
use crate::{
    bounded::{BoundedBytes, BoundedVec},
    codec::{Boxed, choice, record},
    keys::{AccountKey, Address, Signature},
    limits::{BATCH_LEAVES_MAX, BLOB_BYTES_MAX, CHUNK_BYTES_MAX},
    order::SlotId,
    receipt::{Disclosure, Salt, SignedReceipt, SignedStop},
    session::{Ask, Credit, Leaf},
};

/// An output as a worker keeps it for its buyer over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOutput {
    /// Who may have it.
    pub buyer: Address,
    /// What it gets.
    pub delivery: Delivery,
}
record!(KeptOutput { buyer, delivery });

/// A buyer asks the worker for the output of its slot. The signature shows that the asker is the buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRequest {
    /// The slot.
    pub slot_id: SlotId,
    /// The buyer's key.
    pub buyer: AccountKey,
    /// The buyer's signature over the encoded slot id, for the purpose of delivery.
    pub signature: Signature,
}
record!(DeliveryRequest {
    slot_id,
    buyer,
    signature
});

/// What a buyer asks its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskRequest {
    /// Asks for the output of a slot once its receipt is on the ledger.
    Fetch(DeliveryRequest),
    /// Asks for the output chunk by chunk as it comes, then for all of it.
    Follow(DeliveryRequest),
    /// Wants no more output.
    Stop(Boxed<SignedStop>),
    /// One request of a session: chunks and the whole come back on the same stream.
    Ask(Boxed<Ask>),
    /// More credit for a request of a session.
    Credit(Boxed<Credit>),
    /// The leaves of a batch of the buyer's session: until it is settled, and after that as long as the worker has room for them.
    Leaves(DeliveryRequest),
}
choice!(DeskRequest {
    1 => Fetch(DeliveryRequest),
    2 => Follow(DeliveryRequest),
    3 => Stop(Boxed<SignedStop>),
    4 => Ask(Boxed<Ask>),
    5 => Credit(Boxed<Credit>),
    6 => Leaves(DeliveryRequest),
});

/// All leaves of a batch, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLeaves {
    /// The leaves.
    pub leaves: BoundedVec<Leaf, BATCH_LEAVES_MAX>,
}
record!(BatchLeaves { leaves });

/// A part of an output on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// Bytes whose meaning is the kind's.
    pub bytes: BoundedBytes<CHUNK_BYTES_MAX>,
}
record!(OutputChunk { bytes });

/// A worker's output with its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The signed receipt.
    pub receipt: SignedReceipt,
    /// The salt of its commitment.
    pub salt: Salt,
    /// The output.
    pub output: BoundedBytes<BLOB_BYTES_MAX>,
    /// What the worker showed of it to verifiers.
    pub disclosure: Disclosure,
}
record!(Delivery {
    receipt,
    salt,
    output,
    disclosure
});

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named for its payload, which is documented"
)]
pub enum DeliveryReply {
    Refused(Refusal),
    Delivered(Boxed<Delivery>),
    /// More of a followed output.
    Chunk(OutputChunk),
    /// The stop was taken: the worker makes no more than it allows.
    Stopping(SlotId),
    Leaves(BatchLeaves),
}
choice!(DeliveryReply {
    1 => Refused(Refusal),
    2 => Delivered(Boxed<Delivery>),
    3 => Chunk(OutputChunk),
    4 => Stopping(SlotId),
    5 => Leaves(BatchLeaves),
});

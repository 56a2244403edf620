//! Sessions: many requests under one order, paid by vouchers and settled in batches.
//!
//! A session is an order of open rounds; each of its slots is a *lane*, one worker with a cap. A request in a lane is an order of
//! one slot that never reaches the ledger by itself: it has an id, a receipt and a trace like any other. The worker settles many at
//! once: it posts the Merkle sum root of their receipts, and a few that nobody could foresee are checked.

use crate::{
    amount::Amount,
    bounded::{BoundedBytes, BoundedVec},
    codec::{Boxed, choice, record},
    digest::{Digest, Domain},
    keys::{AccountKey, Address, Purpose, SecretKey, Signature},
    limits::{
        BATCH_LEAVES_MAX, BATCH_SAMPLES_MAX, BLOB_BYTES_MAX, DRAWN_MAX, SESSION_SPEC_BYTES_MAX,
    },
    order::{Demand, KindId, OrderId, SlotId},
    quantity::ChainId,
    receipt::{Disclosure, Salt, SignedReceipt, SignedStop},
    sum_tree::{self, SumNode},
};
use commonware_codec::Encode;

mod claim;

pub use claim::{BatchClaim, position_of, root_of};

/// The slot of request number `index` of a lane: what its receipt, its trace's commitment and its stops name.
#[must_use]
pub fn request_slot(lane: &SlotId, index: u64) -> SlotId {
    SlotId {
        order: OrderId(Digest::of(
            Domain::SessionRequest,
            &[&lane.encode(), &index.to_be_bytes()],
        )),
        slot: 0,
    }
}

/// The slot of batch number `number` of a lane: what verifiers are drawn for.
#[must_use]
pub fn batch_slot(lane: &SlotId, number: u32) -> SlotId {
    SlotId {
        order: OrderId(Digest::of(
            Domain::Batch,
            &[&lane.encode(), &number.to_be_bytes()],
        )),
        slot: 0,
    }
}

/// One request of a lane, as its buyer fixes it (protocol rule 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The chain.
    pub chain_id: ChainId,
    /// The lane.
    pub lane: SlotId,
    /// The request's number in the lane. The buyer never uses one twice.
    pub index: u64,
    /// The kind of service.
    pub kind: KindId,
    /// The digest of the spec.
    pub spec_digest: Digest,
    /// The most that it may take.
    pub demand: Demand,
}
record!(Request {
    chain_id,
    lane,
    index,
    kind,
    spec_digest,
    demand
});

/// A request with the signature of the buyer or its delegate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The request.
    pub request: Request,
    /// Who signed.
    pub signer: AccountKey,
    /// The signature over the encoded request.
    pub signature: Signature,
}
record!(SignedRequest {
    request,
    signer,
    signature
});

impl SignedRequest {
    /// Signs a request.
    #[must_use]
    pub fn sign(request: Request, key: &SecretKey) -> Self {
        let signature = key.sign(Purpose::Request, &request.encode());
        Self {
            request,
            signer: key.account_key(),
            signature,
        }
    }

    /// Whether one of `payers` signed it.
    #[must_use]
    pub fn is_signed_by(&self, payers: &Payers) -> bool {
        payers.include(self.signer.address())
            && self
                .signer
                .verify(Purpose::Request, &self.request.encode(), &self.signature)
    }

    /// The slot that the request's receipt names.
    #[must_use]
    pub fn slot_id(&self) -> SlotId {
        request_slot(&self.request.lane, self.request.index)
    }
}

/// Who may ask and pay in a session: its buyer, and the delegate that the buyer named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payers {
    /// The buyer.
    pub buyer: Address,
    /// Its delegate.
    pub delegate: Option<Address>,
}
record!(Payers { buyer, delegate });

impl Payers {
    /// Whether the account is one of them.
    #[must_use]
    pub fn include(&self, account: Address) -> bool {
        account == self.buyer || self.delegate == Some(account)
    }
}

/// A promise to pay: all requests of the lane together, up to so much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The chain.
    pub chain_id: ChainId,
    /// The lane.
    pub lane: SlotId,
    /// The most that the worker may claim in all. It only grows.
    pub cumulative: Amount,
}
record!(Voucher {
    chain_id,
    lane,
    cumulative
});

/// A voucher with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVoucher {
    /// The voucher.
    pub voucher: Voucher,
    /// Who signed.
    pub signer: AccountKey,
    /// The signature over the encoded voucher.
    pub signature: Signature,
}
record!(SignedVoucher {
    voucher,
    signer,
    signature
});

impl SignedVoucher {
    /// Signs a voucher.
    #[must_use]
    pub fn sign(voucher: Voucher, key: &SecretKey) -> Self {
        let signature = key.sign(Purpose::Voucher, &voucher.encode());
        Self {
            voucher,
            signer: key.account_key(),
            signature,
        }
    }

    /// Whether one of `payers` signed it.
    #[must_use]
    pub fn is_signed_by(&self, payers: &Payers) -> bool {
        payers.include(self.signer.address())
            && self
                .signer
                .verify(Purpose::Voucher, &self.voucher.encode(), &self.signature)
    }
}

/// What a batch's root holds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The request's number in the lane.
    pub index: u64,
    /// What it cost: the lane's prices for its metered units, rounded up.
    pub amount: Amount,
    /// The digest of its receipt.
    pub receipt: Digest,
}
record!(Leaf {
    index,
    amount,
    receipt
});

impl Leaf {
    /// Its node in the sum tree.
    #[must_use]
    pub fn node(&self) -> SumNode {
        sum_tree::leaf(&self.encode(), self.amount)
    }
}

/// The numbers of a batch's first and last request. Its leaves ascend by number, with gaps where a request came to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
}
record!(Numbers { first, last });

impl Numbers {
    /// Those of some leaves whose numbers ascend strictly; `None` for none, or when a number comes twice or out of its order.
    #[must_use]
    pub fn of(leaves: &[Leaf]) -> Option<Self> {
        let ascend = leaves
            .iter()
            .zip(leaves.iter().skip(1))
            .all(|(before, after)| before.index < after.index);
        let (first, last) = (leaves.first()?.index, leaves.last()?.index);
        ascend.then_some(Self { first, last })
    }

    /// Whether so many requests, at least one, can have different numbers among these.
    #[must_use]
    pub fn hold(&self, count: u32) -> bool {
        let needed = u64::from(count).saturating_sub(1);
        self.first
            .checked_add(needed)
            .is_some_and(|least| least <= self.last)
    }
}

/// What the ledger is shown of a sampled leaf. Verifiers find whether it is that of the leaf; with it all of the request is fixed but its bytes,
/// so that an appeal is about one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledLeaf {
    /// The request's number in the lane.
    pub index: u64,
    /// Its receipt's commitment to the trace.
    pub commitment: Digest,
    /// The digest of its receipt.
    pub receipt: Digest,
    /// The most that it may take.
    pub demand: Demand,
}
record!(SampledLeaf {
    index,
    commitment,
    receipt,
    demand
});

/// The request of a sampled leaf with all that verifiers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLeaf {
    /// The buyer's request.
    pub request: SignedRequest,
    /// The worker's receipt.
    pub receipt: SignedReceipt,
    /// The spec.
    pub spec: BoundedBytes<SESSION_SPEC_BYTES_MAX>,
    /// What the worker discloses: where it was stopped, and a hint.
    pub disclosure: Disclosure,
}
record!(ShownLeaf {
    request,
    receipt,
    spec,
    disclosure
});

/// What the worker of a batch shows when some of it is drawn.
///
/// The list is whole, so that a number which comes twice is found by whatever sample is drawn, and not by one near it alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownLeaves {
    /// All leaves of the batch, which give its root.
    pub list: BoundedVec<Leaf, BATCH_LEAVES_MAX>,
    /// The request of each sample's leaf, in the order of the samples.
    pub leaves: BoundedVec<ShownLeaf, BATCH_SAMPLES_MAX>,
}
record!(ShownLeaves { list, leaves });

/// A verifier's public key for sealing (X25519): what is encrypted to it, it alone can read.
pub type SealKey = [u8; 32];

/// A content key, encrypted to one reader (HPKE base mode: the encapsulated key, the ciphertext and its tag).
pub type Wrap = [u8; 80];

/// A verifier that may read what a batch's worker shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The verifier.
    pub verifier: Address,
    /// Its key, as it was when it was drawn.
    pub key: SealKey,
}
record!(Reader { verifier, key });

/// The blob in which a worker shows leaves: [`ShownLeaves`] under a content key, which each reader finds in its wrap.
///
/// The wraps follow from content key and readers, so that each reader can tell whether all others can read too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedLeaves {
    /// The content key for each reader, in their order.
    pub wraps: BoundedVec<Wrap, DRAWN_MAX>,
    /// The encrypted encoding (ChaCha20-Poly1305).
    pub bytes: BoundedBytes<BLOB_BYTES_MAX>,
}
record!(SealedLeaves { wraps, bytes });

/// What opens one sampled leaf's commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafOpening {
    /// The salt.
    pub salt: Salt,
    /// The trace.
    pub trace: Digest,
}
record!(LeafOpening { salt, trace });

/// The traces of a batch's sampled leaves, in the order of the samples; none for work that is no batch.
pub type SampleTraces = BoundedVec<Digest, BATCH_SAMPLES_MAX>;

/// The trace of a batch: that of all its sampled leaves together, in their order.
#[must_use]
pub fn batch_trace<'a>(slot_id: &SlotId, traces: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let slot = slot_id.encode();
    let parts: Vec<&[u8]> = core::iter::once(slot.as_ref())
        .chain(traces.into_iter().map(|trace| trace.as_bytes().as_slice()))
        .collect();
    Digest::of(Domain::BatchTrace, &parts)
}

/// The trace that stands for a leaf which was not shown as its root promises: every verifier finds the same one.
#[must_use]
pub fn missing_leaf_trace(slot_id: &SlotId, position: u64) -> Digest {
    Digest::of(
        Domain::BatchTrace,
        &[b"missing", &slot_id.encode(), &position.to_be_bytes()],
    )
}

/// A buyer asks a worker for one request of a lane, and promises to pay for its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The request.
    pub request: SignedRequest,
    /// The spec.
    pub spec: BoundedBytes<SESSION_SPEC_BYTES_MAX>,
    /// What pays for it so far.
    pub credit: Credit,
}
record!(Ask {
    request,
    spec,
    credit
});

/// A promise to pay for so much output of a request: a voucher of the lane that covers it, and the buyer's word how far it goes.
///
/// The word is a stop: where no more credit follows the worker ends there, and can prove that it was allowed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Covers all requests of the lane, this one up to the stop.
    pub voucher: SignedVoucher,
    /// How far this request is paid for.
    pub stop: SignedStop,
}
record!(Credit { voucher, stop });

/// A request that a worker served and has to show if it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRequest {
    /// The request.
    pub request: SignedRequest,
    /// What it cost.
    pub amount: Amount,
    /// Its receipt.
    pub receipt: SignedReceipt,
    /// Its trace.
    pub trace: Digest,
    /// The spec.
    pub spec: BoundedBytes<SESSION_SPEC_BYTES_MAX>,
    /// What the worker discloses.
    pub disclosure: Disclosure,
}
record!(KeptRequest {
    request,
    amount,
    receipt,
    trace,
    spec,
    disclosure
});

impl KeptRequest {
    /// Its leaf.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf {
            index: self.request.request.index,
            amount: self.amount,
            receipt: self.receipt.receipt.digest(),
        }
    }
}

/// Which requests of a lane a worker claims in a batch, in the order of their leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBatch {
    /// The lane.
    pub lane: SlotId,
    /// The batch's number in the lane.
    pub number: u32,
    /// The requests' numbers.
    pub indices: BoundedVec<u64, BATCH_LEAVES_MAX>,
}
record!(KeptBatch {
    lane,
    number,
    indices
});

/// What a worker keeps of its sessions so that a restart loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A request that is not settled.
    Request(Boxed<KeptRequest>),
    /// A batch that is not settled.
    Batch(KeptBatch),
    /// The best voucher of a lane.
    Voucher(Boxed<SignedVoucher>),
}
choice!(Kept {
    1 => Request(Boxed<KeptRequest>),
    2 => Batch(KeptBatch),
    3 => Voucher(Boxed<SignedVoucher>),
});

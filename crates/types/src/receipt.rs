//! Receipts: what a worker signs for work that it did, before anybody may see the trace.

use crate::{
    bounded::BoundedBytes,
    codec::{record, tag},
    digest::{Digest, Domain},
    keys::{AccountKey, Address, Purpose, SecretKey, Signature},
    limits::HINT_BYTES_MAX,
    order::{KindId, SlotId, UnitVector},
    quantity::{ChainId, Units},
};
use commonware_codec::Encode;

/// 32 random bytes that hide a committed value until it is opened.
pub type Salt = [u8; 32];

/// What the worker says that it did.
///
/// It publishes only a salted commitment to the trace, so that a verifier cannot copy it (protocol rule 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The chain.
    pub chain_id: ChainId,
    /// The order and slot.
    pub slot_id: SlotId,
    /// Which assignment of the slot, from 0: a replacement worker has the next number.
    pub attempt: u16,
    /// The kind of service.
    pub kind: KindId,
    /// The version of the kind that it follows.
    pub version: u16,
    /// The digest of the spec that was executed.
    pub spec_digest: Digest,
    /// Metered units.
    pub units: UnitVector,
    /// The blob digest of the encoded [`Disclosure`]; zero when the worker has nothing to disclose.
    pub disclosure: Digest,
    /// `H(worker ‖ slot ‖ attempt ‖ salt ‖ trace)`, see [`output_commitment`].
    pub output_commitment: Digest,
}
record!(Receipt {
    chain_id,
    slot_id,
    attempt,
    kind,
    version,
    spec_digest,
    units,
    disclosure,
    output_commitment
});

impl Receipt {
    /// The receipt's digest: what settlement refers to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_encoded(Domain::Receipt, self)
    }

    /// Whether salt and trace open the commitment as this worker's.
    #[must_use]
    pub fn is_opened_by(&self, worker: Address, salt: &Salt, trace: &Digest) -> bool {
        output_commitment(worker, &self.slot_id, self.attempt, salt, trace)
            == self.output_commitment
    }
}

/// A buyer's word that it pays for no more than so much output of a slot: the worker may stop there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The chain.
    pub chain_id: ChainId,
    /// The order and slot.
    pub slot_id: SlotId,
    /// Which assignment of the slot.
    pub attempt: u16,
    /// Output units that are paid for at most.
    pub output_max: Units,
}
record!(Stop {
    chain_id,
    slot_id,
    attempt,
    output_max
});

/// A stop with its buyer's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedStop {
    /// The stop.
    pub stop: Stop,
    /// The buyer's key.
    pub buyer: AccountKey,
    /// The signature over the encoded stop.
    pub signature: Signature,
}
record!(SignedStop {
    stop,
    buyer,
    signature
});

impl SignedStop {
    /// Signs a stop.
    #[must_use]
    pub fn sign(stop: Stop, key: &SecretKey) -> Self {
        let signature = key.sign(Purpose::Stop, &stop.encode());
        Self {
            stop,
            buyer: key.account_key(),
            signature,
        }
    }

    /// Whether the account signed it.
    #[must_use]
    pub fn is_signed_by(&self, buyer: Address) -> bool {
        self.buyer.address() == buyer
            && self
                .buyer
                .verify(Purpose::Stop, &self.stop.encode(), &self.signature)
    }
}

/// Where a worker stopped, and the buyer's word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Output units made: at most those of the buyer's stop.
    pub at: Units,
    /// The buyer's stop.
    pub stop: SignedStop,
}
record!(Stopped { at, stop });

impl Stopped {
    /// Whether the buyer allowed it for this assignment.
    #[must_use]
    pub fn is_allowed(&self, receipt: &Receipt, buyer: Address) -> bool {
        self.is_allowed_to(receipt, |account| account == buyer)
    }

    /// As [`Self::is_allowed`], for work that more than one account may stop.
    #[must_use]
    pub fn is_allowed_to(&self, receipt: &Receipt, may_stop: impl FnOnce(Address) -> bool) -> bool {
        let stop = &self.stop.stop;
        stop.chain_id == receipt.chain_id
            && stop.slot_id == receipt.slot_id
            && stop.attempt == receipt.attempt
            && self.at <= stop.output_max
            && may_stop(self.stop.buyer.address())
            && self.stop.is_signed_by(self.stop.buyer.address())
    }
}

/// What a worker shows of its work before verifiers commit: where it was stopped, and a hint that makes a check cheaper.
///
/// The hint never changes what a check finds, and a kind whose trace would follow from it gives none (protocol rule 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// Where the buyer stopped it.
    pub stopped: Option<Stopped>,
    /// Bytes whose meaning is the kind's.
    pub hint: BoundedBytes<HINT_BYTES_MAX>,
}
record!(Disclosure { stopped, hint });

impl Disclosure {
    /// Its blob, and the digest that the receipt names: none and zero when there is nothing to show.
    #[must_use]
    pub fn to_blob(&self) -> (Option<Vec<u8>>, Digest) {
        if *self == Self::default() {
            return (None, Digest::ZERO);
        }
        let bytes = self.encode().to_vec();
        let digest = Digest::of_blob(&bytes);
        (Some(bytes), digest)
    }
}

/// A receipt with its worker's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// The worker's key.
    pub worker: AccountKey,
    /// The signature over the encoded receipt.
    pub signature: Signature,
}
record!(SignedReceipt {
    receipt,
    worker,
    signature
});

impl SignedReceipt {
    /// Signs a receipt.
    #[must_use]
    pub fn sign(receipt: Receipt, key: &SecretKey) -> Self {
        let signature = key.sign(Purpose::Receipt, &receipt.encode());
        Self {
            receipt,
            worker: key.account_key(),
            signature,
        }
    }

    /// Whether the signature is the named worker's.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.worker
            .verify(Purpose::Receipt, &self.receipt.encode(), &self.signature)
    }
}

/// The trace of an execution: commits to the spec, the exact output and the metered units.
#[must_use]
pub fn trace(spec_digest: &Digest, output_digest: &Digest, units: &UnitVector) -> Digest {
    Digest::of(
        Domain::Trace,
        &[
            spec_digest.as_bytes(),
            output_digest.as_bytes(),
            &units.encode(),
        ],
    )
}

/// The trace that stands for an order whose spec is beside the chain, and nowhere to be had: every verifier that looked for it finds the same one.
#[must_use]
pub fn missing_spec_trace(slot_id: &SlotId) -> Digest {
    Digest::of(Domain::Trace, &[b"missing spec", &slot_id.encode()])
}

/// What a worker publishes of its trace: `H(worker ‖ slot ‖ attempt ‖ salt ‖ trace)`.
///
/// Only this worker can open it, and only for this assignment (the order's id names the chain), so that a commitment
/// copied from another receipt is worthless.
#[must_use]
pub fn output_commitment(
    worker: Address,
    slot_id: &SlotId,
    attempt: u16,
    salt: &Salt,
    trace: &Digest,
) -> Digest {
    Digest::of(
        Domain::OutputCommitment,
        &[
            &worker.0,
            &slot_id.encode(),
            &attempt.to_be_bytes(),
            salt,
            trace.as_bytes(),
        ],
    )
}

/// What a verifier publishes of its trace: `H(id ‖ nonce ‖ trace)`. The id makes a copied commitment worthless.
#[must_use]
pub fn verdict_commitment(
    verifier: Address,
    slot_id: &SlotId,
    nonce: &Salt,
    trace: &Digest,
) -> Digest {
    Digest::of(
        Domain::VerdictCommitment,
        &[&verifier.0, &slot_id.encode(), nonce, trace.as_bytes()],
    )
}

/// Which draw of verifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The first draw: two verifiers.
    First,
    /// The dispute: five others.
    Dispute,
}
tag!(Tier { 1 => First, 2 => Dispute });

/// What the verifiers found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The trace is right.
    Valid,
    /// The trace is wrong: verifiers agree on another one.
    Invalid,
    /// The worker did not open its commitment in time.
    Unopened,
    /// Too few agreed to decide.
    Undecided,
}
tag!(Verdict { 1 => Valid, 2 => Invalid, 3 => Unopened, 4 => Undecided });

/// Where the randomness of a draw came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Randomness {
    /// Fewer than four validators made the beacon: they could have known it together.
    ValidatorTrusted,
    /// Four or more validators made it.
    Beacon,
}
tag!(Randomness { 1 => ValidatorTrusted, 2 => Beacon });

//! The receipt file: everything needed to check offline that work was receipted and settled.
//!
//! It holds the worker's signed receipt, the `Settled` event with its Merkle path, and the block header with its finality
//! certificate. With the genesis alone (for the validators' keys) anybody can check it; see `chain::light`.
//! When the holder has them, it also carries the spec and the output, so that the work can be recomputed.

use crate::{
    block::BlockHeader,
    bounded::{BoundedBytes, BoundedVec},
    codec::{Boxed, choice, record},
    digest::Digest,
    event::{BatchSettled, Event, Payment, Settled},
    file::{FileError, Filed, Sort},
    keys::Address,
    limits::{BLOB_BYTES_MAX, CERTIFICATE_BYTES_MAX, DESCENDANTS_MAX},
    merkle::{self, MerkleError, MerklePath},
    receipt::{self, Disclosure, Randomness, Receipt, Salt, SignedReceipt},
    session::{Leaf, request_slot},
    sum_tree::{SumPath, SumPathError},
};
use commonware_codec::Encode;
use thiserror::Error;

/// A receipt of a session's request under the root of a settled batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InBatch {
    /// The batch's settlement.
    pub settled: BatchSettled,
    /// The request's leaf.
    pub leaf: Leaf,
    /// The leaf's path to the batch's root.
    pub path: SumPath,
}
record!(InBatch {
    settled,
    leaf,
    path
});

/// How a receipt was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// By itself.
    Order(Boxed<Settled>),
    /// With many others.
    Batch(Boxed<InBatch>),
}
choice!(Settlement {
    1 => Order(Boxed<Settled>),
    2 => Batch(Boxed<InBatch>),
});

impl Settlement {
    /// The event that says so.
    #[must_use]
    pub fn event(&self) -> Event {
        match self {
            Self::Order(settled) => Event::Settled(settled.clone()),
            Self::Batch(batch) => Event::BatchSettled(Boxed::new(batch.settled.clone())),
        }
    }

    /// To whom, and how much for this receipt.
    #[must_use]
    pub fn paid(&self) -> Payment {
        match self {
            Self::Order(settled) => settled.paid,
            Self::Batch(batch) => Payment {
                to: batch.settled.paid.to,
                amount: batch.leaf.amount,
            },
        }
    }

    /// Whether the account bought the work.
    #[must_use]
    pub fn is_of_buyer(&self, account: Address) -> bool {
        match self {
            Self::Order(settled) => settled.buyer == account,
            Self::Batch(batch) => batch.settled.payers.include(account),
        }
    }

    /// Verifiers that re-executed this very work and agree; none for a request of a batch that was not drawn.
    #[must_use]
    pub fn recomputed_by(&self) -> u16 {
        match self {
            Self::Order(settled) => settled.recomputed_by,
            Self::Batch(batch) => {
                let is_drawn = batch
                    .settled
                    .samples
                    .iter()
                    .any(|sample| batch.path.covers(batch.leaf.amount, *sample));
                if is_drawn {
                    batch.settled.recomputed_by
                } else {
                    0
                }
            }
        }
    }

    /// Whether a dispute decided.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        match self {
            Self::Order(settled) => settled.disputed,
            Self::Batch(batch) => batch.settled.disputed,
        }
    }

    /// Where the randomness of the draws came from.
    #[must_use]
    pub fn randomness(&self) -> Randomness {
        match self {
            Self::Order(settled) => settled.randomness,
            Self::Batch(batch) => batch.settled.randomness,
        }
    }

    /// Whether it is of this receipt.
    fn is_of(&self, receipt: &Receipt) -> bool {
        let digest = receipt.digest();
        match self {
            Self::Order(settled) => settled.receipt == digest && settled.slot_id == receipt.slot_id,
            Self::Batch(batch) => {
                batch.leaf.receipt == digest
                    && receipt.attempt == 0
                    && receipt.slot_id == request_slot(&batch.settled.lane, batch.leaf.index)
            }
        }
    }

    /// Whether the receipt is under the root that was settled.
    fn check_root(&self) -> Result<(), ProofError> {
        let Self::Batch(batch) = self else {
            return Ok(());
        };
        let (path, settled) = (&batch.path, &batch.settled);
        if path.count != u64::from(settled.count) {
            return Err(ProofError::NotInBatch(SumPathError::Shape {
                count: path.count,
            }));
        }
        path.verify(&batch.leaf.node(), &settled.root)
            .map_err(ProofError::NotInBatch)
    }
}

/// A receipt with the proof that it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptProof {
    /// The signed receipt.
    pub receipt: SignedReceipt,
    /// The settlement.
    pub settlement: Settlement,
    /// The path of the settlement's event to the header's events root.
    pub path: MerklePath,
    /// The block that settled it.
    pub header: BlockHeader,
    /// The headers after it, up to the one that the certificate is over; none unless it was finalised through a descendant.
    pub descendants: BoundedVec<BlockHeader, DESCENDANTS_MAX>,
    /// The finality certificate over the last descendant, or over the header itself.
    pub certificate: BoundedBytes<CERTIFICATE_BYTES_MAX>,
    /// The salt of the commitment, which the worker gave to the buyer.
    pub salt: Salt,
    /// The spec, if the holder keeps it.
    pub spec: BoundedBytes<BLOB_BYTES_MAX>,
    /// The output, if the holder keeps it.
    pub output: BoundedBytes<BLOB_BYTES_MAX>,
    /// What the worker disclosed, if the holder keeps the spec: where it was stopped, and what makes recomputing cheaper.
    pub disclosure: Disclosure,
}
record!(ReceiptProof {
    receipt,
    settlement,
    path,
    header,
    descendants,
    certificate,
    salt,
    spec,
    output,
    disclosure
});

/// Why a receipt file proves nothing. Each has a stable code.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The bytes are no receipt file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The worker's signature does not hold.
    #[error("the receipt is not signed by the worker that it names")]
    NotSigned,
    /// The receipt is of another chain than the header.
    #[error("the receipt is of another chain than the block that settled it")]
    OtherChain,
    /// The settlement refers to another receipt.
    #[error("the settlement is of another receipt")]
    OtherReceipt,
    /// The settlement paid another account than the signer's.
    #[error("the settlement paid another account than the receipt's worker")]
    OtherWorker,
    /// The path does not lead to the header's events root.
    #[error("the settlement is not in the block")]
    NotInBlock(#[source] MerkleError),
    /// The receipt is not under the root of the batch that was settled.
    #[error("the receipt is not in the batch that was settled")]
    NotInBatch(#[source] SumPathError),
    /// Salt and trace do not open the receipt's commitment.
    #[error("the salt does not open the receipt's commitment")]
    NotOpened,
    /// The spec is not the one of the receipt.
    #[error("the spec is not the one that the receipt is for")]
    OtherSpec,
    /// The disclosure is not the one that the receipt names.
    #[error("the disclosure is not the one that the receipt names")]
    OtherDisclosure,
    /// The output is not the one of the trace.
    #[error("the output is not the one that the worker committed to")]
    OtherOutput,
}

impl ProofError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::NotSigned => "not_signed",
            Self::OtherChain => "other_chain",
            Self::OtherReceipt => "other_receipt",
            Self::OtherWorker => "other_worker",
            Self::NotInBlock(_) => "not_in_block",
            Self::NotInBatch(_) => "not_in_batch",
            Self::NotOpened => "not_opened",
            Self::OtherSpec => "other_spec",
            Self::OtherDisclosure => "other_disclosure",
            Self::OtherOutput => "other_output",
        }
    }
}

impl Filed for ReceiptProof {
    const SORT: Sort = Sort {
        magic: *b"FWRCPT\x00\x03",
        name: "receipt file",
        other: "not_a_receipt",
    };
}

impl ReceiptProof {
    /// Checks all but the finality certificate (which `chain::light` checks, it knows the validators).
    ///
    /// An empty spec means that the file does not carry it. An output that is there is always checked.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn check(&self) -> Result<(), ProofError> {
        let receipt = &self.receipt.receipt;
        if !self.receipt.is_signed() {
            return Err(ProofError::NotSigned);
        }
        if receipt.chain_id != self.header.chain_id {
            return Err(ProofError::OtherChain);
        }
        if !self.settlement.is_of(receipt) {
            return Err(ProofError::OtherReceipt);
        }
        if self.settlement.paid().to != self.receipt.worker.address() {
            return Err(ProofError::OtherWorker);
        }
        let leaf = merkle::leaf(&self.settlement.event().encode());
        self.path
            .verify(&leaf, &self.header.events_root)
            .map_err(ProofError::NotInBlock)?;
        self.settlement.check_root()?;
        self.check_opened()?;
        if self.has_spec() && Digest::of_blob(self.spec.as_slice()) != receipt.spec_digest {
            return Err(ProofError::OtherSpec);
        }
        let has_disclosure = self.has_spec() || self.disclosure != Disclosure::default();
        if has_disclosure && self.disclosure.to_blob().1 != receipt.disclosure {
            return Err(ProofError::OtherDisclosure);
        }
        Ok(())
    }

    /// Whether salt, trace and output fit the receipt's commitment. The trace of a request in a batch is not on the ledger: without its
    /// output there is nothing to open.
    fn check_opened(&self) -> Result<(), ProofError> {
        let receipt = &self.receipt.receipt;
        let worker = self.receipt.worker.address();
        let of_output = receipt::trace(
            &receipt.spec_digest,
            &Digest::of_blob(self.output.as_slice()),
            &receipt.units,
        );
        let has_output = self.has_spec() || !self.output.as_slice().is_empty();
        match &self.settlement {
            Settlement::Order(settled) => {
                if !receipt.is_opened_by(worker, &self.salt, &settled.trace) {
                    return Err(ProofError::NotOpened);
                }
                if has_output && of_output != settled.trace {
                    return Err(ProofError::OtherOutput);
                }
            }
            Settlement::Batch(_) => {
                if has_output && !receipt.is_opened_by(worker, &self.salt, &of_output) {
                    return Err(ProofError::OtherOutput);
                }
            }
        }
        Ok(())
    }

    /// Whether the file carries the spec (and then also the output), so that the work can be recomputed.
    #[must_use]
    pub fn has_spec(&self) -> bool {
        !self.spec.as_slice().is_empty()
    }
}

//! The receipt file: everything needed to check offline that work was receipted and settled.
//!
//! It holds the worker's signed receipt, the `Settled` event with its Merkle path, and the block header with its finality
//! certificate. With the genesis alone (for the validators' keys) anybody can check it; see `chain::light`.
//! When the holder has them, it also carries the spec and the output, so that the work can be recomputed.

use crate::{
    block::BlockHeader,
    bounded::{BoundedBytes, BoundedVec},
    codec::{decode, record},
    digest::Digest,
    event::{Event, Settled},
    limits::{BLOB_BYTES_MAX, CERTIFICATE_BYTES_MAX, DESCENDANTS_MAX},
    merkle::{self, MerkleError, MerklePath},
    receipt::{self, Disclosure, Salt, SignedReceipt},
};
use commonware_codec::Encode;
use thiserror::Error;

/// The first bytes of every receipt file.
pub const MAGIC: [u8; 8] = *b"FWRCPT\x00\x01";

/// A receipt with the proof that it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptProof {
    /// The signed receipt.
    pub receipt: SignedReceipt,
    /// The settlement.
    pub settled: Settled,
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
    settled,
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
    /// The file does not begin with the magic bytes.
    #[error("this is no receipt file of a version that this program reads")]
    NotAReceipt,
    /// The file is cut, altered in form, or has bytes left over.
    #[error("the receipt file is damaged")]
    Malformed(#[source] commonware_codec::Error),
    /// The checksum over the file is another.
    #[error("the receipt file was altered: its checksum does not match")]
    Checksum,
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
            Self::NotAReceipt => "not_a_receipt",
            Self::Malformed(_) => "malformed",
            Self::Checksum => "checksum",
            Self::NotSigned => "not_signed",
            Self::OtherChain => "other_chain",
            Self::OtherReceipt => "other_receipt",
            Self::OtherWorker => "other_worker",
            Self::NotInBlock(_) => "not_in_block",
            Self::NotOpened => "not_opened",
            Self::OtherSpec => "other_spec",
            Self::OtherDisclosure => "other_disclosure",
            Self::OtherOutput => "other_output",
        }
    }
}

impl ReceiptProof {
    /// The file's bytes: magic, canonical encoding, and a digest of both against accidents.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.encode());
        let checksum = Digest::of_blob(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ProofError::NotAReceipt`], [`ProofError::Checksum`] or [`ProofError::Malformed`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProofError> {
        let (content, checksum) = bytes
            .split_last_chunk::<32>()
            .ok_or(ProofError::NotAReceipt)?;
        let encoded = content
            .strip_prefix(&MAGIC)
            .ok_or(ProofError::NotAReceipt)?;
        if Digest::of_blob(content).as_bytes() != checksum {
            return Err(ProofError::Checksum);
        }
        decode(encoded).map_err(ProofError::Malformed)
    }

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
        if self.settled.receipt != receipt.digest() || self.settled.slot_id != receipt.slot_id {
            return Err(ProofError::OtherReceipt);
        }
        if self.settled.paid.to != self.receipt.worker.address() {
            return Err(ProofError::OtherWorker);
        }
        let leaf = merkle::leaf(&Event::Settled(crate::Boxed::new(self.settled.clone())).encode());
        self.path
            .verify(&leaf, &self.header.events_root)
            .map_err(ProofError::NotInBlock)?;
        let worker = self.receipt.worker.address();
        if !receipt.is_opened_by(worker, &self.salt, &self.settled.trace) {
            return Err(ProofError::NotOpened);
        }
        if self.has_spec() && Digest::of_blob(self.spec.as_slice()) != receipt.spec_digest {
            return Err(ProofError::OtherSpec);
        }
        let has_disclosure = self.has_spec() || self.disclosure != Disclosure::default();
        if has_disclosure && self.disclosure.to_blob().1 != receipt.disclosure {
            return Err(ProofError::OtherDisclosure);
        }
        let trace = receipt::trace(
            &receipt.spec_digest,
            &Digest::of_blob(self.output.as_slice()),
            &receipt.units,
        );
        if (self.has_spec() || !self.output.as_slice().is_empty()) && trace != self.settled.trace {
            return Err(ProofError::OtherOutput);
        }
        Ok(())
    }

    /// Whether the file carries the spec (and then also the output), so that the work can be recomputed.
    #[must_use]
    pub fn has_spec(&self) -> bool {
        !self.spec.as_slice().is_empty()
    }
}

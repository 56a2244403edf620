//! What the ledger holds under a key, or that it holds nothing: proven against the state's root in the header of a final block.
//!
//! The proof itself is the store's: see `chain::light` for its check and `docs/reference/proofs.md` for its bytes.

use crate::{
    block::BlockHeader,
    bounded::{BoundedBytes, BoundedVec},
    codec::{decode, record},
    file::{self, FileError},
    limits::{CERTIFICATE_BYTES_MAX, DESCENDANTS_MAX, STATE_KEY_BYTES_MAX, STATE_PROOF_BYTES_MAX},
};
use thiserror::Error;

/// The first bytes of every file of a state proof.
pub const MAGIC: [u8; 8] = *b"FWSTATE\x01";

/// A proof about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// The key: a byte that says what it is of, and fixed-size parts.
    pub key: BoundedBytes<STATE_KEY_BYTES_MAX>,
    /// The block after which the state was so.
    pub header: BlockHeader,
    /// The headers after it, up to the one that the certificate is over.
    pub descendants: BoundedVec<BlockHeader, DESCENDANTS_MAX>,
    /// The finality certificate.
    pub certificate: BoundedBytes<CERTIFICATE_BYTES_MAX>,
    /// The record, if there is one, and the path to the root of the state.
    pub proof: BoundedBytes<STATE_PROOF_BYTES_MAX>,
}
record!(StateProof {
    key,
    header,
    descendants,
    certificate,
    proof
});

/// Why bytes are no file of a state proof.
#[derive(Debug, Error)]
pub enum StateProofError {
    /// They begin otherwise.
    #[error("this is no file of a state proof, or one of another version")]
    OtherFile,
    /// They were changed.
    #[error("the file of the state proof is damaged: its checksum does not fit")]
    Checksum,
    /// They are not canonical.
    #[error("the file of the state proof is malformed")]
    Malformed(#[source] commonware_codec::Error),
}

impl StateProofError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherFile => "not_a_state_proof",
            Self::Checksum => "checksum",
            Self::Malformed(_) => "malformed",
        }
    }
}

impl StateProof {
    /// The file's bytes: magic, canonical encoding, and a digest of both against accidents.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        file::seal(&MAGIC, self)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`StateProofError`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, StateProofError> {
        let encoded = file::open(&MAGIC, bytes).map_err(|error| match error {
            FileError::OtherSort => StateProofError::OtherFile,
            FileError::Checksum => StateProofError::Checksum,
        })?;
        decode(encoded).map_err(StateProofError::Malformed)
    }
}

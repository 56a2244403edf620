//! What the ledger holds under a key, or that it holds nothing: proven against the state's root in the header of a final block.
//!
//! The proof itself is the store's: see `chain::light` for its check and `docs/reference/proofs.md` for its bytes.

use crate::{
    block::BlockHeader,
    bounded::{BoundedBytes, BoundedVec},
    codec::record,
    file::{Filed, Sort},
    limits::{CERTIFICATE_BYTES_MAX, DESCENDANTS_MAX, STATE_KEY_BYTES_MAX, STATE_PROOF_BYTES_MAX},
};

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

impl Filed for StateProof {
    const SORT: Sort = Sort {
        magic: *b"FWSTATE\x01",
        name: "file of a state proof",
        other: "not_a_state_proof",
    };
}

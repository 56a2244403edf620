//! Checking a receipt file offline, with the genesis alone.

use fairweir_chain::light::{LightClient, LightError};
use fairweir_types::{
    Genesis,
    proof::{ProofError, ReceiptProof},
    receipt::Randomness,
};
use thiserror::Error;

/// Why a receipt file is refused.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// By its own contents.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// By the finality certificate.
    #[error("the block that settled it is not proven final")]
    Finality(#[source] LightError),
}

impl VerifyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Proof(error) => error.code(),
            Self::Finality(error) => error.code(),
        }
    }
}

/// How far a receipt was checked: the words on it, never more than is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The worker signed it.
    pub signed: bool,
    /// A final block settled it.
    pub settled: bool,
    /// Verifiers were drawn for it.
    pub sampled: bool,
    /// So many verifiers re-executed it and agree.
    pub recomputed_by: u16,
    /// A dispute decided.
    pub disputed: bool,
    /// Where the randomness of the draw came from.
    pub randomness: Randomness,
}

/// Reads and checks a receipt file.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(genesis: &Genesis, file: &[u8]) -> Result<(ReceiptProof, Words), VerifyError> {
    let proof = ReceiptProof::from_file(file)?;
    proof.check()?;
    LightClient::new(genesis)
        .and_then(|light| {
            light.verify_through(
                &proof.header,
                proof.descendants.as_slice(),
                proof.certificate.as_slice(),
            )
        })
        .map_err(VerifyError::Finality)?;
    let settlement = &proof.settlement;
    let words = Words {
        signed: true,
        settled: true,
        sampled: settlement.recomputed_by() > 0,
        recomputed_by: settlement.recomputed_by(),
        disputed: settlement.is_disputed(),
        randomness: settlement.randomness(),
    };
    Ok((proof, words))
}

//! Checking a receipt file offline, with the genesis alone.

use fairweir_chain::light::{LightClient, LightError};
use fairweir_types::{
    Genesis,
    file::Filed as _,
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

/// Reads and checks a receipt file, with the genesis alone.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(genesis: &Genesis, file: &[u8]) -> Result<(ReceiptProof, Words), VerifyError> {
    let proof = read(file)?;
    let light = LightClient::new(genesis).map_err(VerifyError::Finality)?;
    let words = check_final(&light, &proof)?;
    Ok((proof, words))
}

/// Reads a receipt file, and checks all of it but that its block is final.
///
/// # Errors
/// [`VerifyError::Proof`].
pub fn read(file: &[u8]) -> Result<ReceiptProof, VerifyError> {
    let proof = ReceiptProof::from_file(file).map_err(ProofError::from)?;
    proof.check()?;
    Ok(proof)
}

/// Checks that the block of a receipt is final, by those of whom it is known that they had the seats.
///
/// # Errors
/// [`VerifyError::Finality`].
pub fn check_final(light: &LightClient, proof: &ReceiptProof) -> Result<Words, VerifyError> {
    light
        .verify_through(
            &proof.header,
            proof.descendants.as_slice(),
            proof.certificate.as_slice(),
        )
        .map_err(VerifyError::Finality)?;
    let settlement = &proof.settlement;
    Ok(Words {
        signed: true,
        settled: true,
        sampled: settlement.recomputed_by() > 0,
        recomputed_by: settlement.recomputed_by(),
        disputed: settlement.is_disputed(),
        randomness: settlement.randomness(),
    })
}

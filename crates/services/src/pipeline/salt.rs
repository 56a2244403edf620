//! Salts and nonces: secret to all but their role, equal after a restart.

use commonware_codec::Encode;
use fairweir_types::{
    ChainId, Digest,
    digest::Domain,
    order::SlotId,
    receipt::{Salt, Tier},
};

/// The salt of a worker's commitment.
pub(crate) fn worker_salt(
    seed: &[u8; 32],
    chain: &ChainId,
    slot_id: &SlotId,
    attempt: u16,
) -> Salt {
    derive(seed, chain, b"worker-salt", slot_id, &attempt.to_be_bytes())
}

/// The nonce of a verifier's commitment.
pub(super) fn verdict_nonce(
    seed: &[u8; 32],
    chain: &ChainId,
    slot_id: &SlotId,
    tier: Tier,
) -> Salt {
    derive(seed, chain, b"verdict-nonce", slot_id, &[tier.tag()])
}

fn derive(seed: &[u8; 32], chain: &ChainId, what: &[u8], slot_id: &SlotId, which: &[u8]) -> Salt {
    Digest::of(
        Domain::KeyDerivation,
        &[
            what,
            seed,
            chain.as_str().as_bytes(),
            &slot_id.encode(),
            which,
        ],
    )
    .0
}

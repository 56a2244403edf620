//! Blocks: a header that commits to everything, and the transactions.

use crate::{
    bounded::BoundedVec,
    codec::record,
    digest::{Digest, Domain},
    keys::VoteSignature,
    limits::BLOCK_TXS_MAX,
    quantity::{ChainId, Height, Millis},
    tx::SignedTx,
};
use commonware_codec::Encode;

/// The version of the block format.
pub const BLOCK_VERSION: u8 = 1;
/// The scheme of finality certificates: BLS12-381 multisignatures, public keys in G1.
pub const CERTIFICATE_SCHEME_BLS12381_MULTISIG: u8 = 1;

/// What a block commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The format: [`BLOCK_VERSION`].
    pub version: u8,
    /// The chain.
    pub chain_id: ChainId,
    /// The scheme of the certificate that finalises the block.
    pub certificate_scheme: u8,
    /// The block's number; genesis is 0.
    pub height: Height,
    /// The digest of the parent's header.
    pub parent: Digest,
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The view (Simplex §2) in which the block was proposed.
    pub view: u64,
    /// The view of the parent.
    pub parent_view: u64,
    /// The proposer's ed25519 identity.
    pub proposer: [u8; 32],
    /// Milliseconds since the Unix epoch, by the proposer's clock; later than the parent's.
    pub time: Millis,
    /// The proposer's unique BLS signature over (chain id, height); none in genesis.
    pub beacon_signature: Option<VoteSignature>,
    /// `H(parent's beacon ‖ beacon signature)`.
    pub beacon: Digest,
    /// Merkle root over the transactions.
    pub transactions_root: Digest,
    /// Merkle root over what became of each.
    pub outcomes_root: Digest,
    /// Merkle root over the events.
    pub events_root: Digest,
    /// Keccak-256 Merkle root over messages to other chains; all zeros while there is no bridge.
    pub outbox_root: Digest,
    /// The authenticated root of the state after the block.
    pub state_root: Digest,
    /// The root of the state's operation log: the target of state sync.
    pub state_ops_root: Digest,
    /// The first operation of the log that state sync needs.
    pub state_range_start: u64,
    /// One past the last operation of the log.
    pub state_range_end: u64,
}
record!(BlockHeader {
    version,
    chain_id,
    certificate_scheme,
    height,
    parent,
    epoch,
    view,
    parent_view,
    proposer,
    time,
    beacon_signature,
    beacon,
    transactions_root,
    outcomes_root,
    events_root,
    outbox_root,
    state_root,
    state_ops_root,
    state_range_start,
    state_range_end,
});

impl BlockHeader {
    /// The block's digest: what certificates are over.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_encoded(Domain::BlockHeader, self)
    }
}

/// The bytes that a proposer's vote key signs for the beacon.
#[must_use]
pub fn beacon_message(chain_id: &ChainId, height: Height) -> Vec<u8> {
    let mut message = chain_id.encode().to_vec();
    message.extend_from_slice(&height.encode());
    message
}

/// The next beacon value.
#[must_use]
pub fn next_beacon(previous: &Digest, signature: &VoteSignature) -> Digest {
    Digest::of(Domain::Beacon, &[previous.as_bytes(), &signature.encode()])
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The transactions, in order of execution.
    pub transactions: BoundedVec<SignedTx, BLOCK_TXS_MAX>,
}
record!(Block {
    header,
    transactions
});

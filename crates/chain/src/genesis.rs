//! The beginning of a chain: its validators, the first block, and the names that its votes are signed under.

use crate::qmdb::Roots;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::{scheme::bls12381_multisig, types};
use commonware_cryptography::{
    bls12381::primitives::{
        group::Private,
        variant::{MinPk, Variant},
    },
    ed25519, sha256,
};
use commonware_utils::{TryFromIterator as _, ordered::BiMap};
use fairweir_types::{
    Block, BlockHeader, BoundedVec, Digest, Genesis, Height, SecretKey,
    block::{BLOCK_VERSION, CERTIFICATE_SCHEME_BLS12381_MULTISIG},
    decode,
    digest::Domain,
    double_vote::vote_namespace,
    event::Seat,
    genesis::GenesisError,
    keys::{VoteKey, VoteSecretKey},
    merkle,
};

/// A validator's identity, as consensus names it.
pub(crate) type Identity = ed25519::PublicKey;
/// A block's digest, as consensus names it.
pub(crate) type BlockDigest = sha256::Digest;
/// How votes are signed and certificates checked.
pub(crate) type Scheme = bls12381_multisig::Scheme<Identity, MinPk>;
/// A finality certificate.
pub(crate) type Finalization = types::Finalization<Scheme, BlockDigest>;
/// The context in which a block is proposed.
pub(crate) type Context = types::Context<BlockDigest, Identity>;

/// A vote key as the library has it.
pub(crate) type VotePoint = <MinPk as Variant>::Public;
/// Identities and vote keys, in the order in which certificates name signers.
pub(crate) type Participants = BiMap<Identity, VotePoint>;

/// What votes of the chain of a genesis are signed under.
pub(crate) fn namespace(genesis: &Genesis) -> Vec<u8> {
    vote_namespace(&genesis.digest())
}

/// A vote key as the library has it.
pub(crate) fn vote_point(key: &VoteKey) -> VotePoint {
    *AsRef::as_ref(key.as_bls())
}

/// Those who have seats; none if a key is no key or named twice, which the ledger prevents.
pub(crate) fn seated(seats: &[Seat]) -> Option<Participants> {
    let mut keys = Vec::new();
    for seat in seats {
        let key: VoteKey = decode(&seat.vote_key).ok()?;
        keys.push((identity(&seat.validator)?, vote_point(&key)));
    }
    BiMap::try_from_iter(keys).ok()
}

/// Signs votes among participants; none if the key is none of theirs.
pub(crate) fn signer_among(
    namespace: &[u8],
    participants: Participants,
    key: &VoteSecretKey,
) -> Option<Scheme> {
    let private = Private::decode(key.as_bls().encode())
        .expect("a private key's own encoding is a private key");
    Scheme::signer(namespace, participants, private)
}

/// The identities and vote keys, in the order in which certificates name signers.
///
/// # Errors
/// [`GenesisError`] if a key is no key or named twice.
pub(crate) fn participants(genesis: &Genesis) -> Result<Participants, GenesisError> {
    let mut keys = Vec::new();
    for (position, validator) in genesis.validators.iter().enumerate() {
        let identity =
            identity(&validator.identity).ok_or(GenesisError::BadIdentity { position })?;
        keys.push((identity, vote_point(&validator.vote_key)));
    }
    BiMap::try_from_iter(keys).map_err(|_| GenesisError::ValidatorOrder)
}

/// An identity from its bytes.
pub(crate) fn identity(bytes: &[u8; 32]) -> Option<Identity> {
    Identity::decode(Copying(bytes.as_slice())).ok()
}

/// Checks certificates of a chain, without a vote key.
///
/// # Errors
/// [`GenesisError`] if the genesis is refused; possession of every vote key is checked here.
pub(crate) fn verifier(genesis: &Genesis) -> Result<Scheme, GenesisError> {
    genesis.check()?;
    Ok(Scheme::verifier(
        &namespace(genesis),
        participants(genesis)?,
    ))
}

/// Signs votes of the validators of a genesis.
///
/// # Errors
/// [`GenesisError`] if the genesis is refused.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn signer(genesis: &Genesis, key: &VoteSecretKey) -> Result<Scheme, GenesisError> {
    genesis.check()?;
    let namespace = namespace(genesis);
    let participants = participants(genesis)?;
    Ok(signer_among(&namespace, participants.clone(), key)
        .unwrap_or_else(|| Scheme::verifier(&namespace, participants)))
}

/// The public half of an identity.
pub(crate) fn identity_of(key: &SecretKey) -> Identity {
    commonware_cryptography::Signer::public_key(key.as_identity())
}

/// Block 0: it names the genesis as its parent and holds no transaction. The ledger's genesis records enter the store
/// with block 1, because the store of a new node is empty.
pub(crate) fn block(genesis: &Genesis, empty: Roots) -> Block {
    let digest = genesis.digest();
    let nothing = merkle::root(&[]);
    let proposer = genesis
        .validators
        .iter()
        .next()
        .map_or([0; 32], |validator| validator.identity);
    let header = BlockHeader {
        version: BLOCK_VERSION,
        chain_id: genesis.chain_id.clone(),
        certificate_scheme: CERTIFICATE_SCHEME_BLS12381_MULTISIG,
        height: Height::ZERO,
        parent: digest,
        epoch: 0,
        view: 0,
        parent_view: 0,
        proposer,
        time: genesis.time,
        beacon_signature: None,
        beacon: Digest::of(Domain::Beacon, &[digest.as_bytes()]),
        transactions_root: nothing,
        outcomes_root: nothing,
        events_root: nothing,
        outbox_root: Digest::ZERO,
        state_root: empty.state,
        state_ops_root: empty.ops,
        state_range_start: empty.range_start,
        state_range_end: empty.range_end,
    };
    Block {
        header,
        transactions: BoundedVec::default(),
    }
}

//! Checks finality with the genesis, and with what handed seats over since: no network, no runtime, no disk.
//!
//! A certificate counts by those of whom it is known that they had the seats of its epoch, or of one before it if nothing newer is known. It names its signers by their places
//! among those who have seats; so once somebody came or left, somebody has to show the blocks with which the seats were handed over, in their order.
//!
//! Whoever had the seats long ago, and has nothing at stake any more, can sign another history from then on. A client that begins at a checkpoint, a block that a person
//! trusts, is not misled by that; it knows nothing of blocks before it.
//!
//! Inclusion of a transaction or an event under a checked header is [`fairweir_types::merkle`]'s part.

use crate::{
    epochs::Epochs,
    genesis::{self, Finalization, Scheme},
    state_proof,
};
use commonware_codec::{Copying, Decode as _};
use commonware_parallel::Sequential;
use core::convert::Infallible;
use fairweir_types::{
    BlockHeader, Digest, Genesis, Height,
    block::{BLOCK_VERSION, CERTIFICATE_SCHEME_BLS12381_MULTISIG},
    genesis::GenesisError,
    handover::{Checkpoint, Handover},
    limits::{CERTIFICATE_BYTES_MAX, VALIDATORS_MAX},
    state_proof::StateProof,
};

/// Descendants that one proof of finality may go through.
pub const DESCENDANTS_MAX: usize = 64;

/// Why a header is not known to be final.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The genesis is no genesis.
    #[error("the genesis is refused")]
    Genesis(#[source] GenesisError),
    /// The header is of a format that this program does not read.
    #[error("block format {found} is not {BLOCK_VERSION}")]
    OtherVersion {
        /// The version found.
        found: u8,
    },
    /// The header is of another chain.
    #[error("the block is of chain {found}, not {expected}")]
    OtherChain {
        /// The chain wanted.
        expected: String,
        /// The chain found.
        found: String,
    },
    /// The block is not of the epoch that its height is in.
    #[error("the block says that it is of epoch {found}, its height is in epoch {expected}")]
    OtherEpoch {
        /// The epoch of the height.
        expected: u64,
        /// What the header says.
        found: u64,
    },
    /// The certificate is of a scheme that this program does not check.
    #[error("certificate scheme {found} is not {CERTIFICATE_SCHEME_BLS12381_MULTISIG}")]
    OtherScheme {
        /// The scheme found.
        found: u8,
    },
    /// The certificate is longer than one may be.
    #[error("certificate of {found} bytes exceeds the limit of {CERTIFICATE_BYTES_MAX}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// The certificate is not canonical.
    #[error("the certificate is malformed")]
    Malformed(#[source] commonware_codec::Error),
    /// The certificate is over another block.
    #[error("the certificate is over block {found}, not {expected}")]
    OtherBlock {
        /// The header's digest.
        expected: Digest,
        /// The digest in the certificate.
        found: Digest,
    },
    /// The certificate was made in another view than the header's.
    #[error("the certificate was made in another view than the block")]
    OtherView,
    /// The signatures do not hold, or are too few.
    #[error("the certificate is not signed by a quorum of the validators of epoch {epoch}")]
    BadCertificate {
        /// The epoch of the block.
        epoch: u64,
    },
    /// The signatures are not those of validators that are known, who may have handed their seats over.
    #[error(
        "the certificate of epoch {epoch} is not signed by a quorum of the validators that had the seats in epoch {known}: if they changed since, the blocks that handed the seats over are needed"
    )]
    OtherValidators {
        /// The newest epoch of which it is known who had the seats.
        known: u64,
        /// The epoch of the block.
        epoch: u64,
    },
    /// The block is of before the checkpoint at which the client begins.
    #[error(
        "the block is of epoch {epoch}, before the checkpoint: nothing is known of epochs before {known}"
    )]
    BeforeCheckpoint {
        /// The first epoch of which it is known who had the seats.
        known: u64,
        /// The epoch of the block.
        epoch: u64,
    },
    /// The block is not the one that is trusted.
    #[error("block {found} is not the checkpoint {expected}")]
    OtherCheckpoint {
        /// The one that is trusted.
        expected: Checkpoint,
        /// The one that is shown.
        found: Checkpoint,
    },
    /// The block does not say who has the seats of the next epoch.
    #[error("block {height} hands no seats over")]
    NoHandover {
        /// The block.
        height: Height,
    },
    /// The event is none of the block.
    #[error("the event is none of the block")]
    OtherEvents,
    /// A proof about a key is not canonical.
    #[error("the state proof is malformed")]
    StateMalformed(#[source] commonware_codec::Error),
    /// A proof about a key is of another key, record or state.
    #[error("the state proof does not lead to the root of the state in the block's header")]
    OtherState,
    /// A descendant does not follow the block before it.
    #[error("descendant {position} does not follow the block before it")]
    BrokenLink {
        /// Its position.
        position: usize,
    },
    /// The proof goes through too many blocks.
    #[error("the proof goes through {found} blocks, more than {DESCENDANTS_MAX}")]
    TooManyDescendants {
        /// How many.
        found: usize,
    },
}

impl LightError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "bad_genesis",
            Self::OtherVersion { .. } => "other_version",
            Self::OtherChain { .. } => "other_chain",
            Self::OtherEpoch { .. } => "other_epoch",
            Self::OtherScheme { .. } => "other_scheme",
            Self::TooLong { .. } => "certificate_too_long",
            Self::Malformed(_) => "certificate_malformed",
            Self::OtherBlock { .. } => "other_block",
            Self::OtherView => "other_view",
            Self::BadCertificate { .. } => "bad_certificate",
            Self::OtherValidators { .. } => "other_validators",
            Self::BeforeCheckpoint { .. } => "before_checkpoint",
            Self::OtherCheckpoint { .. } => "other_checkpoint",
            Self::NoHandover { .. } => "no_handover",
            Self::OtherEvents => "other_events",
            Self::StateMalformed(_) => "state_malformed",
            Self::OtherState => "other_state",
            Self::BrokenLink { .. } => "broken_link",
            Self::TooManyDescendants { .. } => "too_many_descendants",
        }
    }
}

/// Checks headers of one chain. Building it costs a pairing for each validator; a check costs one more.
#[derive(Clone, Debug)]
pub struct LightClient {
    chain_id: fairweir_types::ChainId,
    namespace: Vec<u8>,
    epochs: Epochs,
    /// Who has had the seats since an epoch, in ascending order of epoch; the first are those of the genesis.
    known: Vec<(u64, Scheme)>,
}

impl LightClient {
    /// Takes the validators of a genesis, and checks that each holds its vote key.
    ///
    /// # Errors
    /// [`LightError::Genesis`].
    pub fn new(genesis: &Genesis) -> Result<Self, LightError> {
        let scheme = genesis::verifier(genesis).map_err(LightError::Genesis)?;
        Ok(Self {
            chain_id: genesis.chain_id.clone(),
            namespace: genesis::namespace(genesis),
            epochs: Epochs::of(genesis),
            known: vec![(0, scheme)],
        })
    }

    /// The epoch of the block at a height.
    #[must_use]
    pub fn epoch_of(&self, height: Height) -> u64 {
        self.epochs.at(height)
    }

    /// The block on which the first of an epoch stands: its events say who has the seats.
    #[must_use]
    pub fn foot_of(&self, epoch: u64) -> Height {
        self.epochs.foot(epoch)
    }

    /// The newest epoch since which it is known who has the seats.
    #[must_use]
    pub fn known_since(&self) -> u64 {
        self.known.last().map_or(0, |(since, _)| *since)
    }

    /// Begins at a checkpoint instead: a block that a person trusts. Who had seats before is forgotten.
    ///
    /// # Errors
    /// [`LightError::OtherCheckpoint`] when another block is shown; those of [`Self::hand_over`], but for those about its certificate, which does not count.
    pub fn begin_at(
        &mut self,
        checkpoint: Checkpoint,
        handover: &Handover,
    ) -> Result<(), LightError> {
        let found = handover.checkpoint();
        if found != checkpoint {
            return Err(LightError::OtherCheckpoint {
                expected: checkpoint,
                found,
            });
        }
        self.check_form(&handover.header)?;
        let scheme = self.seated_by(handover)?;
        // Whatever it says of the epochs before: nobody who trusts this block vouches for them.
        self.known = vec![(handover.began.epoch, scheme)];
        Ok(())
    }

    /// Takes over who has the seats of the next epoch from the last block of one, and returns whether they are others than before. The block is checked by those
    /// who are known already.
    ///
    /// # Errors
    /// Those of [`Self::verify`]; [`LightError::OtherEvents`] when the event is not the block's, [`LightError::NoHandover`] when it hands no seats of the next epoch over.
    pub fn hand_over(&mut self, handover: &Handover) -> Result<bool, LightError> {
        self.verify(&handover.header, handover.certificate.as_slice())?;
        let scheme = self.seated_by(handover)?;
        let since = handover.began.since;
        if since <= self.known_since() {
            return Ok(false);
        }
        self.known.push((since, scheme));
        Ok(true)
    }

    /// Who has the seats of the epoch that a block began.
    fn seated_by(&self, handover: &Handover) -> Result<Scheme, LightError> {
        let Handover { header, began, .. } = handover;
        if !handover.is_of_its_block() {
            return Err(LightError::OtherEvents);
        }
        let height = header.height;
        let is_next = Some(began.epoch) == header.epoch.checked_add(1)
            && height == self.foot_of(began.epoch)
            && began.since <= began.epoch;
        let seated = genesis::seated(began.seats.as_slice()).filter(|_| is_next);
        let seated = seated.ok_or(LightError::NoHandover { height })?;
        Ok(Scheme::verifier(&self.namespace, seated))
    }

    /// Who had the seats in an epoch, as far as it is known.
    fn of(&self, epoch: u64) -> Option<&(u64, Scheme)> {
        self.known.iter().rev().find(|(since, _)| *since <= epoch)
    }

    /// What certificates of an epoch are checked with.
    pub(crate) fn scheme_of(&self, epoch: u64) -> Option<Scheme> {
        self.of(epoch).map(|(_, scheme)| scheme.clone())
    }

    /// Checks that a block with this header is final, and returns its digest.
    ///
    /// # Errors
    /// Every variant of [`LightError`] but [`LightError::Genesis`] and those about descendants and events.
    pub fn verify(&self, header: &BlockHeader, certificate: &[u8]) -> Result<Digest, LightError> {
        self.check_form(header)?;
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(LightError::TooLong {
                found: certificate.len(),
            });
        }
        let finalization = Finalization::decode_cfg(Copying(certificate), &VALIDATORS_MAX)
            .map_err(LightError::Malformed)?;
        let proposal = &finalization.proposal;
        let digest = header.digest();
        if proposal.payload.0 != digest.0 {
            return Err(LightError::OtherBlock {
                expected: digest,
                found: Digest(proposal.payload.0),
            });
        }
        let (epoch, view) = (proposal.round.epoch().get(), proposal.round.view().get());
        // The last block of an epoch is proposed again, as it is, until it is final.
        let is_own = (view, proposal.parent.get()) == (header.view, header.parent_view);
        if epoch != header.epoch || !(is_own || view > header.view) {
            return Err(LightError::OtherView);
        }
        let (known, scheme) = self.of(epoch).ok_or(LightError::BeforeCheckpoint {
            known: self.known.first().map_or(0, |(since, _)| *since),
            epoch,
        })?;
        if finalization.verify(&mut NoRandomness, scheme, &Sequential) {
            return Ok(digest);
        }
        Err(if *known == epoch || *known < self.known_since() {
            LightError::BadCertificate { epoch }
        } else {
            LightError::OtherValidators {
                known: *known,
                epoch,
            }
        })
    }

    /// Checks a block that was finalised through its descendants: the certificate is over the last of them.
    ///
    /// # Errors
    /// Every variant of [`LightError`] but [`LightError::Genesis`].
    pub fn verify_through(
        &self,
        header: &BlockHeader,
        descendants: &[BlockHeader],
        certificate: &[u8],
    ) -> Result<Digest, LightError> {
        if descendants.len() > DESCENDANTS_MAX {
            return Err(LightError::TooManyDescendants {
                found: descendants.len(),
            });
        }
        let mut last = header;
        for (position, descendant) in descendants.iter().enumerate() {
            if descendant.parent != last.digest() || last.height.next() != Some(descendant.height) {
                return Err(LightError::BrokenLink { position });
            }
            last = descendant;
        }
        self.check_form(header)?;
        self.verify(last, certificate)?;
        Ok(header.digest())
    }

    /// Checks what the ledger held under a key after a final block: the encoded record, or that there was none.
    ///
    /// # Errors
    /// Those of [`Self::verify_through`], [`LightError::StateMalformed`], [`LightError::OtherState`].
    pub fn verify_state(&self, proof: &StateProof) -> Result<Option<Vec<u8>>, LightError> {
        let (descendants, certificate) =
            (proof.descendants.as_slice(), proof.certificate.as_slice());
        self.verify_through(&proof.header, descendants, certificate)?;
        let root = proof.header.state_root;
        state_proof::verify(proof.key.as_slice(), proof.proof.as_slice(), &root)
    }

    fn check_form(&self, header: &BlockHeader) -> Result<(), LightError> {
        if header.version != BLOCK_VERSION {
            return Err(LightError::OtherVersion {
                found: header.version,
            });
        }
        if header.chain_id != self.chain_id {
            let (expected, found) = (
                self.chain_id.as_str().to_owned(),
                header.chain_id.as_str().to_owned(),
            );
            return Err(LightError::OtherChain { expected, found });
        }
        // Else those who had the seats long ago could sign a block of today.
        if header.epoch != self.epochs.at(header.height) {
            return Err(LightError::OtherEpoch {
                expected: self.epochs.at(header.height),
                found: header.epoch,
            });
        }
        if header.certificate_scheme != CERTIFICATE_SCHEME_BLS12381_MULTISIG {
            return Err(LightError::OtherScheme {
                found: header.certificate_scheme,
            });
        }
        Ok(())
    }
}

/// Checks that a block with this header is final on the chain of a genesis, and returns its digest. For more than one
/// header keep a [`LightClient`].
///
/// # Errors
/// [`LightError`].
pub fn verify_header(
    genesis: &Genesis,
    header: &BlockHeader,
    certificate: &[u8],
) -> Result<Digest, LightError> {
    LightClient::new(genesis)?.verify(header, certificate)
}

/// The generator that a check of one certificate is handed. One aggregate signature is checked by one equation, without
/// random weights, so nothing is ever drawn; were it drawn from, zeros would weaken a batch, hence the counter.
struct NoRandomness;

impl rand_core::TryRng for NoRandomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(1)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(1)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(1);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for NoRandomness {}

//! Evidence that a validator voted twice: two of its votes in one view that no honest one casts together.
//!
//! Votes are those of the simplex consensus of `commonware-consensus`: the bytes below are the ones that its `bls12381_multisig` scheme signs.

use crate::{
    codec::{decode, record, tag},
    digest::Digest,
    keys::{VOTE_SIGNATURE_BYTES, VoteKey, VoteSecretKey},
};
use commonware_codec::{Encode as _, varint::UInt};

/// What votes are signed under, before the digest of the genesis and the kind's own suffix; the digest keeps chains apart.
const VOTE_NAMESPACE: &[u8] = b"fairweir/1/vote/";

/// The namespace of a chain's votes, without the suffix of the kind.
#[must_use]
pub fn vote_namespace(genesis: &Digest) -> Vec<u8> {
    [VOTE_NAMESPACE, genesis.as_bytes()].concat()
}

/// What a vote is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteKind {
    /// That a block is the view's.
    Notarize,
    /// That the view has none.
    Nullify,
    /// That a block is final.
    Finalize,
}
tag!(VoteKind { 1 => Notarize, 2 => Nullify, 3 => Finalize });

impl VoteKind {
    /// What the library appends to a namespace (`simplex::scheme`).
    const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Notarize => b"_NOTARIZE",
            Self::Nullify => b"_NULLIFY",
            Self::Finalize => b"_FINALIZE",
        }
    }
}

/// A vote as its validator signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CastVote {
    /// What it is for.
    pub kind: VoteKind,
    /// The view of the block's parent; zero in a vote for none.
    pub parent_view: u64,
    /// The block; zero in a vote for none.
    pub block: Digest,
    /// The validator's signature (BLS12-381, 96 bytes), as it came: it becomes a point of the curve only when it is checked, because that takes time
    /// which whoever makes up signatures would not pay for.
    pub signature: [u8; VOTE_SIGNATURE_BYTES],
}
record!(CastVote {
    kind,
    parent_view,
    block,
    signature
});

impl CastVote {
    /// Signs a vote in an epoch and a view of the chain of a genesis, for a block and its parent's view. Validators sign by the library; this
    /// is for who tests what becomes of a bad one.
    #[must_use]
    pub fn cast(
        (genesis, key): (&Digest, &VoteSecretKey),
        (epoch, view): (u64, u64),
        kind: VoteKind,
        (parent_view, block): (u64, Digest),
    ) -> Self {
        let signed = signed((epoch, view), kind, (parent_view, &block));
        let signature = key.sign_under(&namespace(genesis, kind), &signed);
        Self {
            kind,
            parent_view,
            block,
            signature: signature.to_bytes(),
        }
    }
}

fn namespace(genesis: &Digest, kind: VoteKind) -> Vec<u8> {
    [&vote_namespace(genesis), kind.suffix()].concat()
}

/// The bytes that a vote signs: epoch and view, then, if it is for a block, the parent's view and the block.
fn signed(
    (epoch, view): (u64, u64),
    kind: VoteKind,
    (parent_view, block): (u64, &Digest),
) -> Vec<u8> {
    let mut bytes = (UInt(epoch), UInt(view)).encode().to_vec();
    if kind != VoteKind::Nullify {
        bytes.extend_from_slice(&UInt(parent_view).encode());
        bytes.extend_from_slice(block.as_bytes());
    }
    bytes
}

/// Two votes of one validator in one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubleVote {
    /// The validator's identity.
    pub validator: [u8; 32],
    /// The epoch of both votes.
    pub epoch: u64,
    /// The view of both votes.
    pub view: u64,
    /// One vote.
    pub first: CastVote,
    /// The other.
    pub second: CastVote,
}
record!(DoubleVote {
    validator,
    epoch,
    view,
    first,
    second
});

impl DoubleVote {
    /// Whether no honest validator casts both: for two blocks by one kind of vote, or for no block and for a final one.
    #[must_use]
    pub fn conflicts(&self) -> bool {
        let block = |vote: &CastVote| (vote.parent_view, vote.block);
        match (self.first.kind, self.second.kind) {
            (VoteKind::Notarize, VoteKind::Notarize) | (VoteKind::Finalize, VoteKind::Finalize) => {
                block(&self.first) != block(&self.second)
            }
            (VoteKind::Nullify, VoteKind::Finalize) | (VoteKind::Finalize, VoteKind::Nullify) => {
                true
            }
            _ => false,
        }
    }

    /// Whether both are signed by a vote key for the chain of a genesis. It takes two pairings, some milliseconds.
    #[must_use]
    pub fn is_signed(&self, genesis: &Digest, key: &VoteKey) -> bool {
        [&self.first, &self.second].into_iter().all(|vote| {
            let of = (vote.parent_view, &vote.block);
            let signed = signed((self.epoch, self.view), vote.kind, of);
            decode(&vote.signature).is_ok_and(|signature| {
                key.verify_under(&namespace(genesis, vote.kind), &signed, &signature)
            })
        })
    }
}

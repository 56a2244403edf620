//! SHA-256 digests, always with a domain so that no value of one type hashes like one of another.

use commonware_codec::{Buf, Encode, Error, FixedSize, Read, ReadExt, Write};
use commonware_cryptography::{Hasher, Sha256};
use core::{fmt, str::FromStr};

/// A SHA-256 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// What is hashed; the name goes in front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// An account's address from its tagged key.
    Address,
    /// The digest of a blob (spec or output) by its bytes.
    Blob,
    /// A block header.
    BlockHeader,
    /// The chain's random beacon.
    Beacon,
    /// One draw from the beacon.
    Draw,
    /// A genesis file.
    Genesis,
    /// A leaf of a Merkle tree.
    MerkleLeaf,
    /// An inner node of a Merkle tree.
    MerkleNode,
    /// The root of a Merkle tree, over its leaf count and top node.
    MerkleRoot,
    /// An order's id.
    Order,
    /// What a worker publishes of its trace before it opens it.
    OutputCommitment,
    /// A receipt.
    Receipt,
    /// The transcript of one execution: spec, output, units.
    Trace,
    /// A transaction.
    Transaction,
    /// What a verifier publishes of its trace before it reveals it.
    VerdictCommitment,
    /// Key material derived from a seed.
    KeyDerivation,
    /// A leaf of a Merkle sum tree.
    SumLeaf,
    /// An inner node of a Merkle sum tree.
    SumNode,
    /// The root of a Merkle sum tree.
    SumRoot,
    /// The id of a request in a session.
    SessionRequest,
    /// The id of a batch of a session's requests.
    Batch,
    /// The trace of a batch.
    BatchTrace,
    /// All entries of a state.
    State,
    /// A link of a verifier's hash chain, from the one after it.
    HashChain,
}

impl Domain {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Address => b"fairweir/1/address",
            Self::Blob => b"fairweir/1/blob",
            Self::BlockHeader => b"fairweir/1/block-header",
            Self::Beacon => b"fairweir/1/beacon",
            Self::Draw => b"fairweir/1/draw",
            Self::Genesis => b"fairweir/1/genesis",
            Self::MerkleLeaf => b"fairweir/1/merkle-leaf",
            Self::MerkleNode => b"fairweir/1/merkle-node",
            Self::MerkleRoot => b"fairweir/1/merkle-root",
            Self::Order => b"fairweir/1/order",
            Self::OutputCommitment => b"fairweir/1/output-commitment",
            Self::Receipt => b"fairweir/1/receipt",
            Self::Trace => b"fairweir/1/trace",
            Self::Transaction => b"fairweir/1/transaction",
            Self::VerdictCommitment => b"fairweir/1/verdict-commitment",
            Self::KeyDerivation => b"fairweir/1/key-derivation",
            Self::SumLeaf => b"fairweir/1/sum-leaf",
            Self::SumNode => b"fairweir/1/sum-node",
            Self::SumRoot => b"fairweir/1/sum-root",
            Self::SessionRequest => b"fairweir/1/session-request",
            Self::Batch => b"fairweir/1/batch",
            Self::BatchTrace => b"fairweir/1/batch-trace",
            Self::State => b"fairweir/1/state",
            Self::HashChain => b"fairweir/1/hash-chain",
        }
    }
}

impl Digest {
    /// All zero bytes: no digest of anything known.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes the parts under a domain. Each part is preceded by its length, so the cut between parts is committed to.
    #[must_use]
    pub fn of(domain: Domain, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::default();
        hasher.update(domain.name());
        for part in parts {
            // A length of u64 bytes holds for every slice in memory.
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
        let (_, digest) = hasher.finalize();
        Self(digest.0)
    }

    /// Hashes the canonical encoding of a value under a domain.
    #[must_use]
    pub fn of_encoded(domain: Domain, value: &impl Encode) -> Self {
        Self::of(domain, &[&value.encode()])
    }

    /// The digest of a blob's bytes: what a spec or an output is known by.
    #[must_use]
    pub fn of_blob(bytes: &[u8]) -> Self {
        Self::of(Domain::Blob, &[bytes])
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes as an integer: for draws.
    #[must_use]
    pub fn leading_u64(&self) -> u64 {
        self.0
            .iter()
            .take(8)
            .fold(0, |number, byte| number.wrapping_shl(8) | u64::from(*byte))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(ParseDigestError);
        }
        let mut bytes = [0; 32];
        for (position, byte) in bytes.iter_mut().enumerate() {
            let start = position.checked_mul(2).ok_or(ParseDigestError)?;
            let end = start.checked_add(2).ok_or(ParseDigestError)?;
            let pair = text.get(start..end).ok_or(ParseDigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseDigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl Write for Digest {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.write(buf);
    }
}

impl FixedSize for Digest {
    const SIZE: usize = 32;
}

impl Read for Digest {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        Ok(Self(ReadExt::read(buf)?))
    }
}

//! Keys, signatures and addresses.
//!
//! An account key is a tagged enum, so that secp256k1 and p256 accounts can be added without changing a format
//! (their tags 2 and 3 are reserved and refused today). Validators have two more keys: an ed25519 identity for the
//! peer network, and a BLS12-381 vote key (48-byte public key in G1), whose signatures over heights feed the beacon.

use crate::{
    codec::{decode, newtype},
    digest::{Digest, Domain},
};
use bech32::{Bech32m, Hrp};
use commonware_codec::{
    Buf, Encode, EncodeFixed as _, EncodeSize, Error, FixedSize, Read, ReadExt, Write,
};
use commonware_cryptography::{Signer as _, Verifier as _, bls12381, ed25519};
use core::{cell::RefCell, fmt, str::FromStr};
use std::collections::BTreeMap;
use thiserror::Error as ThisError;

const TAG_ED25519: u8 = 1;
/// What an address begins with.
const ADDRESS_PREFIX: &str = "fw";

/// What a signature is for; two purposes never share a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A transaction.
    Transaction,
    /// A worker's receipt.
    Receipt,
    /// A buyer's request for the output of its order, sent to a worker.
    Delivery,
    /// A buyer's word that it wants no more output.
    Stop,
    /// A buyer's request in a session.
    Request,
    /// A buyer's promise to pay in a session.
    Voucher,
    /// A gateway's word for what it relayed.
    Relay,
    /// A validator's vote key over (chain id, height), for the beacon.
    Beacon,
    /// Proof that a validator holds its vote key, checked at genesis.
    VoteKeyPossession,
    /// A candidate's keys, over whom they belong to.
    Candidacy,
}

impl Purpose {
    pub(crate) const fn namespace(self) -> &'static [u8] {
        match self {
            Self::Transaction => b"fairweir/1/sign/transaction",
            Self::Receipt => b"fairweir/1/sign/receipt",
            Self::Delivery => b"fairweir/1/sign/delivery",
            Self::Stop => b"fairweir/1/sign/stop",
            Self::Request => b"fairweir/1/sign/request",
            Self::Voucher => b"fairweir/1/sign/voucher",
            Self::Relay => b"fairweir/1/sign/relay",
            Self::Beacon => b"fairweir/1/sign/beacon",
            Self::VoteKeyPossession => b"fairweir/1/sign/vote-key-possession",
            Self::Candidacy => b"fairweir/1/sign/candidacy",
        }
    }
}

/// The public key of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKey {
    /// Ed25519, checked as ZIP-215 says.
    Ed25519(ed25519::PublicKey),
}

impl AccountKey {
    /// Whether `signature` is this key's over `message` for `purpose`.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> bool {
        let (Self::Ed25519(key), Signature::Ed25519(signature)) = (self, signature);
        key.verify(purpose.namespace(), message, signature)
    }

    /// The address of the account.
    #[must_use]
    pub fn address(&self) -> Address {
        let digest = Digest::of_encoded(Domain::Address, self);
        let mut bytes = [0; Address::SIZE];
        for (to, from) in bytes.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        Address(bytes)
    }
}

impl Write for AccountKey {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        let Self::Ed25519(key) = self;
        TAG_ED25519.write(buf);
        key.write(buf);
    }
}

impl EncodeSize for AccountKey {
    fn encode_size(&self) -> usize {
        1 + ed25519::PublicKey::SIZE
    }
}

impl Read for AccountKey {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            TAG_ED25519 => ed25519_key(ReadExt::read(buf)?).map(Self::Ed25519),
            other => Err(Error::InvalidEnum(other)),
        }
    }
}

/// Keys that a thread remembers, a megabyte of them: enough for the accounts whose transactions are between two of its steps.
const KEYS_REMEMBERED_MAX: usize = 4_096;

thread_local! {
    /// Keys that were decoded, by their bytes.
    static REMEMBERED: RefCell<BTreeMap<[u8; ed25519::PublicKey::SIZE], ed25519::PublicKey>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// Decodes a key. To find the point of the curve takes as long as a third of a check of a signature, and a transaction is decoded several
/// times on its way through a node; so a thread remembers what it found.
fn ed25519_key(bytes: [u8; ed25519::PublicKey::SIZE]) -> Result<ed25519::PublicKey, Error> {
    let known = REMEMBERED.with_borrow(|keys| keys.get(&bytes).cloned());
    if let Some(key) = known {
        return Ok(key);
    }
    let key: ed25519::PublicKey = decode(&bytes)?;
    REMEMBERED.with_borrow_mut(|keys| {
        if keys.len() >= KEYS_REMEMBERED_MAX {
            keys.clear();
        }
        keys.insert(bytes, key.clone());
    });
    Ok(key)
}

/// A signature by an account key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Ed25519, 64 bytes.
    Ed25519(ed25519::Signature),
}

impl Write for Signature {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        let Self::Ed25519(signature) = self;
        TAG_ED25519.write(buf);
        signature.write(buf);
    }
}

impl EncodeSize for Signature {
    fn encode_size(&self) -> usize {
        1 + ed25519::Signature::SIZE
    }
}

impl Read for Signature {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            TAG_ED25519 => Ok(Self::Ed25519(ReadExt::read(buf)?)),
            other => Err(Error::InvalidEnum(other)),
        }
    }
}

/// The secret key of an account. Its 32 seed bytes come from the caller: this crate draws no randomness.
#[derive(Clone)]
pub struct SecretKey(ed25519::PrivateKey);

impl SecretKey {
    /// The key of 32 secret bytes (an RFC 8032 seed).
    ///
    /// # Errors
    /// The codec's error if the library refuses the bytes; every seed is accepted today.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, Error> {
        Ok(Self(decode(&seed)?))
    }

    /// The public key.
    #[must_use]
    pub fn account_key(&self) -> AccountKey {
        AccountKey::Ed25519(self.0.public_key())
    }

    /// The address of the account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.account_key().address()
    }

    /// Signs `message` for `purpose`.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        Signature::Ed25519(self.0.sign(purpose.namespace(), message))
    }

    /// The key as the peer network's library wants it: a validator's identity is an ed25519 key too.
    #[must_use]
    pub fn as_identity(&self) -> &ed25519::PrivateKey {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.address())
    }
}

/// A validator's vote key, secret half.
#[derive(Clone)]
pub struct VoteSecretKey(bls12381::PrivateKey);

impl VoteSecretKey {
    /// Derives the key from 32 secret bytes: the derivation's digest with its two top bits cleared lies below the
    /// order of the group (which is above 2^254).
    ///
    /// # Errors
    /// The codec's error for the one digest in 2^254 that is zero.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, Error> {
        let mut scalar = Digest::of(Domain::KeyDerivation, &[b"bls12381-vote", &seed]).0;
        if let Some(top) = scalar.first_mut() {
            *top &= 0x3f;
        }
        Ok(Self(decode(&scalar)?))
    }

    /// The public half.
    #[must_use]
    pub fn vote_key(&self) -> VoteKey {
        VoteKey(self.0.public_key())
    }

    /// Signs `message` for `purpose`; BLS signatures are unique, so the signer has no choice in the bytes.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> VoteSignature {
        VoteSignature(self.0.sign(purpose.namespace(), message))
    }

    /// Signs `message` under a namespace of the consensus library.
    pub(crate) fn sign_under(&self, namespace: &[u8], message: &[u8]) -> VoteSignature {
        VoteSignature(self.0.sign(namespace, message))
    }

    /// Proves possession of the key.
    #[must_use]
    pub fn prove_possession(&self) -> VoteSignature {
        self.sign(Purpose::VoteKeyPossession, &self.vote_key().encode())
    }

    /// The key as the consensus library wants it.
    #[must_use]
    pub fn as_bls(&self) -> &bls12381::PrivateKey {
        &self.0
    }
}

impl fmt::Debug for VoteSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoteSecretKey")
    }
}

/// A validator's vote key, public half (BLS12-381, 48 bytes, subgroup-checked when decoded).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoteKey(bls12381::PublicKey);

impl VoteKey {
    /// Its encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; VOTE_KEY_BYTES] {
        self.0.encode_fixed()
    }

    /// Whether `signature` is this key's over `message` for `purpose`.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &VoteSignature) -> bool {
        self.verify_under(purpose.namespace(), message, signature)
    }

    /// Whether `signature` is this key's over `message` under a namespace of the consensus library.
    pub(crate) fn verify_under(
        &self,
        namespace: &[u8],
        message: &[u8],
        signature: &VoteSignature,
    ) -> bool {
        self.0.verify(namespace, message, &signature.0)
    }

    /// The key as the consensus library wants it.
    #[must_use]
    pub fn as_bls(&self) -> &bls12381::PublicKey {
        &self.0
    }
}

/// Bytes of a vote key.
pub const VOTE_KEY_BYTES: usize = 48;
/// Bytes of a signature by a vote key.
pub const VOTE_SIGNATURE_BYTES: usize = 96;

/// A signature by a vote key (96 bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteSignature(bls12381::Signature);

impl VoteSignature {
    /// Its encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; VOTE_SIGNATURE_BYTES] {
        self.0.encode_fixed()
    }
}

newtype!(VoteKey(bls12381::PublicKey));
newtype!(VoteSignature(bls12381::Signature));
newtype!(Address([u8; 20]));

/// An account's address: the first 20 bytes of the digest of its tagged key.
///
/// Shown in bech32m with the prefix `fw`, so that a mistyped character is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 20]);

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("expected an address such as fw1…, checked by its last six characters")]
pub struct ParseAddressError;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(ADDRESS_PREFIX).map_err(|_| fmt::Error)?;
        let text = bech32::encode::<Bech32m>(prefix, &self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| ParseAddressError)?;
        if checked.hrp().as_str() != ADDRESS_PREFIX {
            return Err(ParseAddressError);
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        Ok(Self(bytes.try_into().map_err(|_| ParseAddressError)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_and_a_typo_is_noticed() {
        let address = SecretKey::from_seed([7; 32]).unwrap().address();
        let text = address.to_string();
        assert_eq!(text.parse::<Address>().unwrap(), address);
        for position in 3..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[position] = if typo[position] == b'q' { b'p' } else { b'q' };
            assert!(String::from_utf8(typo).unwrap().parse::<Address>().is_err());
        }
    }

    #[test]
    fn keys_read_alike_however_often_and_what_is_none_never_does() {
        // No point of the curve has this y.
        let none = [&[TAG_ED25519][..], &[2; 32]].concat();
        for _ in 0..2 {
            assert!(decode::<AccountKey>(&none).is_err());
        }
        let key = |seed: u16| {
            let mut bytes = [9; 32];
            bytes[..2].copy_from_slice(&seed.to_be_bytes());
            SecretKey::from_seed(bytes).unwrap().account_key()
        };
        // More than are remembered.
        for seed in (0..4_200).chain(0..3) {
            assert_eq!(
                decode::<AccountKey>(&key(seed).encode()).unwrap(),
                key(seed)
            );
        }
    }

    #[test]
    fn a_signature_serves_one_purpose_only() {
        let key = SecretKey::from_seed([1; 32]).unwrap();
        let signature = key.sign(Purpose::Receipt, b"message");
        assert!(
            key.account_key()
                .verify(Purpose::Receipt, b"message", &signature)
        );
        assert!(
            !key.account_key()
                .verify(Purpose::Transaction, b"message", &signature)
        );
        assert!(
            !key.account_key()
                .verify(Purpose::Receipt, b"other", &signature)
        );
    }

    #[test]
    fn reserved_key_schemes_are_refused() {
        let mut bytes = SecretKey::from_seed([1; 32])
            .unwrap()
            .account_key()
            .encode()
            .to_vec();
        for tag in [0, 2, 3, 255] {
            bytes[0] = tag;
            assert!(
                matches!(decode::<AccountKey>(&bytes), Err(Error::InvalidEnum(found)) if found == tag)
            );
        }
    }

    #[test]
    fn possession_of_a_vote_key_is_proven() {
        let secret = VoteSecretKey::from_seed([3; 32]).unwrap();
        let other = VoteSecretKey::from_seed([4; 32]).unwrap();
        let proof = secret.prove_possession();
        assert!(secret.vote_key().verify(
            Purpose::VoteKeyPossession,
            &secret.vote_key().encode(),
            &proof
        ));
        assert!(!other.vote_key().verify(
            Purpose::VoteKeyPossession,
            &other.vote_key().encode(),
            &proof
        ));
    }
}

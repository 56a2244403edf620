//! What a batch's worker shows is for its verifiers alone: it is encrypted with a content key, and the key to each of them.
//!
//! A wrap follows from the content key and its reader alone: its randomness is derived from both (as in the Fujisaki–Okamoto transform). So
//! whoever has the key can make all wraps anew, and tell whether every other reader can read too. A worker that lets some read and not
//! others is found by those who can, and those who cannot find the same: that nothing was shown. No verifier is made to look wrong by it.
//!
//! Keys are wrapped with HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. The leaves are
//! encrypted with ChaCha20-Poly1305 under a key that encrypts nothing else, hence with a fixed nonce. That cipher does not commit to its
//! key, so what was read counts only if it has the digest that stands on the ledger.

use chacha20poly1305::{
    ChaCha20Poly1305, Nonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use commonware_codec::Encode as _;
use core::fmt;
use fairweir_types::{
    Address, BoundedBytes, BoundedVec, ChainId, Digest, decode,
    digest::Domain,
    limits::DRAWN_MAX,
    order::SlotId,
    session::{Reader, SealKey, SealedLeaves, Wrap},
};
use hpke::{
    Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _,
    aead::ChaCha20Poly1305 as HpkeAead,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    rand_core::{CryptoRng, RngCore, impls},
    single_shot_open, single_shot_seal,
};

/// Bytes of the encapsulated key at the beginning of a wrap.
const ENCAPSULATED_BYTES: usize = 32;

/// The key that a batch's shown leaves are encrypted with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentKey([u8; 32]);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a content key")
    }
}

/// What a verifier reads with.
#[derive(Clone)]
pub(crate) struct ReadingKey {
    verifier: Address,
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
}

impl fmt::Debug for ReadingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reading key of {}", self.verifier)
    }
}

fn key_pair(
    seed: &[u8; 32],
) -> (
    <X25519HkdfSha256 as Kem>::PrivateKey,
    <X25519HkdfSha256 as Kem>::PublicKey,
) {
    let material = Digest::of(Domain::KeyDerivation, &[b"seal-key", seed]);
    X25519HkdfSha256::derive_keypair(material.as_bytes())
}

/// The key that a verifier with this secret seed enrols with.
#[must_use]
pub fn seal_key(seed: &[u8; 32]) -> SealKey {
    key_pair(seed).1.to_bytes().into()
}

impl ReadingKey {
    pub(crate) fn of(verifier: Address, seed: &[u8; 32]) -> Self {
        let (secret, _) = key_pair(seed);
        Self { verifier, secret }
    }

    /// The content key in this verifier's wrap, if it is one of the readers.
    fn unwrap(&self, slot_id: &SlotId, readers: &[Reader], wraps: &[Wrap]) -> Option<ContentKey> {
        let position = readers
            .iter()
            .position(|reader| reader.verifier == self.verifier)?;
        let (encapsulated, sealed) = wraps.get(position)?.split_at(ENCAPSULATED_BYTES);
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let key = single_shot_open::<HpkeAead, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            &slot_id.encode(),
            sealed,
            &[],
        );
        key.ok()?.try_into().ok().map(ContentKey)
    }
}

/// Randomness that follows from a content key and its reader.
struct Derived {
    seed: Digest,
    blocks: u64,
}

impl RngCore for Derived {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for part in dest.chunks_mut(32) {
            let block = Digest::of(
                Domain::KeyDerivation,
                &[
                    b"seal-block",
                    self.seed.as_bytes(),
                    &self.blocks.to_be_bytes(),
                ],
            );
            self.blocks += 1;
            part.copy_from_slice(&block.as_bytes()[..part.len()]);
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), hpke::rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Derived {}

impl ContentKey {
    /// A worker's key for what it shows of a batch: the same after a restart, and of no other batch.
    pub(crate) fn of_batch(seed: &[u8; 32], chain: &ChainId, slot_id: &SlotId) -> Self {
        let parts: [&[u8]; 4] = [
            b"content-key",
            seed,
            chain.as_str().as_bytes(),
            &slot_id.encode(),
        ];
        Self(Digest::of(Domain::KeyDerivation, &parts).0)
    }

    /// The key for each reader. A reader whose key is none gets zeros: it can read nothing, and nobody else suffers from it.
    pub(crate) fn wraps(
        &self,
        slot_id: &SlotId,
        readers: &[Reader],
    ) -> BoundedVec<Wrap, DRAWN_MAX> {
        let wraps = readers.iter().map(|reader| {
            self.wrap(slot_id, &reader.key)
                .unwrap_or([0; size_of::<Wrap>()])
        });
        BoundedVec::truncating(wraps)
    }

    fn wrap(&self, slot_id: &SlotId, key: &SealKey) -> Option<Wrap> {
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key).ok()?;
        let info = slot_id.encode();
        let mut derived = Derived {
            seed: Digest::of(Domain::KeyDerivation, &[b"wrap", &self.0, &info, key]),
            blocks: 0,
        };
        let (encapsulated, sealed) = single_shot_seal::<HpkeAead, HkdfSha256, X25519HkdfSha256, _>(
            &OpModeS::Base,
            &public,
            &info,
            &self.0,
            &[],
            &mut derived,
        )
        .ok()?;
        let mut wrap = encapsulated.to_bytes().to_vec();
        wrap.extend(sealed);
        wrap.try_into().ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&self.0).into())
    }

    /// The blob in which the readers, and nobody else, find the plain bytes.
    pub(crate) fn seal(
        &self,
        slot_id: &SlotId,
        readers: &[Reader],
        plain: &[u8],
    ) -> Option<Vec<u8>> {
        let aad = slot_id.encode();
        let payload = Payload {
            msg: plain,
            aad: &aad,
        };
        let bytes = self.cipher().encrypt(&Nonce::default(), payload).ok()?;
        let sealed = SealedLeaves {
            wraps: self.wraps(slot_id, readers),
            bytes: BoundedBytes::new(bytes).ok()?,
        };
        Some(sealed.encode().to_vec())
    }

    /// The plain bytes, if they have the digest that they must have.
    fn open(&self, slot_id: &SlotId, bytes: &[u8], expected: &Digest) -> Option<Vec<u8>> {
        let aad = slot_id.encode();
        let payload = Payload {
            msg: bytes,
            aad: &aad,
        };
        let plain = self.cipher().decrypt(&Nonce::default(), payload).ok()?;
        (Digest::of_blob(&plain) == *expected).then_some(plain)
    }
}

/// To whom a batch's leaves were sealed, and what they should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealing<'a> {
    pub(super) slot_id: SlotId,
    /// The digest of the plain bytes.
    pub(super) shown: Digest,
    /// The verifiers of the first draw.
    pub(super) readers: &'a [Reader],
    /// Those of the dispute, with what was shared with them.
    pub(super) sharing: Option<&'a Sharing>,
}

/// What the dispute's verifiers of a batch were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) readers: BoundedVec<Reader, DRAWN_MAX>,
    /// By each who shared: the key for each of them.
    pub(crate) shares: Vec<BoundedVec<Wrap, DRAWN_MAX>>,
}

/// The plain bytes of a sealed blob with their key, if every verifier who should can read them; all of them find the same.
pub(super) fn read(
    sealing: &Sealing<'_>,
    blob: &[u8],
    reading: &ReadingKey,
) -> Option<(Vec<u8>, ContentKey)> {
    let slot_id = &sealing.slot_id;
    let sealed: SealedLeaves = decode(blob).ok()?;
    let given = |readers: &[Reader], wraps: &[Wrap]| {
        let key = reading.unwrap(slot_id, readers, wraps)?;
        let plain = key.open(slot_id, sealed.bytes.as_slice(), &sealing.shown)?;
        Some((plain, key))
    };
    let all_can_read =
        |key: &ContentKey, readers: &[Reader], wraps: &BoundedVec<Wrap, DRAWN_MAX>| {
            key.wraps(slot_id, readers) == *wraps
        };
    let (plain, key) = match sealing.sharing {
        None => given(sealing.readers, sealed.wraps.as_slice())?,
        Some(sharing) => {
            let readers = sharing.readers.as_slice();
            let mut shares = sharing.shares.iter();
            let found = shares.find_map(|wraps| given(readers, wraps.as_slice()))?;
            let mut shares = sharing.shares.iter();
            shares
                .any(|wraps| all_can_read(&found.1, readers, wraps))
                .then_some(found)?
        }
    };
    // Of the first draw too: else a worker could make its verifiers look wrong.
    all_can_read(&key, sealing.readers, &sealed.wraps).then_some((plain, key))
}

/// The plain bytes of a sealed blob for whoever has its key.
pub(super) fn reread(
    slot_id: &SlotId,
    blob: &[u8],
    key: &ContentKey,
    shown: &Digest,
) -> Option<Vec<u8>> {
    let sealed: SealedLeaves = decode(blob).ok()?;
    key.open(slot_id, sealed.bytes.as_slice(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::order::OrderId;

    fn slot_id() -> SlotId {
        SlotId {
            order: OrderId(Digest::of_blob(b"batch")),
            slot: 0,
        }
    }

    fn reader(number: u8) -> (Reader, ReadingKey) {
        let verifier = Address([number; 20]);
        let seed = [number; 32];
        let reader = Reader {
            verifier,
            key: seal_key(&seed),
        };
        (reader, ReadingKey::of(verifier, &seed))
    }

    fn readers(numbers: core::ops::Range<u8>) -> (Vec<Reader>, Vec<ReadingKey>) {
        numbers.map(reader).unzip()
    }

    fn key() -> ContentKey {
        ContentKey::of_batch(&[7; 32], &ChainId::new("dev-test").unwrap(), &slot_id())
    }

    const PLAIN: &[u8] = b"what a buyer asked";

    fn sealing<'a>(readers: &'a [Reader], sharing: Option<&'a Sharing>) -> Sealing<'a> {
        Sealing {
            slot_id: slot_id(),
            shown: Digest::of_blob(PLAIN),
            readers,
            sharing,
        }
    }

    #[test]
    fn whoever_was_drawn_can_read_and_nobody_else() {
        let (first, keys) = readers(1..3);
        let blob = key().seal(&slot_id(), &first, PLAIN).unwrap();
        assert!(!blob.windows(PLAIN.len()).any(|part| part == PLAIN));
        for reading in &keys {
            let (plain, found) = read(&sealing(&first, None), &blob, reading).unwrap();
            assert_eq!((plain.as_slice(), found), (PLAIN, key()));
        }
        let (_, stranger) = reader(9);
        assert!(read(&sealing(&first, None), &blob, &stranger).is_none());
        let other = Sealing {
            shown: Digest::of_blob(b"something else"),
            ..sealing(&first, None)
        };
        assert!(read(&other, &blob, &keys[0]).is_none());
    }

    #[test]
    fn what_one_cannot_read_all_find_not_shown() {
        let (first, keys) = readers(1..3);
        let blob = key().seal(&slot_id(), &first, PLAIN).unwrap();
        let mut sealed: SealedLeaves = decode(&blob).unwrap();
        sealed.wraps.as_mut_slice()[1][40] ^= 1;
        let spoiled = sealed.encode().to_vec();
        for reading in &keys {
            assert!(read(&sealing(&first, None), &spoiled, reading).is_none());
        }
        // In a dispute too: the first draw was right to find nothing.
        let (five, disputing) = readers(3..8);
        let sharing = Sharing {
            readers: BoundedVec::truncating(five.clone()),
            shares: vec![key().wraps(&slot_id(), &five)],
        };
        for reading in &disputing {
            assert!(read(&sealing(&first, Some(&sharing)), &spoiled, reading).is_none());
            assert!(read(&sealing(&first, Some(&sharing)), &blob, reading).is_some());
        }
    }

    #[test]
    fn one_right_share_lets_a_dispute_be_decided_and_halves_of_shares_do_not() {
        let (first, _) = readers(1..3);
        let blob = key().seal(&slot_id(), &first, PLAIN).unwrap();
        let (five, disputing) = readers(3..8);
        let right = key().wraps(&slot_id(), &five);
        let mut half = right.clone();
        for wrap in half.as_mut_slice().iter_mut().skip(2) {
            *wrap = [0; 80];
        }
        let found = |shares: Vec<BoundedVec<Wrap, DRAWN_MAX>>| {
            let sharing = Sharing {
                readers: BoundedVec::truncating(five.clone()),
                shares,
            };
            let read = |reading| read(&sealing(&first, Some(&sharing)), &blob, reading).is_some();
            disputing.iter().map(read).collect::<Vec<_>>()
        };
        assert_eq!(found(vec![half.clone()]), [false; 5]);
        assert_eq!(found(vec![half, right]), [true; 5]);
        assert_eq!(found(Vec::new()), [false; 5]);
    }

    #[test]
    fn a_key_that_is_none_harms_its_verifier_alone() {
        let (mut first, keys) = readers(1..3);
        // A point of low order, to which nothing can be encrypted.
        first[1].key = [0; 32];
        let blob = key().seal(&slot_id(), &first, PLAIN).unwrap();
        assert!(read(&sealing(&first, None), &blob, &keys[0]).is_some());
        assert!(read(&sealing(&first, None), &blob, &keys[1]).is_none());
    }

    /// Every verifier must make the same wraps, whatever its machine and version.
    #[test]
    fn wraps_are_as_they_were() {
        let (readers, _) = readers(1..3);
        let wraps = key().wraps(&slot_id(), &readers);
        let digest = Digest::of_blob(&wraps.encode());
        assert_eq!(
            digest.to_string(),
            "d8dc2b90b8be5a885b8443160f73f3ec60c483083d24d5a8c6628366101f92bd"
        );
    }
}

//! Proofs about single keys of the state, as the store makes them: that a record is there, or that none is.
//!
//! The store keeps each record under the hash of its key and beside the hash of the next. So a record proves itself; and where none is, the record before proves that the
//! next one comes behind the hash that was asked for.

use crate::{
    genesis::BlockDigest,
    light::LightError,
    qmdb::{CHUNK_BYTES, Database, ENTRY_VALUE_BYTES_MAX, Entry},
};
use bytes::BufMut;
use commonware_codec::{
    Buf, Copying, Decode as _, Encode as _, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write,
};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_runtime::Spawner;
use commonware_storage::{
    Context as StorageContext,
    mmr::Family,
    qmdb::{
        any::value::VariableEncoding,
        current::ordered::proof::constant::{ExclusionProof, KeyValueProof},
    },
};
use fairweir_types::Digest;

/// Digests of a path at most: two trees of 2^64 leaves.
const PATH_MAX: usize = 256;
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

type Present = KeyValueProof<Family, BlockDigest, BlockDigest, CHUNK_BYTES>;
type Absent =
    ExclusionProof<Family, BlockDigest, VariableEncoding<Entry>, BlockDigest, CHUNK_BYTES>;

/// What the store says about a key.
#[derive(Clone, Debug)]
enum Said {
    /// No record is there.
    Absent(Box<Absent>),
    /// This one is.
    Present(Vec<u8>, Box<Present>),
}

impl Write for Said {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Absent(proof) => {
                ABSENT.write(buf);
                proof.write(buf);
            }
            Self::Present(record, proof) => {
                PRESENT.write(buf);
                record.write(buf);
                proof.write(buf);
            }
        }
    }
}

impl EncodeSize for Said {
    fn encode_size(&self) -> usize {
        let rest = match self {
            Self::Absent(proof) => proof.encode_size(),
            Self::Present(record, proof) => {
                record.encode_size().saturating_add(proof.encode_size())
            }
        };
        rest.saturating_add(1)
    }
}

impl Read for Said {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            ABSENT => {
                let proof = Absent::read_cfg(buf, &(PATH_MAX, ((), ()), ()))?;
                Ok(Self::Absent(Box::new(proof)))
            }
            PRESENT => {
                let record =
                    Vec::<u8>::read_cfg(buf, &(RangeCfg::new(..=ENTRY_VALUE_BYTES_MAX), ()))?;
                let proof = Present::read_cfg(buf, &(PATH_MAX, ()))?;
                Ok(Self::Present(record, Box::new(proof)))
            }
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

/// A proof about a key, and the root of the state that it leads to.
pub(crate) struct Proven {
    pub(crate) root: Digest,
    pub(crate) proof: Vec<u8>,
}

/// What the store cannot say.
#[derive(Debug, thiserror::Error)]
#[error("state proof: {0}")]
pub(crate) struct NoProof(String);

/// Proves what the store holds under a key now.
pub(crate) async fn prove<E: StorageContext + Spawner>(
    database: &Database<E>,
    key: &[u8],
) -> Result<Proven, NoProof> {
    let failed = |error: &dyn std::fmt::Display| NoProof(error.to_string());
    let hash = Sha256::hash(&[key]);
    let store = database.read().await;
    let found = store.get(&hash).await.map_err(|error| failed(&error))?;
    let said = match found {
        Some(entry) => {
            let proof = store.key_value_proof(hash).await;
            Said::Present(
                entry.value,
                Box::new(proof.map_err(|error| failed(&error))?),
            )
        }
        None => {
            let proof = store.exclusion_proof(&hash).await;
            Said::Absent(Box::new(proof.map_err(|error| failed(&error))?))
        }
    };
    Ok(Proven {
        root: Digest(store.root().0),
        proof: said.encode().to_vec(),
    })
}

/// The record that a state holds under a key, or that it holds none, as a proof shows against the state's root: `state_root` of a final block's header.
///
/// # Errors
/// [`LightError::StateMalformed`], [`LightError::OtherState`].
pub(crate) fn verify(
    key: &[u8],
    proof: &[u8],
    root: &Digest,
) -> Result<Option<Vec<u8>>, LightError> {
    let said = Said::decode_cfg(Copying(proof), &()).map_err(LightError::StateMalformed)?;
    let (hash, root) = (Sha256::hash(&[key]), BlockDigest::from(root.0));
    let (record, holds) = match said {
        Said::Absent(proof) => (None, proof.verify::<Sha256>(&hash, &root)),
        Said::Present(value, proof) => {
            let entry = Entry {
                key: key.to_vec(),
                value: value.clone(),
            };
            let holds = proof.verify::<Sha256, VariableEncoding<Entry>>(hash, entry, &root);
            (Some(value), holds)
        }
    };
    if holds {
        Ok(record)
    } else {
        Err(LightError::OtherState)
    }
}

//! The authenticated store: a `current::ordered` QMDB whose key is the hash of a ledger key and whose value holds the
//! ledger key and its value, so that the state in memory is rebuilt by reading the store once.
//!
//! Invariants: writes enter in the order of ledger keys, because a root depends on that order; a value never exceeds
//! [`ENTRY_VALUE_BYTES_MAX`], which the codec enforces on both sides.

use crate::genesis::BlockDigest;
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_glue::stateful::db::{
    AttachableResolver, Merkleized as _, Shared, Unmerkleized as _, current,
};
use commonware_parallel::Sequential;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context as StorageContext,
    index::ordered::Index,
    journal::contiguous::variable::{Config as LogConfig, Journal},
    merkle::full::Config as MerkleConfig,
    mmr::{Family, Location},
    qmdb::{
        any::{operation::Operation as AnyOperation, ordered, value::VariableEncoding},
        current::{VariableConfig, ordered::variable},
        sync::{Request, Source, source},
    },
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize};
use fairweir_ledger::Writes;
use fairweir_types::Digest;
use futures::{StreamExt as _, pin_mut};

/// Bytes of one ledger key. Keys are a tag and a few fixed-size parts.
pub(crate) const ENTRY_KEY_BYTES_MAX: usize = 1_024;
/// Bytes of one ledger value. The largest record is an order with its inline spec.
pub(crate) const ENTRY_VALUE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a bitmap chunk: a multiple of the digest size and a power of two.
const CHUNK_BYTES: usize = 64;

/// One record of the ledger as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The ledger key.
    pub(crate) key: Vec<u8>,
    /// The ledger value.
    pub(crate) value: Vec<u8>,
}

impl Write for Entry {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.key.write(buf);
        self.value.write(buf);
    }
}

impl EncodeSize for Entry {
    fn encode_size(&self) -> usize {
        self.key.encode_size() + self.value.encode_size()
    }
}

impl Read for Entry {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let key = Vec::<u8>::read_cfg(buf, &(RangeCfg::new(..=ENTRY_KEY_BYTES_MAX), ()))?;
        let value = Vec::<u8>::read_cfg(buf, &(RangeCfg::new(..=ENTRY_VALUE_BYTES_MAX), ()))?;
        Ok(Self { key, value })
    }
}

/// The store.
pub(crate) type Qmdb<E> =
    variable::Db<Family, E, BlockDigest, Entry, Sha256, EightCap, CHUNK_BYTES, Sequential>;
/// The store as consensus shares it.
pub(crate) type Database<E> = Shared<Qmdb<E>>;
type Update = ordered::Update<BlockDigest, VariableEncoding<Entry>>;
type Operation = AnyOperation<Family, Update>;
type Log<E> = Journal<E, Operation>;
/// A batch of writes on top of a block's state.
pub(crate) type Batch<E> = current::CurrentUnmerkleized<
    Family,
    E,
    Log<E>,
    Index<EightCap, Location>,
    Sha256,
    Update,
    CHUNK_BYTES,
    Sequential,
>;
/// A batch whose roots are known.
pub(crate) type Sealed<E> = current::CurrentMerkleized<
    Family,
    E,
    Log<E>,
    Index<EightCap, Location>,
    Sha256,
    Update,
    CHUNK_BYTES,
    Sequential,
>;
/// How the store is opened.
pub(crate) type Config = VariableConfig<EightCap, ((), ()), Sequential>;

/// How a store under a partition prefix is opened.
pub(crate) fn config(prefix: &str, page_cache: &CacheRef) -> Config {
    Config {
        merkle_config: MerkleConfig {
            journal_partition: format!("{prefix}-state-merkle-journal"),
            metadata_partition: format!("{prefix}-state-merkle-metadata"),
            items_per_blob: NZU64!(65_536),
            write_buffer: NZUsize!(1 << 16),
            replay_buffer: NZUsize!(1 << 16),
            strategy: Sequential,
            page_cache: page_cache.clone(),
        },
        journal_config: LogConfig {
            partition: format!("{prefix}-state-log"),
            items_per_section: NZU64!(65_536),
            compression: None,
            codec_config: ((), ()),
            page_cache: page_cache.clone(),
            write_buffer: NZUsize!(1 << 16),
            replay_buffer: NZUsize!(1 << 16),
        },
        grafted_metadata_partition: format!("{prefix}-state-bitmap"),
        translator: EightCap,
        init_cache: Some(NZUsize!(65_536)),
        init_buffer: NZUsize!(1 << 21),
        init_concurrency: (),
    }
}

/// The roots that a block header commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// The root that state proofs start from.
    pub(crate) state: Digest,
    /// The root of the log of operations.
    pub(crate) ops: Digest,
    /// First operation that a copy of the state needs.
    pub(crate) range_start: u64,
    /// One past the last operation.
    pub(crate) range_end: u64,
}

/// The batch could not be sealed: the disk failed, or the state moved away from the batch's parent.
#[derive(Debug, thiserror::Error)]
#[error("state batch: {0}")]
pub(crate) struct BatchError(String);

/// Writes in canonical order and computes the roots.
pub(crate) async fn seal<E: StorageContext + Spawner>(
    mut batch: Batch<E>,
    writes: &Writes,
) -> Result<(Sealed<E>, Roots), BatchError> {
    for (key, value) in writes {
        let entry = value.as_ref().map(|value| Entry {
            key: key.clone(),
            value: value.clone(),
        });
        batch = batch.write(Sha256::hash(&[key]), entry);
    }
    let sealed = batch
        .merkleize()
        .await
        .map_err(|error| BatchError(error.to_string()))?;
    let roots = Roots {
        state: Digest(sealed.root().0),
        ops: Digest(sealed.ops_root().0),
        range_start: *sealed.sync_boundary(),
        range_end: *sealed.bounds().tip.size,
    };
    Ok((sealed, roots))
}

/// Reads every record of the store: once, at start.
pub(crate) async fn load<E: StorageContext + Spawner>(
    database: &Database<E>,
) -> Result<Writes, BatchError> {
    let guard = database.read().await;
    let stream = guard.stream_range(..);
    pin_mut!(stream);
    let mut writes = Writes::new();
    while let Some(item) = stream.next().await {
        let (_, entry) = item.map_err(|error| BatchError(error.to_string()))?;
        writes.insert(entry.key, Some(entry.value));
    }
    Ok(writes)
}

/// A source of state that never answers: this crate copies no state from peers, it replays blocks.
#[derive(Clone, Debug)]
pub(crate) struct NoStateSync;

/// There is no state to copy.
#[derive(Debug, thiserror::Error)]
#[error("this node copies no state from peers")]
pub(crate) struct NoStateSyncError;

impl Source for NoStateSync {
    type Family = Family;
    type Digest = BlockDigest;
    type Op = Operation;
    type Error = NoStateSyncError;

    async fn serve(&self, _: Request<Self::Family>) -> source::Result<Self> {
        Err(NoStateSyncError)
    }
}

impl<DB: Send + Sync + 'static> AttachableResolver<DB> for NoStateSync {
    async fn attach_database(&self, _: Shared<DB>) {}
}

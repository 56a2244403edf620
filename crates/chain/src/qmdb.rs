//! The authenticated store: a `current::ordered` QMDB whose key is the hash of a ledger key and whose value holds the
//! ledger key and its value, so that the state in memory is rebuilt by reading the store once.
//!
//! Invariants: writes enter in the order of ledger keys, because a root depends on that order; a value never exceeds
//! [`ENTRY_VALUE_BYTES_MAX`], which the codec enforces on both sides.

use crate::genesis::BlockDigest;
use commonware_codec::{
    Buf, Copying, Decode as _, EncodeSize, Error as CodecError, RangeCfg, Read, Write,
};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_glue::stateful::db::{Merkleized as _, Shared, Unmerkleized as _, current};
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
        sync::{Request, source},
        verify_proof, verify_proof_and_pinned_nodes,
    },
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize};
use fairweir_ledger::Writes;
use fairweir_types::{Digest, node_api::AskState};
use futures::{StreamExt as _, pin_mut};
use std::num::NonZeroU64;

/// Bytes of one ledger key. Keys are a tag and a few fixed-size parts.
pub(crate) const ENTRY_KEY_BYTES_MAX: usize = 1_024;
/// Bytes of one ledger value. The largest record is an order with its inline spec.
pub(crate) const ENTRY_VALUE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a bitmap chunk: a multiple of the digest size and a power of two.
pub(crate) const CHUNK_BYTES: usize = 64;

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
/// An entry of the store's log.
pub(crate) type Operation = AnyOperation<Family, Update>;
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

/// A part of the log of operations with its proof.
pub(crate) type Response = source::Response<Family, Operation, BlockDigest>;

/// A question for a part, as the store's library has it; none if it asks for nothing.
pub(crate) fn request(ask: &AskState) -> Option<Request<Family>> {
    let (size, start) = (Location::new(ask.size), Location::new(ask.start));
    if start >= size {
        return None;
    }
    if ask.is_boundary {
        return Some(Request::Boundary { size, start });
    }
    let max_ops = NonZeroU64::new(u64::from(ask.max))?;
    Some(Request::Operations {
        size,
        start,
        max_ops,
    })
}

/// The same as other nodes are asked.
pub(crate) fn question(request: &Request<Family>) -> AskState {
    AskState {
        size: *request.size(),
        start: *request.start(),
        max: u32::try_from(request.max_ops().get()).unwrap_or(u32::MAX),
        is_boundary: matches!(request, Request::Boundary { .. }),
    }
}

/// Reads an answer to a request; none if it is malformed or gives more than was asked for.
pub(crate) fn response(request: &Request<Family>, bytes: &[u8]) -> Option<Response> {
    let max = usize::try_from(request.max_ops().get()).ok()?;
    Response::decode_cfg(Copying(bytes), &(max, ((), ()))).ok()
}

/// Whether an answer is what was asked for, and belongs to the root that the log had at the size of the request.
pub(crate) fn holds(request: &Request<Family>, root: &BlockDigest, response: &Response) -> bool {
    if response.proof().leaves != request.size() {
        return false;
    }
    let start = request.start();
    match (request, response) {
        (Request::Operations { max_ops, .. }, Response::Operations { proof, operations }) => {
            let count = u64::try_from(operations.len()).unwrap_or(u64::MAX);
            (1..=max_ops.get()).contains(&count)
                && verify_proof::<Sha256, _, _>(proof, start, operations, root)
        }
        (
            Request::Boundary { .. },
            Response::Boundary {
                proof,
                op,
                pinned_nodes,
            },
        ) => verify_proof_and_pinned_nodes::<Sha256, _, _>(
            proof,
            start,
            std::slice::from_ref(op),
            pinned_nodes,
            root,
        ),
        _ => false,
    }
}

/// How many operations an answer has.
pub(crate) fn operations(response: &Response) -> usize {
    match response {
        Response::Operations { operations, .. } => operations.len(),
        Response::Boundary { .. } => 0,
    }
}

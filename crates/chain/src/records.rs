//! The durable log of what each finalised block did: outcomes and events by height, and where each transaction is.
//!
//! Invariants: a record is durable before anyone is told its outcome; writing the same block twice changes nothing,
//! because finalised blocks may be delivered again after a crash. Blocks and certificates are not here: consensus keeps
//! them.

use crate::{error::StoreError, genesis::BlockDigest};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, ReadExt as _, Write};
use commonware_runtime::{Handle, Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context as StorageContext,
    archive::{Archive as _, Identifier, MultiArchive as _, prunable},
    translator::EightCap,
};
use commonware_utils::{
    NZUsize,
    channel::{mpsc, oneshot},
};
use fairweir_types::{
    Digest, Event, Height, TxOutcome,
    limits::{BLOCK_EVENTS_MAX, BLOCK_TXS_MAX},
};
use std::{num::NonZeroU64, sync::Arc};

/// Requests that wait for the log; senders wait for room.
const QUEUE_MAX: usize = 256;
const TAG_BLOCK: u8 = 0;
const TAG_TX: u8 = 1;

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockRecord {
    /// The outcome of each transaction, in order.
    pub(crate) outcomes: Vec<TxOutcome>,
    /// What happened, in order.
    pub(crate) events: Vec<Event>,
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TxPlace {
    /// Its block.
    pub(crate) height: Height,
    /// Its position in the block.
    pub(crate) index: u32,
}

#[derive(Clone, Debug)]
enum Record {
    Block(Arc<BlockRecord>),
    Tx(TxPlace),
}

impl Write for Record {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        match self {
            Self::Block(record) => {
                TAG_BLOCK.write(buf);
                record.outcomes.write(buf);
                record.events.write(buf);
            }
            Self::Tx(place) => {
                TAG_TX.write(buf);
                place.height.write(buf);
                place.index.write(buf);
            }
        }
    }
}

impl EncodeSize for Record {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Block(record) => record.outcomes.encode_size() + record.events.encode_size(),
            Self::Tx(place) => place.height.encode_size() + place.index.encode_size(),
        }
    }
}

impl Read for Record {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        match u8::read(buf)? {
            TAG_BLOCK => {
                let outcomes = Vec::read_cfg(buf, &(RangeCfg::new(..=BLOCK_TXS_MAX), ()))?;
                let events = Vec::read_cfg(buf, &(RangeCfg::new(..=BLOCK_EVENTS_MAX), ()))?;
                Ok(Self::Block(Arc::new(BlockRecord { outcomes, events })))
            }
            TAG_TX => Ok(Self::Tx(TxPlace {
                height: Height::read(buf)?,
                index: u32::read(buf)?,
            })),
            other => Err(CodecError::InvalidEnum(other)),
        }
    }
}

type Archive<E> = prunable::Archive<EightCap, E, BlockDigest, Record>;

enum Request {
    Append {
        height: Height,
        block: BlockDigest,
        txs: Vec<Digest>,
        record: Arc<BlockRecord>,
        done: oneshot::Sender<()>,
    },
    Prune {
        oldest: Height,
        done: oneshot::Sender<()>,
    },
    Block {
        height: Height,
        answer: oneshot::Sender<Option<Arc<BlockRecord>>>,
    },
    Tx {
        digest: Digest,
        answer: oneshot::Sender<Option<TxPlace>>,
    },
}

/// Asks the log.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    requests: mpsc::Sender<Request>,
}

/// The log's task ended: the node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of blocks is closed")]
pub(crate) struct RecordsClosed;

impl Records {
    /// Opens the log and starts its task. Returns the heights of the first record and of the last one too, if there are any.
    pub(crate) async fn start<E>(
        context: E,
        prefix: &str,
        files: (&CacheRef, NonZeroU64),
    ) -> Result<(Self, Option<(Height, Height)>, Handle<()>), StoreError>
    where
        E: StorageContext + Spawner,
    {
        let config = archive_config(prefix, "records", files, ());
        let archive = prunable::Archive::init(context.child("archive"), config)
            .await
            .map_err(StoreError::new)?;
        let ends = archive.first_index().zip(archive.last_index());
        let ends = ends.map(|(first, last)| (Height(first), Height(last)));
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let task = context.spawn(move |_| run(archive, queue));
        Ok((Self { requests }, ends, task))
    }

    /// Makes a block's record durable.
    pub(crate) async fn append(
        &self,
        height: Height,
        block: BlockDigest,
        txs: Vec<Digest>,
        record: Arc<BlockRecord>,
    ) -> Result<(), RecordsClosed> {
        let (done, receiver) = oneshot::channel();
        self.ask(
            Request::Append {
                height,
                block,
                txs,
                record,
                done,
            },
            receiver,
        )
        .await
    }

    /// Forgets what blocks below a height did, as far as they fill whole files.
    pub(crate) async fn prune(&self, oldest: Height) -> Result<(), RecordsClosed> {
        let (done, receiver) = oneshot::channel();
        self.ask(Request::Prune { oldest, done }, receiver).await
    }

    /// What the block at a height did.
    pub(crate) async fn block(
        &self,
        height: Height,
    ) -> Result<Option<Arc<BlockRecord>>, RecordsClosed> {
        let (answer, receiver) = oneshot::channel();
        self.ask(Request::Block { height, answer }, receiver).await
    }

    /// Where a finalised transaction is.
    pub(crate) async fn tx(&self, digest: Digest) -> Result<Option<TxPlace>, RecordsClosed> {
        let (answer, receiver) = oneshot::channel();
        self.ask(Request::Tx { digest, answer }, receiver).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        receiver: oneshot::Receiver<T>,
    ) -> Result<T, RecordsClosed> {
        self.requests
            .send(request)
            .await
            .map_err(|_| RecordsClosed)?;
        receiver.await.map_err(|_| RecordsClosed)
    }
}

/// How an archive by height is opened.
pub(crate) fn archive_config<C>(
    prefix: &str,
    name: &str,
    (page_cache, blocks_per_file): (&CacheRef, NonZeroU64),
    codec_config: C,
) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{prefix}-{name}-metadata"),
        key_partition: format!("{prefix}-{name}-key"),
        key_page_cache: page_cache.clone(),
        value_partition: format!("{prefix}-{name}-value"),
        compression: None,
        codec_config,
        items_per_section: blocks_per_file,
        key_write_buffer: NZUsize!(1 << 16),
        value_write_buffer: NZUsize!(1 << 18),
        replay_buffer: NZUsize!(1 << 20),
    }
}

/// Serves requests in order. A failing disk ends the task, and with it the node: nothing is acknowledged that is not
/// durable.
async fn run<E: StorageContext + Spawner>(
    mut archive: Archive<E>,
    mut queue: mpsc::Receiver<Request>,
) {
    while let Some(request) = queue.recv().await {
        match request {
            Request::Append {
                height,
                block,
                txs,
                record,
                done,
            } => match append(archive, height, block, &txs, record).await {
                Ok(next) => {
                    archive = next;
                    // The asker may be gone; the record is durable all the same.
                    let _ = done.send(());
                }
                Err(error) => {
                    return tracing::error!(%error, %height, "the log of blocks cannot be written");
                }
            },
            Request::Prune { oldest, done } => match archive.prune(oldest.get()).await {
                Ok(next) => {
                    archive = next;
                    let _ = done.send(());
                }
                Err(error) => {
                    return tracing::error!(%error, %oldest, "the log of blocks cannot be pruned");
                }
            },
            Request::Block { height, answer } => {
                match archive.get(Identifier::Index(height.get())).await {
                    Ok(Some(Record::Block(record))) => drop(answer.send(Some(record))),
                    Ok(_) => drop(answer.send(None)),
                    Err(error) => {
                        return tracing::error!(%error, %height, "the log of blocks cannot be read");
                    }
                }
            }
            Request::Tx { digest, answer } => match archive
                .get(Identifier::Key(&BlockDigest::from(digest.0)))
                .await
            {
                Ok(Some(Record::Tx(place))) => drop(answer.send(Some(place))),
                Ok(_) => drop(answer.send(None)),
                Err(error) => {
                    return tracing::error!(%error, %digest, "the log of transactions cannot be read");
                }
            },
        }
    }
}

/// The block's record comes first at its height, so that reading by height finds it.
async fn append<E: StorageContext + Spawner>(
    mut archive: Archive<E>,
    height: Height,
    block: BlockDigest,
    txs: &[Digest],
    record: Arc<BlockRecord>,
) -> Result<Archive<E>, commonware_storage::archive::Error> {
    let index = height.get();
    // To look for a record goes through all of its height.
    let is_repeated = archive.has_at(index, &block).await?;
    if !is_repeated {
        archive = archive
            .put_multi(index, block, &Record::Block(record))
            .await?;
    }
    for (position, digest) in (0_u32..).zip(txs) {
        let key = BlockDigest::from(digest.0);
        if !is_repeated || !archive.has_at(index, &key).await? {
            archive = archive
                .put_multi(
                    index,
                    key,
                    &Record::Tx(TxPlace {
                        height,
                        index: position,
                    }),
                )
                .await?;
        }
    }
    archive.sync().await
}

//! Blocks that handed seats over, kept by a node that forgets other old ones: who begins with the genesis alone needs them to know whose signatures count now.
//!
//! With each the last block of the epoch before is kept, which says since when those had the seats who handed them over: a light client finds the
//! handovers by going backwards from one to the other.

use crate::{
    error::StoreError,
    genesis::BlockDigest,
    handle::{ChainHandle, FinalisedBlock},
    records::{RecordsClosed, archive_config},
};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, RangeCfg, Read, ReadExt as _, Write};
use commonware_runtime::{Handle, Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context as StorageContext,
    archive::{Archive as _, Identifier, prunable},
    translator::EightCap,
};
use commonware_utils::channel::{mpsc, oneshot};
use fairweir_types::{
    Block, Event, Height,
    handover::began,
    limits::{BLOCK_EVENTS_MAX, BLOCK_TXS_MAX, CERTIFICATE_BYTES_MAX},
};
use std::num::NonZeroU64;

/// Requests that wait.
const QUEUE_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Kept(FinalisedBlock);

impl Write for Kept {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.block.write(buf);
        self.0.certificate.write(buf);
        self.0.outcomes.write(buf);
        self.0.events.write(buf);
    }
}

impl EncodeSize for Kept {
    fn encode_size(&self) -> usize {
        self.0.block.encode_size()
            + self.0.certificate.encode_size()
            + self.0.outcomes.encode_size()
            + self.0.events.encode_size()
    }
}

impl Read for Kept {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let block = Block::read(buf)?;
        Ok(Self(FinalisedBlock {
            digest: block.header.digest(),
            block,
            descendants: Vec::new(),
            certificate: Vec::read_cfg(buf, &(RangeCfg::new(..=CERTIFICATE_BYTES_MAX), ()))?,
            outcomes: Vec::read_cfg(buf, &(RangeCfg::new(..=BLOCK_TXS_MAX), ()))?,
            events: Vec::read_cfg(buf, &(RangeCfg::new(..=BLOCK_EVENTS_MAX), ()))?,
        }))
    }
}

enum Request {
    Keep(Box<FinalisedBlock>, oneshot::Sender<()>),
    Get(Height, oneshot::Sender<Option<FinalisedBlock>>),
}

/// Asks for blocks that handed seats over.
#[derive(Clone, Debug)]
pub(crate) struct Handovers {
    requests: mpsc::Sender<Request>,
}

impl Handovers {
    /// Opens what is kept and starts its task.
    pub(crate) async fn start<E: StorageContext + Spawner>(
        context: E,
        prefix: &str,
        files: (&CacheRef, NonZeroU64),
    ) -> Result<(Self, Handle<()>), StoreError> {
        let config = archive_config(prefix, "handovers", files, ());
        let archive = prunable::Archive::init(context.child("archive"), config);
        let archive: Archive<E> = archive.await.map_err(StoreError::new)?;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let task = context.spawn(move |_| run(archive, queue));
        Ok((Self { requests }, task))
    }

    /// The block at a height, if it is kept here.
    pub(crate) async fn get(
        &self,
        height: Height,
    ) -> Result<Option<FinalisedBlock>, RecordsClosed> {
        let (answer, found) = oneshot::channel();
        self.ask(Request::Get(height, answer), found).await
    }

    async fn keep(&self, block: FinalisedBlock) -> Result<(), RecordsClosed> {
        let (done, kept) = oneshot::channel();
        self.ask(Request::Keep(Box::new(block), done), kept).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, RecordsClosed> {
        let sent = self.requests.send(request).await;
        sent.map_err(|_| RecordsClosed)?;
        answer.await.map_err(|_| RecordsClosed)
    }
}

type Archive<E> = prunable::Archive<EightCap, E, BlockDigest, Kept>;

/// Serves requests in order; a failing disk ends it, and with it the node.
async fn run<E: StorageContext + Spawner>(
    mut archive: Archive<E>,
    mut queue: mpsc::Receiver<Request>,
) {
    while let Some(request) = queue.recv().await {
        match request {
            Request::Keep(block, done) => match put(archive, *block).await {
                Ok(next) => {
                    archive = next;
                    let _ = done.send(());
                }
                Err(error) => {
                    return tracing::error!(%error, "a handover of seats cannot be written");
                }
            },
            Request::Get(height, answer) => {
                match archive.get(Identifier::Index(height.get())).await {
                    Ok(kept) => drop(answer.send(kept.map(|Kept(block)| block))),
                    Err(error) => {
                        return tracing::error!(%error, "a handover of seats cannot be read");
                    }
                }
            }
        }
    }
}

async fn put<E: StorageContext + Spawner>(
    archive: Archive<E>,
    block: FinalisedBlock,
) -> Result<Archive<E>, commonware_storage::archive::Error> {
    let (height, digest) = (
        block.block.header.height.get(),
        BlockDigest::from(block.digest.0),
    );
    archive
        .put(height, digest, &Kept(block))
        .await?
        .sync()
        .await
}

/// Keeps the blocks that hand seats over, as they become final; at the start those that are still here.
///
/// Ends when the chain does.
pub(crate) async fn keep(chain: ChainHandle) -> Result<(), crate::ReadError> {
    let core = chain.core();
    let (epochs, handovers) = (core.epochs, core.handovers.clone());
    let mut epoch = epochs.at(chain.oldest_kept()).max(1);
    loop {
        let foot = epochs.foot(epoch);
        chain.wait_height(foot).await?;
        // What is gone already cannot be kept.
        if let Some(found) = or_gone(chain.finalised(foot).await)?
            && hands_over(&found.events, epoch)
        {
            let before = epochs.foot(epoch.saturating_sub(1));
            if let Some(before) = or_gone(chain.finalised(before).await)? {
                handovers.keep(before).await?;
            }
            handovers.keep(found).await?;
        }
        epoch = epoch.saturating_add(1);
    }
}

fn or_gone(
    found: Result<Option<FinalisedBlock>, crate::ReadError>,
) -> Result<Option<FinalisedBlock>, crate::ReadError> {
    match found {
        Err(crate::ReadError::Closed) => Err(crate::ReadError::Closed),
        found => Ok(found.ok().flatten()),
    }
}

/// Whether others have the seats of an epoch than of the one before.
fn hands_over(events: &[Event], epoch: u64) -> bool {
    began(events).is_some_and(|began| began.epoch == epoch && began.since == epoch)
}

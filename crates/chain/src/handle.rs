//! What a node asks its chain.

use crate::{
    blobs::{self, SoughtBlob},
    block::ChainBlock,
    error::{ReadError, SubmitError, WaitError},
    genesis::Scheme,
    light::DESCENDANTS_MAX,
    records::RecordsClosed,
    replica::Core,
    state_proof::Proven,
    state_server,
    tip::Tip,
    upgrade::UpgradeStop,
    watched::Watcher,
};
use commonware_codec::Encode as _;
use commonware_consensus::{
    marshal::{Identifier, core::Mailbox, standard::Standard},
    types::Height as ConsensusHeight,
};
use commonware_utils::channel::{mpsc, oneshot};
use fairweir_ledger::{
    Fault, State,
    upgrades::{self, Plans},
};
use fairweir_types::{
    Block, BlockHeader, BoundedBytes, BoundedVec, Digest, Event, Genesis, Height, SignedTx,
    TxOutcome,
    double_vote::DoubleVote,
    node_api::{AskState, RulesReport, SupplyReport},
    state_proof::StateProof,
};
use std::{fmt, sync::Arc};

/// How often a proof is tried while blocks come between: who asks has gone after some seconds.
const PROOF_TRIES: usize = 4;

pub(crate) type Marshal = Mailbox<Scheme, Standard<ChainBlock>>;

/// A running chain. Clones share it; the chain runs until its tasks are stopped, not until handles are dropped.
#[derive(Clone)]
pub struct ChainHandle {
    core: Arc<Core>,
    marshal: Marshal,
    blobs: mpsc::Sender<blobs::Question>,
}

impl fmt::Debug for ChainHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainHandle")
            .field("tip", &self.tip())
            .finish_non_exhaustive()
    }
}

/// A finalised block with everything it did, and the proof that it is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalisedBlock {
    /// The block.
    pub block: Block,
    /// Its digest.
    pub digest: Digest,
    /// The headers of the blocks after it up to the one that the certificate is over: none, unless the block was
    /// finalised through a descendant. At most [`DESCENDANTS_MAX`].
    pub descendants: Vec<BlockHeader>,
    /// The finality certificate over the last descendant, or over the block itself.
    pub certificate: Vec<u8>,
    /// The outcome of each transaction.
    pub outcomes: Vec<TxOutcome>,
    /// What happened.
    pub events: Vec<Event>,
}

/// The outcome of a transaction in a finalised, durable block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncludedTx {
    /// The block's height.
    pub height: Height,
    /// What became of the transaction.
    pub outcome: TxOutcome,
}

impl From<RecordsClosed> for ReadError {
    fn from(_: RecordsClosed) -> Self {
        Self::Closed
    }
}

impl ChainHandle {
    pub(crate) const fn new(
        core: Arc<Core>,
        marshal: Marshal,
        blobs: mpsc::Sender<blobs::Question>,
    ) -> Self {
        Self {
            core,
            marshal,
            blobs,
        }
    }

    /// A blob that is not here, from another node. One that a transaction names (`is_named`) is looked for longer, up to ten seconds, and before others.
    pub async fn seek_blob(&self, digest: Digest, is_named: bool) -> SoughtBlob {
        let (answer, answered) = oneshot::channel();
        let question = blobs::Question::Seek {
            digest,
            is_named,
            answer,
        };
        if self.blobs.try_send(question).is_err() {
            return SoughtBlob::Later;
        }
        answered.await.unwrap_or(SoughtBlob::Later)
    }

    /// Sees to it that other nodes get a blob that a client left here: a node that follows hands it on to one that is asked. False if that failed, and can be tried again.
    pub async fn hand_on_blob(&self, blob: Vec<u8>) -> bool {
        if self.core.config.vote_key.is_some() {
            // Peers ask for it when they need it.
            return true;
        }
        let (answer, answered) = oneshot::channel();
        let question = blobs::Question::HandOn(blob, answer);
        self.blobs.try_send(question).is_ok() && answered.await.unwrap_or(false)
    }

    /// What the parts of the chain share.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// The genesis of the chain.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.core.config.genesis
    }

    /// The changes of rules that this program knows.
    #[must_use]
    pub fn plans(&self) -> Plans {
        self.core.config.plans
    }

    /// Why this node makes and takes no more blocks, if so: the chain goes on by rules that this program cannot follow.
    #[must_use]
    pub fn stopped(&self) -> Option<UpgradeStop> {
        self.core.rules.stop()
    }

    /// Waits until this node makes and takes no more blocks because of the rules.
    pub async fn wait_stopped(&self) -> UpgradeStop {
        self.core.rules.wait().await
    }

    /// Which rules are in force, and which are to come.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn rules(&self) -> Result<RulesReport, Fault> {
        self.read(|state| upgrades::report(state, self.plans()))
    }

    /// The first epoch in which this node votes, whatever seats it has: what it voted before was lost.
    #[must_use]
    pub fn votes_from(&self) -> u64 {
        self.core.config.votes_from
    }

    /// Checks a transaction and keeps it for a block. A transaction that waits already is taken again. Costs one
    /// signature check.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is kept then.
    pub fn submit(&self, tx: SignedTx) -> Result<Digest, SubmitError> {
        self.core.submit(tx)
    }

    /// The same, but transactions that come at the same moment are checked together, which takes less than half as long for each.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is kept then, but perhaps if the chain stops meanwhile.
    pub async fn offer(&self, tx: SignedTx) -> Result<Digest, SubmitError> {
        self.core.offer(tx).await
    }

    /// The number of transactions that wait for a block.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.core.waiting()
    }

    /// Evidence against validators whose double votes this replica met since it started, one pair of votes for each.
    #[must_use]
    pub fn double_votes(&self) -> Vec<DoubleVote> {
        self.core.double_votes.all()
    }

    /// The newest block that is final and durable.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.core.tip()
    }

    /// The header of the newest block whose effects are in the state: of the genesis before the first one.
    #[must_use]
    pub fn header(&self) -> BlockHeader {
        self.core.cache.applied().1
    }

    /// From where on blocks are kept for certain.
    #[must_use]
    pub fn oldest_kept(&self) -> Height {
        self.core.oldest_kept()
    }

    /// A part of the state as it was after some block, for who copies it: operations of the store with their proof, as the store's library encodes them.
    ///
    /// # Errors
    /// [`ReadError::StateGone`], [`ReadError::Busy`], [`ReadError::Closed`].
    pub async fn state_part(&self, ask: AskState) -> Result<Vec<u8>, ReadError> {
        state_server::ask(&self.core.state, ask).await
    }

    /// Proves what the newest state holds under a key, or that it holds nothing.
    ///
    /// # Errors
    /// [`ReadError::Unproven`], [`ReadError::Busy`], [`ReadError::Closed`].
    pub async fn prove(&self, key: &[u8]) -> Result<StateProof, ReadError> {
        let bounded = BoundedBytes::new(key.to_vec()).map_err(|_| ReadError::Unproven)?;
        for _ in 0..PROOF_TRIES {
            let tip = self.tip().height;
            let Proven { root, proof } =
                state_server::prove(&self.core.state, key.to_vec()).await?;
            let header = self.header_of(&root).await?;
            let certified = match &header {
                Some(header) => self.proof(header.height).await,
                None => None,
            };
            let (Some(header), Some((descendants, certificate))) = (header, certified) else {
                // Blocks came between, or there is none yet.
                self.wait_height(Height(tip.get().saturating_add(1)))
                    .await?;
                continue;
            };
            let parts = (
                BoundedVec::new(descendants),
                BoundedBytes::new(certificate),
                BoundedBytes::new(proof),
            );
            let (Ok(descendants), Ok(certificate), Ok(proof)) = parts else {
                return Err(ReadError::Unproven);
            };
            return Ok(StateProof {
                key: bounded,
                header,
                descendants,
                certificate,
                proof,
            });
        }
        Err(ReadError::Unproven)
    }

    /// The header with a root of the state: of one of the newest blocks, or of the next.
    async fn header_of(&self, root: &Digest) -> Result<Option<BlockHeader>, ReadError> {
        let tip = self.tip().height;
        // The store takes a block over a moment before its effects are shown.
        for height in [tip.next(), Some(tip), tip.get().checked_sub(1).map(Height)] {
            let Some(height) = height.filter(|height| *height > Height::ZERO) else {
                continue;
            };
            let found = self.block(height).await;
            if let Some(block) = found.filter(|block| block.header.state_root == *root) {
                self.wait_height(height).await?;
                return Ok(Some(block.header));
            }
        }
        Ok(None)
    }

    /// Waits for a tip at `height` or above.
    ///
    /// # Errors
    /// [`ReadError::Closed`].
    pub async fn wait_height(&self, height: Height) -> Result<Tip, ReadError> {
        let mut tips = self.core.watch_tip();
        tips.wait_for(|tip| tip.height >= height)
            .await
            .map_err(|_| ReadError::Closed)
    }

    /// Reads the state after the newest finalised block. The state does not change while `read` runs, and consensus
    /// waits for it: keep it short.
    pub fn read<T>(&self, read: impl FnOnce(&dyn State) -> T) -> T {
        self.core.cache.read(read)
    }

    /// Where all money is after the newest finalised block. Only the first call reads the whole state.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn supply(&self) -> Result<SupplyReport, Fault> {
        self.core.cache.supply()
    }

    /// The outcome of a transaction, if it is final and durable.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn outcome(&self, tx: Digest) -> Result<Option<IncludedTx>, ReadError> {
        if let Some((height, outcome)) = self.core.recent_outcome(&tx) {
            return Ok(Some(IncludedTx { height, outcome }));
        }
        let Some(place) = self.core.records.tx(tx).await? else {
            return Ok(None);
        };
        if place.height > self.tip().height {
            return Ok(None);
        }
        let incomplete = self.missing(place.height);
        let record = self
            .core
            .records
            .block(place.height)
            .await?
            .ok_or(incomplete)?;
        let index = usize::try_from(place.index).map_err(|_| incomplete)?;
        let outcome = record.outcomes.get(index).ok_or(incomplete)?.clone();
        Ok(Some(IncludedTx {
            height: place.height,
            outcome,
        }))
    }

    /// Waits until a transaction is final and durable.
    ///
    /// # Errors
    /// [`WaitError::Dropped`] once it is known that it will not be included from here.
    pub async fn wait_outcome(&self, tx: Digest) -> Result<IncludedTx, WaitError> {
        let mut tips = self.core.watch_tip();
        loop {
            tips.mark_unchanged();
            let is_waiting = self.core.is_waiting(&tx);
            if let Some((height, outcome)) = self.core.recent_outcome(&tx) {
                return Ok(IncludedTx { height, outcome });
            }
            if !is_waiting {
                return self.outcome(tx).await?.ok_or(WaitError::Dropped { tx });
            }
            // Whatever leaves the pool does so with a block, or just before one.
            tips.changed().await.map_err(|_| ReadError::Closed)?;
        }
    }

    /// A finalised block, also from before a restart; `None` above the tip and for genesis.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn finalised(&self, height: Height) -> Result<Option<FinalisedBlock>, ReadError> {
        if height > self.tip().height || height == Height::ZERO {
            return Ok(None);
        }
        if height < self.core.oldest_kept()
            && let Some(kept) = self.core.handovers.get(height).await?
        {
            return Ok(Some(kept));
        }
        let incomplete = self.missing(height);
        let block = self.block(height).await.ok_or(incomplete)?;
        let record = self.core.records.block(height).await?.ok_or(incomplete)?;
        let (descendants, certificate) = self.proof(height).await.ok_or(incomplete)?;
        Ok(Some(FinalisedBlock {
            digest: block.header.digest(),
            block,
            descendants,
            certificate,
            outcomes: record.outcomes.clone(),
            events: record.events.clone(),
        }))
    }

    /// Why a final block is not there.
    fn missing(&self, height: Height) -> ReadError {
        let oldest = self.core.oldest_kept();
        if height < oldest {
            return ReadError::Pruned { height, oldest };
        }
        ReadError::Incomplete { height }
    }

    async fn block(&self, height: Height) -> Option<Block> {
        let block = self
            .marshal
            .get_block(Identifier::Height(ConsensusHeight::new(height.get())))
            .await?;
        Some(block.inner().block().clone())
    }

    /// The nearest certificate at or above a height, and the headers between.
    async fn proof(&self, height: Height) -> Option<(Vec<BlockHeader>, Vec<u8>)> {
        let mut descendants = Vec::new();
        let mut at = height;
        loop {
            if let Some(finalization) = self
                .marshal
                .get_finalization(ConsensusHeight::new(at.get()))
                .await
            {
                return Some((descendants, finalization.encode().to_vec()));
            }
            if descendants.len() >= DESCENDANTS_MAX {
                return None;
            }
            at = at.next()?;
            descendants.push(self.block(at).await?.header);
        }
    }

    /// Follows finalised blocks from a height on: first those in the store, then new ones as they become durable.
    #[must_use]
    pub fn subscribe(&self, from: Height) -> Subscription {
        Subscription {
            chain: self.clone(),
            next: from.max(Height(1)),
            tips: self.core.watch_tip(),
        }
    }
}

/// Finalised blocks in order. Holds no queue: a slow reader reads from the store.
#[derive(Debug)]
pub struct Subscription {
    chain: ChainHandle,
    next: Height,
    tips: Watcher<Tip>,
}

impl Subscription {
    /// The height of the next block.
    #[must_use]
    pub const fn next_height(&self) -> Height {
        self.next
    }

    /// Waits for the next block. A dropped call loses nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<FinalisedBlock, ReadError> {
        let height = self.next;
        self.tips
            .wait_for(|tip| tip.height >= height)
            .await
            .map_err(|_| ReadError::Closed)?;
        let block = self
            .chain
            .finalised(height)
            .await?
            .ok_or(ReadError::Incomplete { height })?;
        self.next = height.next().ok_or(ReadError::Incomplete { height })?;
        Ok(block)
    }
}

const fn shared_by_threads<T: Clone + Send + Sync + 'static>() {}
const _: () = shared_by_threads::<ChainHandle>();

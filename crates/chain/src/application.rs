//! The state machine as consensus drives it: builds a block, executes a block, takes over a finalised block.
//!
//! Execution is the ledger's, pure and synchronous, on the state in memory; its writes go to the authenticated store in
//! the order of their keys, and the roots must be those of the header. An honest proposer's block is never refused for
//! a local reason: a block from the near future is waited for.

use crate::{
    block::ChainBlock,
    genesis::{BlockDigest, Context, Scheme},
    qmdb::{self, Batch, Database, Roots, Sealed},
    replica::Core,
    state::Executed,
};
use commonware_codec::Encode as _;
use commonware_consensus::{marshal::ancestry::Ancestry, types::View};
use commonware_cryptography::Digestible as _;
use commonware_glue::stateful::{Application, Finality, Input, Proposed, db::DatabaseSet};
use commonware_runtime::{Clock, Spawner};
use commonware_storage::{Context as StorageContext, mmr::Location, qmdb::sync::Target};
use commonware_utils::{SystemTimeExt as _, non_empty_range};
use fairweir_ledger::{
    BlockContext, BlockError, BlockOutcome, BuiltBlock, EnvelopeError, Fault, Writes,
};
use fairweir_types::{
    Block, BlockHeader, BoundedVec, Digest, Height, Millis, SignedTx, VerifiedTx,
    block::{BLOCK_VERSION, CERTIFICATE_SCHEME_BLS12381_MULTISIG, next_beacon},
    limits::BLOCK_TX_BYTES_MAX,
    merkle,
};
use rand_core::CryptoRng;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How far a block's time may be ahead of this node's clock.
const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(2);
/// How long a block from the future is waited for before it is refused; bounds what a lying proposer can hold up.
const FUTURE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The state machine.
#[derive(Clone)]
pub(crate) struct App {
    core: Arc<Core>,
    genesis: ChainBlock,
    /// The ledger's genesis records, which enter the store with block 1.
    genesis_writes: Arc<Writes>,
}

/// Why a block is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the {0} of the header is not the block's")]
    Header(&'static str),
    #[error("time {found} is not after the parent's, {parent}")]
    NotLater { parent: Millis, found: Millis },
    #[error("time {found} is too far in the future")]
    Future { found: Millis },
    #[error("the transactions have {found} bytes")]
    TooLong { found: usize },
    #[error("a transaction is malformed or not signed by its sender")]
    Transaction(#[from] fairweir_types::tx::TxFormError),
    #[error("the ledger refuses the block")]
    Ledger(#[from] BlockError),
    #[error("this node follows and has no vote")]
    NoVote,
    #[error("the parent is not known")]
    Parent(#[from] crate::state::UnknownBlock),
    #[error(transparent)]
    Batch(#[from] qmdb::BatchError),
}

impl Refusal {
    /// Whether it says nothing of the block: its rules are not those of this program.
    const fn is_about_rules(&self) -> bool {
        matches!(
            self,
            Self::Ledger(BlockError::Fault(
                Fault::UnknownUpgrade { .. } | Fault::Migration { .. }
            ))
        )
    }
}

/// Never answers whether a block is good: a *no* would stay in the store of votes, and hold for the next program, which says yes. With a third of the validators bound to such a
/// *no*, and others to a vote for the block, nobody could go on. So the question stays open until the node ends, which is soon.
async fn no_answer<T>() -> T {
    std::future::pending().await
}

impl App {
    pub(crate) fn new(core: Arc<Core>, genesis: ChainBlock, genesis_writes: Writes) -> Self {
        Self {
            core,
            genesis,
            genesis_writes: Arc::new(genesis_writes),
        }
    }

    /// What time it is by this node's clock, in milliseconds.
    fn now_ms(&self, clock: &impl Clock) -> u64 {
        let skew = self.core.config.simulated.clock_skew_ms;
        clock.current().epoch_millis().saturating_add_signed(skew)
    }

    /// Builds a block on top of `parent`.
    async fn build<E>(
        &self,
        clock: &E,
        context: &Context,
        parent: &ChainBlock,
        batch: Batch<E>,
    ) -> Result<(ChainBlock, Sealed<E>), Refusal>
    where
        E: StorageContext + Spawner,
    {
        let parent = parent.header();
        let height = Height(parent.height.get().saturating_add(1));
        let time = Millis(self.now_ms(clock).max(parent.time.get().saturating_add(1)));
        let signature = self.core.sign_beacon(height).ok_or(Refusal::NoVote)?;
        let beacon = next_beacon(&parent.beacon, &signature);
        let proposer = identity_bytes(context);
        let block_context = self.core.context(parent, time, beacon, proposer);
        let (txs, outcome) = self.fill(context.parent.1, &block_context)?;
        let machine = self.core.config.simulated;
        machine.work(clock, 0, txs.len()).await;
        let (sealed, roots) = self.seal(batch, height, &outcome.writes).await?;
        let signed: Vec<SignedTx> = txs.iter().map(|tx| tx.signed().clone()).collect();
        let body = body_roots(&signed, &outcome);
        let header = BlockHeader {
            version: BLOCK_VERSION,
            chain_id: block_context.chain_id,
            certificate_scheme: CERTIFICATE_SCHEME_BLS12381_MULTISIG,
            height,
            parent: Digest(context.parent.1.0),
            epoch: context.round.epoch().get(),
            view: context.round.view().get(),
            parent_view: context.parent.0.get(),
            proposer,
            time,
            beacon_signature: Some(signature),
            beacon,
            transactions_root: body.transactions,
            outcomes_root: body.outcomes,
            events_root: body.events,
            outbox_root: Digest::ZERO,
            state_root: roots.state,
            state_ops_root: roots.ops,
            state_range_start: roots.range_start,
            state_range_end: roots.range_end,
        };
        let transactions =
            BoundedVec::new(signed).map_err(|_| Refusal::Header("number of transactions"))?;
        let mut block = Block {
            header,
            transactions,
        };
        self.core.config.twist(&mut block);
        let block = ChainBlock::new(block).ok_or(Refusal::Header("proposer"))?;
        self.keep(&block, outcome);
        Ok((block, sealed))
    }

    /// Picks transactions and executes them, leaving out what turns out not to be payable.
    fn fill(
        &self,
        parent: BlockDigest,
        context: &BlockContext,
    ) -> Result<(Vec<VerifiedTx>, BlockOutcome), Refusal> {
        let referee = self.core.config.referee.as_ref();
        // Those that may ask the referee, once it turns out that not all can.
        let mut askers: Option<BTreeSet<Digest>> = None;
        loop {
            let (txs, built) = self.core.cache.at(&parent, |state, parent| {
                let txs = self.core.select(state, parent, |tx| {
                    may_go(tx, askers.as_ref()) && !self.core.config.leaves_out(tx.signed())
                });
                let built = fairweir_ledger::build_block(state, context, referee, &txs);
                (txs, built)
            })?;
            match built {
                Ok(BuiltBlock {
                    included,
                    left_out,
                    outcome,
                }) => {
                    for (tx, error) in left_out {
                        tracing::debug!(%tx, %error, "a waiting transaction cannot be included");
                        // What was sent after one that is left out may be good once that is replaced.
                        if !matches!(error, EnvelopeError::NonceTooHigh { .. }) {
                            self.core.drop_tx(&tx);
                        }
                    }
                    return Ok((included, outcome));
                }
                // A second time only if what was picked changed meanwhile; then nobody asks in this block.
                Err(BlockError::RefereeBusy { .. }) if askers.is_some() => {
                    askers = Some(BTreeSet::new());
                }
                Err(BlockError::RefereeBusy { position }) => {
                    let before = txs.iter().take(position);
                    let asking = before.filter(|tx| tx.transaction().action.asks_referee());
                    askers = Some(asking.map(VerifiedTx::digest).collect());
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Executes a block.
    async fn execute<E>(
        &self,
        mut runtime: E,
        block: &ChainBlock,
        batch: Batch<E>,
        finality: Finality,
    ) -> Result<Sealed<E>, Refusal>
    where
        E: StorageContext + Spawner + CryptoRng,
    {
        let header = block.header();
        let signed = block.block().transactions.as_slice().to_vec();
        let parent_digest = BlockDigest::from(header.parent.0);
        let parent = self
            .core
            .cache
            .at(&parent_digest, |_, parent| parent.header.clone())?;
        if finality == Finality::Candidate {
            self.check_candidate(&runtime, block, &parent).await?;
        }
        let (txs, checked) = self.core.verify(signed, &mut runtime)?;
        let machine = self.core.config.simulated;
        machine.work(&runtime, checked, txs.len()).await;
        let context = self
            .core
            .context(&parent, header.time, header.beacon, header.proposer);
        let referee = self.core.config.referee.as_ref();
        let outcome = self.core.cache.at(&parent_digest, |state, _| {
            fairweir_ledger::apply_block(state, &context, referee, &txs)
        })??;
        let body = body_roots(block.block().transactions.as_slice(), &outcome);
        check_equal(
            "transactions root",
            &body.transactions,
            &header.transactions_root,
        )?;
        check_equal("outcomes root", &body.outcomes, &header.outcomes_root)?;
        check_equal("events root", &body.events, &header.events_root)?;
        check_equal("outbox root", &Digest::ZERO, &header.outbox_root)?;
        let (sealed, roots) = self.seal(batch, header.height, &outcome.writes).await?;
        check_equal("state roots", &roots, &claimed_roots(header))?;
        self.keep(block, outcome);
        Ok(sealed)
    }

    /// Checks what the votes of honest validators depend on, besides execution.
    async fn check_candidate(
        &self,
        clock: &impl Clock,
        block: &ChainBlock,
        parent: &BlockHeader,
    ) -> Result<(), Refusal> {
        let header = block.header();
        check_equal("version", &header.version, &BLOCK_VERSION)?;
        check_equal("chain", &header.chain_id, &parent.chain_id)?;
        check_equal(
            "certificate scheme",
            &header.certificate_scheme,
            &CERTIFICATE_SCHEME_BLS12381_MULTISIG,
        )?;
        check_equal("height", &Some(header.height), &parent.height.next())?;
        let found: usize = block
            .block()
            .transactions
            .iter()
            .map(commonware_codec::EncodeSize::encode_size)
            .sum();
        if found > BLOCK_TX_BYTES_MAX {
            return Err(Refusal::TooLong { found });
        }
        if !self.core.beacon_holds(parent, header) {
            return Err(Refusal::Header("beacon"));
        }
        if header.time <= parent.time {
            return Err(Refusal::NotLater {
                parent: parent.time,
                found: header.time,
            });
        }
        let now = Duration::from_millis(self.now_ms(clock));
        let latest = now.saturating_add(CLOCK_DRIFT_MAX);
        let ahead = Duration::from_millis(header.time.get()).saturating_sub(latest);
        if ahead > FUTURE_WAIT_MAX {
            return Err(Refusal::Future { found: header.time });
        }
        clock.sleep(ahead).await;
        Ok(())
    }

    /// Seals a block's writes; the first block also writes the ledger's genesis.
    async fn seal<E>(
        &self,
        batch: Batch<E>,
        height: Height,
        writes: &Writes,
    ) -> Result<(Sealed<E>, Roots), Refusal>
    where
        E: StorageContext + Spawner,
    {
        if height == Height(1) {
            let mut merged = self.genesis_writes.as_ref().clone();
            merged.extend(
                writes
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
            // Nothing is stored yet, so there is nothing to delete.
            merged.retain(|_, value| value.is_some());
            return Ok(qmdb::seal(batch, &merged).await?);
        }
        Ok(qmdb::seal(batch, writes).await?)
    }

    fn keep(&self, block: &ChainBlock, outcome: BlockOutcome) {
        let BlockOutcome {
            writes,
            outcomes,
            events,
            work_pending,
            ..
        } = outcome;
        let executed = Executed {
            header: block.header().clone(),
            writes,
            outcomes,
            events,
            work_pending,
        };
        self.core.cache.insert(block.digest(), executed);
    }
}

/// Whether a transaction may go into a block where only these may ask the referee; without a list, all may.
fn may_go(tx: &VerifiedTx, askers: Option<&BTreeSet<Digest>>) -> bool {
    !tx.transaction().action.asks_referee()
        || askers.is_none_or(|askers| askers.contains(&tx.digest()))
}

fn identity_bytes(context: &Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&context.leader.encode());
    bytes
}

fn check_equal<T: PartialEq>(what: &'static str, left: &T, right: &T) -> Result<(), Refusal> {
    if left == right {
        Ok(())
    } else {
        Err(Refusal::Header(what))
    }
}

fn claimed_roots(header: &BlockHeader) -> Roots {
    Roots {
        state: header.state_root,
        ops: header.state_ops_root,
        range_start: header.state_range_start,
        range_end: header.state_range_end,
    }
}

struct BodyRoots {
    transactions: Digest,
    outcomes: Digest,
    events: Digest,
}

fn body_roots(txs: &[SignedTx], outcome: &BlockOutcome) -> BodyRoots {
    BodyRoots {
        transactions: root_of(txs),
        outcomes: root_of(&outcome.outcomes),
        events: root_of(&outcome.events),
    }
}

/// The Merkle root over the canonical encodings of values: what a header's roots over transactions, outcomes and events
/// are made with.
#[must_use]
pub fn root_of<T: commonware_codec::Encode>(values: &[T]) -> Digest {
    let leaves: Vec<Digest> = values
        .iter()
        .map(|value| merkle::leaf(&value.encode()))
        .collect();
    merkle::root(&leaves)
}

impl<E> Application<E> for App
where
    E: StorageContext + Spawner + CryptoRng,
{
    type SigningScheme = Scheme;
    type Context = Context;
    type Block = ChainBlock;
    type Databases = Database<E>;
    type Captured = ();
    type Provider = ();
    type Input = ();

    fn sync_targets(block: &ChainBlock) -> <Database<E> as DatabaseSet<E>>::SyncTargets {
        let roots = claimed_roots(block.header());
        let (start, end) = (roots.range_start, roots.range_end);
        // A header with an empty range is nobody's state: the range below differs from every real one.
        let range = if start < end {
            non_empty_range!(Location::new(start), Location::new(end))
        } else {
            non_empty_range!(Location::new(0), Location::new(1))
        };
        Target::new(BlockDigest::from(roots.ops.0), range)
    }

    async fn genesis(&mut self) -> ChainBlock {
        self.genesis.clone()
    }

    async fn propose(
        &mut self,
        (clock, context): (E, Context),
        ancestry: impl Ancestry<ChainBlock>,
        batch: Batch<E>,
        _input: Input<(), ()>,
    ) -> Option<Proposed<Self, E>> {
        self.core.cache.wait_ready().await;
        // Behind its last block a node that stops proposes nothing.
        if self.core.rules.stop().is_some() {
            return None;
        }
        let parent = ancestry.peek()?.inner_shared();
        match self.build(&clock, &context, &parent, batch).await {
            Ok((block, merkleized)) => Some(Proposed { block, merkleized }),
            Err(error) => {
                tracing::warn!(view = %context.round.view(), %error, "no block is proposed");
                None
            }
        }
    }

    async fn process(
        &mut self,
        (runtime, _): (E, Context),
        ancestry: impl Ancestry<ChainBlock>,
        batch: Batch<E>,
        finality: Finality,
    ) -> Option<Sealed<E>> {
        self.core.cache.wait_ready().await;
        if self.core.rules.stop().is_some() {
            return no_answer().await;
        }
        let block = ancestry.peek()?.inner_shared();
        match self.execute(runtime, &block, batch, finality).await {
            Ok(sealed) => Some(sealed),
            Err(error) if error.is_about_rules() => {
                tracing::warn!(height = %block.header().height, %error, "a block is of rules that this program cannot follow");
                no_answer().await
            }
            Err(error) => {
                let header = block.header();
                tracing::warn!(height = %header.height, view = %View::new(header.view), %error, "a block is refused");
                None
            }
        }
    }

    async fn capture(
        &mut self,
        _: (E, Context),
        _: &ChainBlock,
        _: &Sealed<E>,
        _: <Database<E> as DatabaseSet<E>>::Readers,
    ) {
    }

    async fn finalized(
        &mut self,
        (_runtime, _): (E, Context),
        block: &ChainBlock,
        (): (),
        _: <Database<E> as DatabaseSet<E>>::Readers,
    ) {
        let digest = block.digest();
        let executed = self
            .core
            .cache
            .executed(&digest)
            .expect("a block is executed before it is finalised");
        let txs = block.block().transactions.as_slice();
        if let Err(error) = self.core.finalised(digest, &executed, txs).await {
            // Nothing may be acknowledged any more: this hook never returns.
            tracing::error!(height = %block.header().height, %error, "a final block cannot be taken over");
            futures::future::pending::<()>().await;
        }
    }
}

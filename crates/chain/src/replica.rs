//! What consensus, mempool and readers share: the state in memory, the pool, the log, and the signals between them.
//!
//! Invariants: a transaction's outcome is shown only after its block's record is durable; a transaction leaves the pool
//! only after its outcome can be found.

mod standing;

use crate::{
    compact::ShortName,
    config::ChainConfig,
    double_votes::{DoubleVotes, is_genuine_by},
    epochs::{Epochs, Schemes},
    error::SubmitError,
    genesis::{self, BlockDigest, Identity},
    handovers::Handovers,
    mempool::{Inserted, Mempool},
    records::{BlockRecord, Records, RecordsClosed},
    state::{Executed, Parent, StateCache},
    state_server::Question,
    submissions::Submission,
    tip::Tip,
    upgrade::Rules,
    watched::{Watched, Watcher},
};
use commonware_macros::select;
use commonware_parallel::Sequential;
use commonware_runtime::Clock;
use commonware_utils::{
    SystemTimeExt as _,
    channel::{mpsc, oneshot},
    sync::Mutex,
};
use fairweir_ledger::{BlockContext, Fault, State, appeals::may_ask, validators};
use fairweir_types::{
    Action, Address, BlockHeader, Digest, Height, Millis, SignedTx, TxOutcome, VerifiedTx,
    block::{beacon_message, next_beacon},
    keys::{Purpose, VoteKey, VoteSignature},
    limits::{BLOCK_TX_BYTES_MAX, BLOCK_TXS_MAX},
    tx::TxFormError,
};
use rand_core::CryptoRng;
use standing::{changed_accounts, check, head, is_hopeless, standing};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Blocks whose outcomes are kept in memory for those who wait.
const RECENT_BLOCKS_MAX: usize = 64;
/// Transactions that may wait for gossip, by their digests; more are dropped, the pool keeps them.
pub(crate) const GOSSIP_QUEUE_MAX: usize = 16_384;

#[derive(Default)]
struct Recent {
    outcomes: BTreeMap<Digest, (Height, TxOutcome)>,
    blocks: VecDeque<Vec<Digest>>,
}

/// Why a final block cannot be taken over; nothing may be acknowledged any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// The log ended.
    #[error(transparent)]
    Records(#[from] RecordsClosed),
    /// The state does not say who votes next.
    #[error("the state does not say who votes next")]
    Seats(#[from] Fault),
}

/// What consensus, mempool and readers share.
pub(crate) struct Core {
    pub(crate) config: ChainConfig,
    pub(crate) identity: Identity,
    pub(crate) cache: StateCache,
    pub(crate) records: Records,
    pub(crate) handovers: Handovers,
    pool: Mutex<Mempool>,
    recent: Mutex<Recent>,
    pub(crate) double_votes: DoubleVotes,
    pub(crate) epochs: Epochs,
    pub(crate) schemes: Schemes,
    pub(crate) rules: Rules,
    tip: Watched<Tip>,
    gossip: mpsc::Sender<Digest>,
    submissions: mpsc::Sender<Submission>,
    pub(crate) state: mpsc::Sender<Question>,
    /// The first block that was executed here and is kept; 0 until that is known.
    first: AtomicU64,
}

/// The ways on which the parts of a replica are asked.
pub(crate) struct Ways {
    /// For transactions that others are told of.
    pub(crate) gossip: mpsc::Sender<Digest>,
    /// For transactions that are checked together.
    pub(crate) submissions: mpsc::Sender<Submission>,
    /// For parts of the state.
    pub(crate) state: mpsc::Sender<Question>,
}

/// Whether a block is worth proposing.
enum Work {
    Ready,
    /// Until this time, unless something changes.
    Later(Duration),
    /// The parent is not executed yet.
    Unknown,
}

impl Core {
    pub(crate) fn new(
        config: ChainConfig,
        cache: StateCache,
        (records, handovers): (Records, Handovers),
        ways: Ways,
    ) -> Self {
        let Ways {
            gossip,
            submissions,
            state,
        } = ways;
        let tip = Tip::of(&cache.applied().1);
        let identity = genesis::identity_of(&config.identity);
        let vote_key = config.vote_key.clone();
        Self {
            epochs: Epochs::of(&config.genesis),
            schemes: Schemes::new(&config.genesis, identity.clone(), vote_key),
            identity,
            pool: Mutex::new(Mempool::new(config.mempool)),
            recent: Mutex::default(),
            double_votes: DoubleVotes::default(),
            rules: Rules::default(),
            tip: Watched::new(tip),
            config,
            cache,
            records,
            handovers,
            gossip,
            submissions,
            state,
            first: AtomicU64::new(0),
        }
    }

    /// The newest durable block.
    pub(crate) fn tip(&self) -> Tip {
        self.tip.get()
    }

    /// A signal of new durable blocks.
    pub(crate) fn watch_tip(&self) -> Watcher<Tip> {
        self.tip.watch()
    }

    /// Shows the block that the store holds at start.
    pub(crate) fn show(&self, header: &BlockHeader) {
        self.tip.set(Tip::of(header));
    }

    /// The proposer's part of the beacon for a height; only a validator has one.
    pub(crate) fn sign_beacon(&self, height: Height) -> Option<VoteSignature> {
        let message = beacon_message(&self.config.genesis.chain_id, height);
        let key = self.config.vote_key.as_ref()?;
        Some(key.sign(Purpose::Beacon, &message))
    }

    /// The context of a block on top of a parent.
    pub(crate) fn context(
        &self,
        parent: &BlockHeader,
        time: Millis,
        beacon: Digest,
        proposer: [u8; 32],
    ) -> BlockContext {
        let height = Height(parent.height.get().saturating_add(1));
        BlockContext {
            chain_id: self.config.genesis.chain_id.clone(),
            height,
            time,
            beacon,
            proposer,
            plans: self.config.plans,
        }
    }

    /// The context in which envelopes are checked before a block exists: the beacon of the coming block is not known.
    fn likely_context(&self, parent: &BlockHeader) -> BlockContext {
        let time = Millis(parent.time.get().saturating_add(1));
        self.context(parent, time, parent.beacon, parent.proposer)
    }

    /// Checks a transaction from outside and keeps it for a block.
    pub(crate) fn submit(&self, tx: SignedTx) -> Result<Digest, SubmitError> {
        self.check_chain(&tx)?;
        self.keep(tx.verify()?)
    }

    /// The same for many, whose signatures are checked together.
    pub(crate) fn submit_together(
        &self,
        txs: Vec<SignedTx>,
        rng: &mut impl CryptoRng,
    ) -> Vec<Result<Digest, SubmitError>> {
        let (ours, others): (Vec<_>, Vec<_>) = (0_usize..)
            .zip(txs)
            .partition(|(_, tx)| self.check_chain(tx).is_ok());
        let (places, ours): (Vec<_>, Vec<_>) = ours.into_iter().unzip();
        let kept: Vec<_> = match SignedTx::verify_batch(ours.clone(), rng, &Sequential) {
            Ok(checked) => checked.into_iter().map(|tx| self.keep(tx)).collect(),
            // One of them is bad: each is told what it is.
            Err(_) => ours.into_iter().map(|tx| self.submit(tx)).collect(),
        };
        let refused = others
            .into_iter()
            .map(|(place, tx)| (place, self.submit(tx)));
        let mut kept: Vec<_> = places.into_iter().zip(kept).chain(refused).collect();
        kept.sort_by_key(|(place, _)| *place);
        kept.into_iter().map(|(_, kept)| kept).collect()
    }

    /// Keeps a transaction for a block, and tells other validators.
    fn keep(&self, tx: VerifiedTx) -> Result<Digest, SubmitError> {
        let (digest, inserted) = self.insert(tx)?;
        if inserted == Inserted::New {
            // A full queue loses gossip, not the transaction: it waits here until this validator proposes.
            let _ = self.gossip.try_send(digest);
        }
        Ok(digest)
    }

    /// Hands a transaction to those that are checked together.
    pub(crate) async fn offer(&self, tx: SignedTx) -> Result<Digest, SubmitError> {
        let (answer, kept) = oneshot::channel();
        let submission = Submission { tx, answer };
        let sent = self.submissions.send(submission).await;
        sent.map_err(|_| SubmitError::Closed)?;
        kept.await.map_err(|_| SubmitError::Closed)?
    }

    fn check_chain(&self, tx: &SignedTx) -> Result<(), SubmitError> {
        let (expected, found) = (&self.config.genesis.chain_id, &tx.transaction.chain_id);
        if found == expected {
            return Ok(());
        }
        Err(SubmitError::WrongChain {
            expected: expected.clone(),
            found: found.clone(),
        })
    }

    /// Checks signatures together, of those that the pool does not have; says of how many.
    ///
    /// # Errors
    /// [`TxFormError`] if any is bad, without saying which.
    pub(crate) fn verify(
        &self,
        txs: Vec<SignedTx>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<VerifiedTx>, usize), TxFormError> {
        let known = {
            let digests: Vec<Digest> = txs.iter().map(SignedTx::digest).collect();
            let pool = self.pool.lock();
            let known = digests.iter().map(|digest| pool.by_digest(digest).cloned());
            known.collect()
        };
        verify_unknown(txs, known, rng)
    }

    /// Keeps what another validator passed on.
    pub(crate) fn keep_from_peer(&self, txs: Vec<SignedTx>, rng: &mut impl CryptoRng) {
        let ours = |tx: &SignedTx| self.check_chain(tx).is_ok() && !self.is_waiting(&tx.digest());
        let txs: Vec<SignedTx> = txs.into_iter().filter(ours).collect();
        // If one of them is bad, the others are not.
        let verified = SignedTx::verify_batch(txs.clone(), rng, &Sequential)
            .unwrap_or_else(|_| txs.into_iter().filter_map(|tx| tx.verify().ok()).collect());
        for tx in verified {
            if let Err(error) = self.insert(tx) {
                tracing::debug!(code = error.code(), "a peer's transaction is not kept");
            }
        }
    }

    /// Those of these transactions that still wait.
    pub(crate) fn still_waiting(&self, txs: &[Digest]) -> Vec<SignedTx> {
        let pool = self.pool.lock();
        let waiting = txs.iter().filter_map(|digest| pool.by_digest(digest));
        waiting.map(|tx| tx.signed().clone()).collect()
    }

    /// The waiting transaction of each short name ([`Mempool::all_named`]).
    pub(crate) fn waiting_named(
        &self,
        names: &[ShortName],
        bytes_max: usize,
    ) -> Option<Vec<Option<SignedTx>>> {
        self.pool.lock().all_named(names, bytes_max)
    }

    /// Keeps a transaction for a block without telling other validators.
    fn insert(&self, tx: VerifiedTx) -> Result<(Digest, Inserted), SubmitError> {
        let digest = tx.digest();
        let (_, header) = self.cache.applied();
        let context = self.likely_context(&header);
        self.cache.read(|state| check(state, &context, &tx))?;
        self.check_proofs(&tx)?;
        // As long as the state is read no block takes what the account has: what is taken here, the sweep behind the next block sees.
        let inserted = self.cache.read(|state| {
            let standing = standing(state, &tx.sender());
            self.pool.lock().insert(tx, standing)
        })?;
        if inserted == Inserted::New {
            self.cache.changed();
        }
        Ok((digest, inserted))
    }

    /// A block checks few reports and registrations: made-up ones must not take the places of others.
    fn check_proofs(&self, tx: &VerifiedTx) -> Result<(), SubmitError> {
        let genesis = &self.config.genesis;
        match &tx.transaction().action {
            Action::ReportDoubleVote(report) => {
                let identity = &report.evidence.validator;
                // Also those who registered since the genesis.
                let known = self.vote_key_of(identity);
                let is_genuine =
                    known.is_some_and(|key| is_genuine_by(genesis, &key, &report.evidence));
                is_genuine.then_some(()).ok_or(SubmitError::NotItsVotes)
            }
            Action::RegisterCandidate(register) => {
                let proven = register.proven(genesis.digest(), tx.sender());
                proven.map(drop).ok_or(SubmitError::KeysNotProven)
            }
            _ => Ok(()),
        }
    }

    /// Whether a transaction waits for a block.
    pub(crate) fn is_waiting(&self, digest: &Digest) -> bool {
        self.pool.lock().contains(digest)
    }

    /// Transactions that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.pool.lock().len()
    }

    /// The outcome of a transaction in one of the newest blocks.
    pub(crate) fn recent_outcome(&self, digest: &Digest) -> Option<(Height, TxOutcome)> {
        self.recent.lock().outcomes.get(digest).cloned()
    }

    /// Picks transactions for a block on top of a parent, of those that may go.
    pub(crate) fn select(
        &self,
        state: &dyn State,
        parent: Parent<'_>,
        may_go: impl Fn(&VerifiedTx) -> bool,
    ) -> Vec<VerifiedTx> {
        let context = self.likely_context(parent.header);
        let pool = self.pool.lock();
        let heads = pool
            .ready()
            .filter_map(|sender| head(&pool, state, &context, sender))
            .collect();
        let limits = (BLOCK_TXS_MAX, BLOCK_TX_BYTES_MAX);
        pool.select(heads, limits, may_go, |tx| {
            may_ask(state, tx.sender(), &tx.transaction().action).unwrap_or(false)
        })
    }

    /// A signal of changes of the pool, and of the state.
    pub(crate) fn watch_pool(&self) -> Watcher<u64> {
        self.cache.watch()
    }

    /// The next transaction of each account that could be included now, but for those that `skips` says yes to; at most `max`.
    pub(crate) fn next_of_each(
        &self,
        max: usize,
        skips: impl Fn(&Digest) -> bool,
    ) -> Vec<SignedTx> {
        let (_, header) = self.cache.applied();
        let context = self.likely_context(&header);
        self.cache.read(|state| {
            let pool = self.pool.lock();
            pool.ready()
                .filter_map(|sender| head(&pool, state, &context, sender))
                .filter(|tx| !skips(&tx.digest()))
                .take(max)
                .map(|tx| tx.signed().clone())
                .collect()
        })
    }

    /// Drops a transaction that a proposer could not include.
    pub(crate) fn drop_tx(&self, digest: &Digest) {
        self.pool.lock().drop_tx(digest);
        self.cache.changed();
    }

    /// Waits until a block on top of `parent` is worth proposing: a transaction may be included, the ledger's timers
    /// wait, or the heartbeat is over.
    pub(crate) async fn wait_for_work(&self, clock: &impl Clock, parent: BlockDigest) {
        self.cache.wait_ready().await;
        let start = clock.current();
        let mut changes = self.cache.watch();
        loop {
            changes.mark_unchanged();
            let now = clock.current();
            let waited = now.duration_since(start).unwrap_or_default();
            let rest = self.config.heartbeat.saturating_sub(waited);
            let wait = match self.work(parent, now) {
                Work::Ready => return,
                Work::Later(wait) => wait.min(rest),
                Work::Unknown => rest,
            };
            if wait.is_zero() {
                return;
            }
            select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = clock.sleep(wait) => {},
            }
        }
    }

    fn work(&self, parent: BlockDigest, now: SystemTime) -> Work {
        let work = self.cache.at(&parent, |state, parent| {
            if self.has_includable(state, parent) {
                return Work::Ready;
            }
            let interval = if parent.work_pending {
                self.config.work_interval
            } else {
                self.config.heartbeat
            };
            let age = now
                .epoch()
                .saturating_sub(Duration::from_millis(parent.header.time.get()));
            Work::Later(interval.saturating_sub(age))
        });
        work.unwrap_or(Work::Unknown)
    }

    fn has_includable(&self, state: &dyn State, parent: Parent<'_>) -> bool {
        let context = self.likely_context(parent.header);
        let pool = self.pool.lock();
        pool.ready()
            .any(|sender| head(&pool, state, &context, sender).is_some())
    }

    /// Takes over a finalised block: makes its record durable, then shows it. Called in order of height; repeats do
    /// nothing.
    pub(crate) async fn finalised(
        &self,
        digest: BlockDigest,
        executed: &Executed,
        txs: &[SignedTx],
    ) -> Result<(), TakeOverError> {
        let height = executed.header.height;
        let digests: Vec<Digest> = executed.outcomes.iter().map(|outcome| outcome.tx).collect();
        let record = BlockRecord {
            outcomes: executed.outcomes.clone(),
            events: executed.events.clone(),
        };
        self.records
            .append(height, digest, digests.clone(), Arc::new(record))
            .await?;
        self.cache.apply(digest, executed);
        if height == self.epochs.last(self.epochs.at(height)) {
            self.cache.read(|state| self.schemes.enter(state))?;
        }
        self.remember(height, digests, &executed.outcomes);
        self.sweep(executed, txs);
        self.tip.modify(|tip| {
            let is_newer = tip.height < height;
            if is_newer {
                *tip = Tip {
                    height,
                    digest: Digest(digest.0),
                    time: executed.header.time,
                };
            }
            is_newer
        });
        self.rules.look(self);
        self.cache.changed();
        let oldest = self.oldest_kept();
        let is_looked_for = height
            .get()
            .is_multiple_of(u64::from(self.config.prune_every().get()));
        if self.config.retain_blocks.is_some() && is_looked_for {
            self.records.prune(oldest).await?;
        }
        Ok(())
    }

    /// Drops from the pool what a finalised block used up, what it took the money of, and what turns out to be hopeless.
    fn sweep(&self, executed: &Executed, txs: &[SignedTx]) {
        let context = self.likely_context(&executed.header);
        let senders = txs.iter().map(|tx| tx.transaction.sender.address());
        let senders: BTreeSet<Address> = senders.collect();
        self.cache.read(|state| {
            let changed = changed_accounts(&executed.writes);
            let changed = changed.map(|account| (account, standing(state, &account)));
            let changed: BTreeMap<_, _> = changed.collect();
            let mut pool = self.pool.lock();
            pool.finalised(&changed, context.height);
            let next = senders
                .iter()
                .filter_map(|sender| pool.get(sender, changed.get(sender)?.next_nonce));
            let hopeless = next.filter(|tx| is_hopeless(state, &context, tx));
            let hopeless: Vec<Digest> = hopeless.map(VerifiedTx::digest).collect();
            for tx in hopeless {
                pool.drop_tx(&tx);
            }
        });
    }

    fn remember(&self, height: Height, digests: Vec<Digest>, outcomes: &[TxOutcome]) {
        let mut recent = self.recent.lock();
        recent.outcomes.extend(
            outcomes
                .iter()
                .map(|outcome| (outcome.tx, (height, outcome.clone()))),
        );
        recent.blocks.push_back(digests);
        while recent.blocks.len() > RECENT_BLOCKS_MAX {
            for digest in recent.blocks.pop_front().unwrap_or_default() {
                recent.outcomes.remove(&digest);
            }
        }
    }

    /// Whether a header's beacon follows its parent's and is signed by its proposer.
    pub(crate) fn beacon_holds(&self, parent: &BlockHeader, header: &BlockHeader) -> bool {
        let Some(signature) = &header.beacon_signature else {
            return false;
        };
        let Some(key) = self.vote_key_of(&header.proposer) else {
            return false;
        };
        let message = beacon_message(&header.chain_id, header.height);
        header.beacon == next_beacon(&parent.beacon, signature)
            && key.verify(Purpose::Beacon, &message, signature)
    }

    /// What a validator's votes are checked with. A key never changes, and is known before its validator has a seat.
    pub(crate) fn vote_key_of(&self, identity: &[u8; 32]) -> Option<VoteKey> {
        let known = self
            .cache
            .read(|state| validators::validator(state, identity));
        known.ok().flatten().map(|known| known.vote_key)
    }

    /// Says which is the first block that was executed here and is kept, unless that is known.
    pub(crate) fn begins_at(&self, first: Height) {
        let known = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self
            .first
            .compare_exchange(0, first.get(), known.0, known.1);
    }

    /// The oldest block that is kept for certain.
    pub(crate) fn oldest_kept(&self) -> Height {
        let retained = self.config.retain_blocks;
        let before = retained.map_or(0, |retained| {
            self.tip().height.get().saturating_sub(retained)
        });
        let first = self.first.load(Ordering::Relaxed);
        Height(before.saturating_add(1).max(first))
    }

    /// Whether this node votes in an epoch, as far as it is known who has seats in it.
    pub(crate) fn votes_in(&self, epoch: u64) -> bool {
        epoch >= self.config.votes_from && self.schemes.is_signer(epoch)
    }
}

/// Checks the signatures of those that are not known, and says of how many. A digest covers the signature: who is known by it was checked.
fn verify_unknown(
    txs: Vec<SignedTx>,
    mut known: Vec<Option<VerifiedTx>>,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<VerifiedTx>, usize), TxFormError> {
    let unknown = txs.into_iter().zip(&known);
    let unknown: Vec<SignedTx> = unknown
        .filter_map(|(tx, known)| known.is_none().then_some(tx))
        .collect();
    let count = unknown.len();
    let mut checked = SignedTx::verify_batch(unknown, rng, &Sequential)?.into_iter();
    for place in known.iter_mut().filter(|known| known.is_none()) {
        *place = checked.next();
    }
    Ok((known.into_iter().flatten().collect(), count))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;
    use crate::testing::transfers;
    use commonware_runtime::{Runner as _, deterministic};

    #[test]
    fn only_what_is_not_known_is_checked_and_another_signature_is_another_transaction() {
        deterministic::Runner::default().start(|mut rng| async move {
            let txs = transfers(4);
            let known = |tx: &SignedTx| Some(tx.clone().verify().unwrap());
            let some = vec![None, known(&txs[1]), None, known(&txs[3])];
            let (verified, checked) = verify_unknown(txs.clone(), some, &mut rng).unwrap();
            let order: Vec<SignedTx> = verified.iter().map(|tx| tx.signed().clone()).collect();
            assert_eq!((order, checked), (txs.clone(), 2));
            // The body of one with the signature of another has a digest of its own, so nobody knows it.
            let mut forged = txs.clone();
            forged[1].signature = txs[2].signature.clone();
            assert_ne!(forged[1].digest(), txs[1].digest());
            let some = vec![known(&txs[0]), None, known(&txs[2]), known(&txs[3])];
            assert!(verify_unknown(forged, some, &mut rng).is_err());
        });
    }
}

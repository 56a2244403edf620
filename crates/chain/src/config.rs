//! How a node is set up.

use crate::{
    blobs::{BlobShelf, NoShelf},
    error::StartError,
    state_sync::SyncProgress,
};
use commonware_runtime::Clock;
use commonware_utils::{NZU32, NZU64};
use fairweir_ledger::{
    referee::{NoReferee, Referee},
    upgrades::Plans,
};
use fairweir_types::{ByteCount, Genesis, SecretKey, keys::VoteSecretKey};
use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};

/// The longest heartbeat: a chain that is idle for longer looks like a chain that stopped.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(60);

/// Blocks of one file of the store: few enough that old ones go soon, so many that few files are open.
const BLOCKS_PER_FILE: NonZeroU64 = NZU64!(16_384);
/// How much later than the heartbeat a leader's proposal may come, among several: the way of a few hundred bytes around the world, sent twice, and a busy machine.
const LEADER_LATE: Duration = Duration::from_millis(750);
/// Blocks that a node keeps at least, whatever it is told.
const RETAIN_MIN: u64 = 1_000;
/// Blocks after which old ones are looked for.
const PRUNE_EVERY: NonZeroU32 = NZU32!(256);

/// What waits for a block, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Transactions of all accounts.
    pub txs_max: usize,
    /// Bytes of all accounts.
    pub bytes_max: ByteCount,
    /// Transactions of one account.
    pub account_txs_max: usize,
    /// Bytes of one account.
    pub account_bytes_max: ByteCount,
    /// How far a nonce may be ahead of its account's.
    pub nonce_gap_max: u64,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self {
            txs_max: 16_384,
            bytes_max: ByteCount(32 << 20),
            account_txs_max: 256,
            account_bytes_max: ByteCount(1 << 20),
            nonce_gap_max: 256,
        }
    }
}

/// What is not there in virtual time, in which work lasts no time and all clocks are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimulatedMachine {
    /// Milliseconds by which its clock is ahead.
    pub clock_skew_ms: i64,
    /// The time that it takes to check one signature among many.
    pub signature: Duration,
    /// The time that everything else takes that a transaction in a block needs.
    pub execution: Duration,
    /// How many blocks are kept at least, so that a test need not make a thousand; two epochs in any case.
    pub retain_min: Option<u64>,
    /// How often it is looked for old ones, in blocks, so that a test need not make hundreds.
    pub prune_every: Option<NonZeroU32>,
}

impl SimulatedMachine {
    /// Lets the time pass that work takes; none on a real machine, where work takes its own.
    pub(crate) async fn work(&self, clock: &impl Clock, signatures: usize, executions: usize) {
        let times = |each: Duration, count: usize| {
            each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
        };
        let signatures = times(self.signature, signatures);
        let lasts = signatures.saturating_add(times(self.execution, executions));
        if !lasts.is_zero() {
            clock.sleep(lasts).await;
        }
    }
}

/// How a node that follows, and has an empty disk, gets to the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// By the state if the chain is long, or the nodes that are followed do not have its first blocks any more; else by blocks.
    Auto,
    /// It copies the state at a newest final block. What was before is not executed here: more than two thirds of those who had seats signed for it.
    State,
    /// It executes every block since the genesis.
    #[default]
    Blocks,
}

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// The chain.
    pub genesis: Genesis,
    /// The node's ed25519 identity: a validator's or a candidate's, or any key of one that follows.
    pub identity: SecretKey,
    /// What it votes with while it has a seat; none for a node that follows.
    pub vote_key: Option<VoteSecretKey>,
    /// What the names of the store's partitions begin with: letters, digits, `-` and `_`.
    pub partition_prefix: String,
    /// The longest time between blocks while nothing happens, up to [`HEARTBEAT_MAX`].
    pub heartbeat: Duration,
    /// The shortest time between blocks that only serve the ledger's own timers.
    pub work_interval: Duration,
    /// The first epoch in which this node votes. Who lost what it voted before must not vote in those epochs again.
    pub votes_from: u64,
    /// How many of the newest blocks are kept at least, with what they did; all of them if none is said. The state is always kept whole.
    pub retain_blocks: Option<u64>,
    /// How many blocks one file of the store holds, so many go at once where not all are kept. The same as long as a store lives.
    pub blocks_per_file: NonZeroU64,
    /// How a node that follows gets to the present, if its disk is empty.
    pub sync: SyncMode,
    /// Where it says how far it is.
    pub progress: SyncProgress,
    /// What waits for a block, at most.
    pub mempool: MempoolLimits,
    /// The blobs that clients left with this node, which other nodes may ask for.
    pub shelf: Arc<dyn BlobShelf>,
    /// Who says what cells of runs must be; the same at every validator.
    pub referee: Arc<dyn Referee>,
    /// The changes of rules that its program knows; the same at all nodes with one program.
    pub plans: Plans,
    /// What a simulation says about this node's machine; nothing everywhere else.
    pub simulated: SimulatedMachine,
    /// What it does against the rules when it proposes, where a test wants that.
    #[cfg(any(test, feature = "testing"))]
    pub dishonest: Option<Arc<dyn crate::testing::Dishonest>>,
}

/// A node whose proposals keep the rules: no other is built without the feature `testing`.
#[cfg(not(any(test, feature = "testing")))]
impl ChainConfig {
    pub(crate) const fn leaves_out(&self, _: &fairweir_types::SignedTx) -> bool {
        false
    }

    pub(crate) const fn twist(&self, _: &mut fairweir_types::Block) {}
}

impl ChainConfig {
    /// A validator with a heartbeat of one second and default limits.
    #[must_use]
    pub fn new(genesis: Genesis, identity: SecretKey, vote_key: VoteSecretKey) -> Self {
        Self {
            vote_key: Some(vote_key),
            ..Self::follower(genesis, identity)
        }
    }

    /// A node that follows, with the same defaults.
    #[must_use]
    pub fn follower(genesis: Genesis, identity: SecretKey) -> Self {
        Self {
            genesis,
            identity,
            vote_key: None,
            partition_prefix: "chain".to_owned(),
            heartbeat: Duration::from_secs(1),
            work_interval: Duration::from_millis(10),
            votes_from: 0,
            retain_blocks: None,
            blocks_per_file: BLOCKS_PER_FILE,
            sync: SyncMode::default(),
            progress: SyncProgress::default(),
            mempool: MempoolLimits::default(),
            shelf: Arc::new(NoShelf),
            referee: Arc::new(NoReferee),
            plans: Plans::default(),
            simulated: SimulatedMachine::default(),
            #[cfg(any(test, feature = "testing"))]
            dishonest: None,
        }
    }

    /// Checks all that needs no disk.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.genesis.check().map_err(StartError::Genesis)?;
        let retain_min = self.retain_min();
        if let Some(found) = self.retain_blocks.filter(|found| *found < retain_min) {
            return Err(StartError::Retention {
                found,
                min: retain_min,
            });
        }
        if self.heartbeat.is_zero() || self.heartbeat > HEARTBEAT_MAX {
            return Err(StartError::Heartbeat {
                found_ms: self.heartbeat.as_millis(),
                max_ms: HEARTBEAT_MAX.as_millis(),
            });
        }
        Ok(())
    }

    /// The fewest blocks that may be kept: an epoch stands on the last block of the one before, and peers that crashed ask for some.
    #[must_use]
    pub fn retain_min(&self) -> u64 {
        let epoch = fairweir_ledger::params::of_genesis(&self.genesis).blocks_of_an_epoch();
        let min = self.simulated.retain_min.unwrap_or(RETAIN_MIN);
        epoch.saturating_mul(2).max(min)
    }

    /// Blocks after which old ones are looked for.
    pub(crate) fn prune_every(&self) -> NonZeroU32 {
        self.simulated.prune_every.unwrap_or(PRUNE_EVERY)
    }

    /// How long a view waits for its leader's proposal, and how long for its certificate.
    ///
    /// Above the heartbeat, because a leader may wait that long for something to put into its block. A lone validator
    /// waits for nobody else; what remains is the time to build and store the largest block, and after a crash in the
    /// middle of a view this is how long the first new block takes. Among several [`LEADER_LATE`] and the heartbeat is what all wait when the leader is gone;
    /// the rest is for the way of the largest block, lost packets included.
    pub(crate) fn view_timeouts(&self, is_alone: bool) -> (Duration, Duration) {
        let (leader, rest) = if is_alone {
            (
                self.heartbeat + Duration::from_millis(500),
                Duration::from_millis(250),
            )
        } else {
            (self.heartbeat + LEADER_LATE, Duration::from_secs(1))
        };
        (leader, leader + rest)
    }
}

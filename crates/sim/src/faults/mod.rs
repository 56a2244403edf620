//! Faults of validators and of the links between them, drawn from a seed and told in virtual time: whatever happens, no two validators hold
//! different blocks, nothing that was acknowledged is lost, all money is accounted for, and once the faults are over the chain goes on, and takes
//! the transactions of everybody. Where more than f lie all of that holds but that it goes on.

mod cluster;
mod disk;
mod liars;
mod links;
mod load;
mod plan;

pub use cluster::Done;
pub use plan::{Byzantine, Change, Fault, Faults, Seats};

use cluster::Cluster;
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use core::fmt;
use fairweir_chain::ChainHandle;
use fairweir_ledger::invariants;
use fairweir_types::{Digest, Height};
use load::Acknowledged;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use thiserror::Error;

/// Once everything is whole again, how long the chain may take until all validators hold new blocks: the last views' timeouts, a store that is
/// read again, and blocks that are fetched.
const HEALS_WITHIN: Duration = Duration::from_secs(60);
/// New blocks that all must hold then.
const NEW_BLOCKS: u64 = 3;
/// How long a chain is watched that need not go on.
const WATCHED: Duration = Duration::from_secs(10);
/// Virtual time after which a story is given up.
const STORY_MAX: Duration = Duration::from_secs(3_600);

/// What a story showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Blocks that all validators hold.
    pub blocks: u64,
    /// The epoch since which the same validators have the seats; zero if they never moved.
    pub seats_since: u64,
    /// Transactions that were acknowledged.
    pub acknowledged: usize,
    /// The longest time without a new block, faults that stop the chain included.
    pub longest_pause: Duration,
    /// The time that the chain took to go on once everything was whole.
    pub healed_after: Duration,
    /// Validators whose double votes others can prove.
    pub guilty: usize,
    /// What faults did that the chain shows nothing of.
    pub done: Done,
}

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// Two validators hold different blocks.
    #[error("validators {} and {} hold different blocks at height {height}", .between.0, .between.1)]
    Fork {
        /// The lowest such height.
        height: Height,
        /// The validators.
        between: (usize, usize),
    },
    /// A validator lost or changed what it had acknowledged.
    #[error("validator {validator} does not have transaction {tx} as it was acknowledged")]
    Lost {
        /// The validator.
        validator: usize,
        /// The transaction.
        tx: Digest,
    },
    /// Money or records do not add up.
    #[error("the state of validator {validator} is broken: {what}")]
    State {
        /// The validator.
        validator: usize,
        /// What is wrong.
        what: String,
    },
    /// The chain stands still though everything is whole.
    #[error("{} s after the last fault validators are at heights {heights:?}, beyond {before} is promised", HEALS_WITHIN.as_secs())]
    Stuck {
        /// Where each is.
        heights: Vec<u64>,
        /// The highest before.
        before: u64,
    },
    /// Everything is whole, the chain goes on, and the transactions of an account are in none of its blocks.
    #[error("{} s after the last fault no further transaction of sender {sender} is in a block", HEALS_WITHIN.as_secs())]
    Unheard {
        /// Which of the accounts.
        sender: usize,
    },
    /// A block is final that breaks the rules.
    #[error("validator {validator} holds an invalid block at height {height}")]
    Invalid {
        /// The validator.
        validator: usize,
        /// Which block.
        height: Height,
    },
    /// It can be proven that an honest validator voted twice.
    #[error("validator {validator} is honest, and validator {by} can prove that it voted twice")]
    Accused {
        /// The validator.
        validator: usize,
        /// Who has the evidence.
        by: usize,
    },
    /// A validator did not start.
    #[error("validator {validator} does not start: {error}")]
    Start {
        /// The validator.
        validator: usize,
        /// Why.
        error: String,
    },
    /// A store cannot be read.
    #[error("validator {validator} does not answer: {error}")]
    Read {
        /// The validator.
        validator: usize,
        /// Why.
        error: String,
    },
}

/// Tells the story of some faults.
///
/// # Errors
/// [`Broken`].
pub fn tell(faults: &Faults) -> Result<Told, Broken> {
    let config = deterministic::Config::new()
        .with_seed(faults.seed)
        .with_timeout(Some(STORY_MAX));
    deterministic::Runner::new(config).start(|context| story(context, faults.clone()))
}

async fn story(context: deterministic::Context, faults: Faults) -> Result<Told, Broken> {
    let mut cluster = Box::pin(Cluster::start(&context, &faults)).await?;
    let load = load::start(&context, &cluster, &faults);
    let begun = context.current();
    let mut watch = Watch::new(&context);
    for (at, change) in faults.changes() {
        while context.current() < begun + at {
            let left = (begun + at).duration_since(context.current());
            context
                .sleep(left.unwrap_or_default().min(Watch::EVERY))
                .await;
            watch.look(&context, &cluster)?;
        }
        // What a validator holds now it must hold again after a crash.
        watch.look(&context, &cluster)?;
        cluster.change(&change).await?;
    }
    watch.look(&context, &cluster)?;
    cluster.heal().await?;
    let (before, heard) = (watch.height, load.counts());
    let since = context.current();
    let goal = Height(before.get() + NEW_BLOCKS);
    loop {
        let passed = context.current().duration_since(since);
        let passed = passed.unwrap_or_default();
        let unheard = load.counts().iter().zip(&heard).position(|(a, b)| a <= b);
        let is_whole = cluster.lowest() >= goal && unheard.is_none();
        if is_whole || (!faults.must_go_on() && passed > WATCHED) {
            break;
        }
        if passed > HEALS_WITHIN {
            return Err(match unheard {
                Some(sender) if cluster.lowest() >= goal => Broken::Unheard { sender },
                _ => Broken::Stuck {
                    heights: cluster.heights(),
                    before: before.get(),
                },
            });
        }
        context.sleep(Watch::EVERY).await;
        watch.look(&context, &cluster)?;
    }
    let healed_after = match faults.must_go_on() {
        true => context.current().duration_since(since),
        false => Ok(Duration::ZERO),
    };
    let seats_since = cluster.seats_since();
    let acknowledged = load.end();
    check(&cluster, &faults, &watch.seen, &acknowledged).await?;
    Ok(Told {
        blocks: cluster.lowest().get(),
        seats_since,
        acknowledged: acknowledged.len(),
        longest_pause: watch.longest,
        healed_after: healed_after.unwrap_or_default(),
        guilty: watch.guilty.len(),
        done: cluster.done(),
    })
}

/// All validators hold the same blocks, what was acknowledged, and a state that adds up.
async fn check(
    cluster: &Cluster,
    faults: &Faults,
    seen: &Seen,
    acknowledged: &[Acknowledged],
) -> Result<(), Broken> {
    let to = cluster.lowest();
    let mut first: Option<(usize, Vec<Digest>)> = None;
    for (validator, chain) in &cluster.running() {
        let validator = *validator;
        let (digests, proposers) = blocks(validator, chain, to).await?;
        for (height, proposer) in (1..).map(Height).zip(&proposers) {
            let proposer = cluster.number_of(proposer);
            let liar = proposer.and_then(|number| number.checked_sub(faults.honest()));
            let liar = liar.and_then(|liar| faults.byzantine.get(liar));
            if liar == Some(&Byzantine::Forger) {
                return Err(Broken::Invalid { validator, height });
            }
        }
        for (height, digest) in (1..).map(Height).zip(&digests) {
            if let Some((other, before)) = seen.get(&height)
                && before != digest
            {
                let between = (*other, validator);
                return Err(Broken::Fork { height, between });
            }
        }
        if let Some((other, expected)) = &first {
            let differ = expected.iter().zip(&digests).position(|(a, b)| a != b);
            if let Some(position) = differ {
                return Err(Broken::Fork {
                    height: Height(position as u64 + 1),
                    between: (*other, validator),
                });
            }
        } else {
            first = Some((validator, digests));
        }
        for Acknowledged { tx, included, .. } in acknowledged {
            // A validator that holds fewer blocks may not have it yet; the chain goes on while it is asked.
            let height = chain.tip().height;
            let found = chain.outcome(*tx).await.map_err(|error| Broken::Read {
                validator,
                error: error.to_string(),
            })?;
            let is_due = included.height <= height;
            if is_due && found.as_ref() != Some(included) {
                return Err(Broken::Lost { validator, tx: *tx });
            }
        }
        chain
            .read(invariants::check)
            .map_err(|violation| Broken::State {
                validator,
                what: violation.to_string(),
            })?;
    }
    Ok(())
}

/// The digests of a validator's blocks, and who proposed them.
async fn blocks(
    validator: usize,
    chain: &ChainHandle,
    to: Height,
) -> Result<(Vec<Digest>, Vec<[u8; 32]>), Broken> {
    let mut blocks = chain.subscribe(Height(1));
    let (mut digests, mut proposers) = (Vec::new(), Vec::new());
    while blocks.next_height() <= to {
        let block = blocks.next().await.map_err(|error| Broken::Read {
            validator,
            error: error.to_string(),
        })?;
        digests.push(block.digest);
        proposers.push(block.block.header.proposer);
    }
    Ok((digests, proposers))
}

/// What a validator held at each height when it was looked at: it may have crashed since.
type Seen = BTreeMap<Height, (usize, Digest)>;

/// Sees how long the chain stands still, and what validators hold.
struct Watch {
    seen: Seen,
    height: Height,
    since: std::time::SystemTime,
    longest: Duration,
    /// Who can be shown to have voted twice.
    guilty: BTreeSet<usize>,
}

impl Watch {
    const EVERY: Duration = Duration::from_millis(100);

    fn new(context: &deterministic::Context) -> Self {
        Self {
            seen: Seen::new(),
            height: Height::ZERO,
            since: context.current(),
            longest: Duration::ZERO,
            guilty: BTreeSet::new(),
        }
    }

    fn look(&mut self, context: &deterministic::Context, cluster: &Cluster) -> Result<(), Broken> {
        for (validator, chain) in cluster.running() {
            let tip = chain.tip();
            let held = self.seen.entry(tip.height);
            let (other, digest) = *held.or_insert((validator, tip.digest));
            if digest != tip.digest {
                let (height, between) = (tip.height, (other, validator));
                return Err(Broken::Fork { height, between });
            }
            let by = validator;
            for evidence in chain.double_votes() {
                let guilty = cluster.number_of(&evidence.validator);
                match guilty.filter(|guilty| *guilty < cluster.honest()) {
                    Some(validator) => return Err(Broken::Accused { validator, by }),
                    None => self.guilty.extend(guilty),
                }
            }
        }
        let (now, height) = (context.current(), cluster.highest());
        let pause = now.duration_since(self.since).unwrap_or_default();
        self.longest = self.longest.max(pause);
        if height > self.height {
            (self.height, self.since) = (height, now);
        }
        Ok(())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} blocks, the same seats since epoch {}, {} transactions acknowledged, longest pause {:.1} s, whole after {:.1} s; {} proven to vote twice, {} lies, {} messages twice, {} waits for disks",
            self.blocks,
            self.seats_since,
            self.acknowledged,
            self.longest_pause.as_secs_f64(),
            self.healed_after.as_secs_f64(),
            self.guilty,
            self.done.lies,
            self.done.echoes,
            self.done.waits
        )
    }
}

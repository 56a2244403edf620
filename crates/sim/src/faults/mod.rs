//! Faults of validators and of the links between them, drawn from a seed and told in virtual time: whatever happens, no two validators hold
//! different blocks, nothing that was acknowledged is lost, all money is accounted for, and once the faults are over the chain goes on, and takes
//! the transactions of everybody. Where more than f lie all of that holds but that it goes on. Nobody is jailed to whom nothing happened.
//!
//! In some of them a node comes in the middle with an empty disk, and those lie to it from whom it copies the state or the blocks: it ends with the state
//! of the others, and never shows another one.

mod clock;
mod cluster;
mod disk;
mod false_nodes;
mod joiner;
mod liars;
mod links;
mod load;
mod newcomer;
mod plan;

pub use cluster::Done;
pub use joiner::{Joiner, Lie, Way};
pub use newcomer::Joined;
pub use plan::{Byzantine, Change, Fault, Faults, Seats};

use cluster::Cluster;
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use core::fmt;
use fairweir_chain::{ChainHandle, ReadError};
use fairweir_ledger::{export, invariants};
use fairweir_types::{Digest, Height, limits::STATE_OPERATIONS_MAX, node_api::AskState};
use load::Acknowledged;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};
use thiserror::Error;

/// Once everything is whole again, how long the chain may take until all validators hold new blocks: the last views' timeouts, a store that is
/// read again, and blocks that are fetched.
const HEALS_WITHIN: Duration = Duration::from_secs(60);
/// How long a node may take that joins, counted from the same moment: one that never answers costs it twenty seconds each time, and one that keeps
/// new blocks back costs it thirty.
const JOINS_WITHIN: Duration = Duration::from_secs(150);
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
    /// Validators that were jailed.
    pub jailed: usize,
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
    /// How the node got on that joined, if one came and shows its chain.
    pub joined: Option<Joined>,
    /// The time that it took to hold what all hold once everything was whole.
    pub joined_after: Duration,
    /// States of it that were compared with those of validators.
    pub compared: u64,
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
    /// Everything is whole, the chain goes on, and the node that joined does not hold it.
    #[error("{} s after the last fault the node that joined is at height {height:?}, {goal} is promised", JOINS_WITHIN.as_secs())]
    Late {
        /// Where it is; none if it shows no chain.
        height: Option<u64>,
        /// Where it should be.
        goal: u64,
    },
    /// A validator was jailed whose blocks nothing kept from the others.
    #[error("validator {validator} was jailed, and nothing had happened to it")]
    Jailed {
        /// The validator.
        validator: usize,
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
    let mut healed_after = None;
    let joined_after = loop {
        let passed = context.current().duration_since(since);
        let passed = passed.unwrap_or_default();
        let unheard = load.counts().iter().zip(&heard).position(|(a, b)| a <= b);
        if cluster.lowest() >= goal && unheard.is_none() {
            healed_after.get_or_insert(passed);
        }
        let newcomer = cluster.newcomer()?.map(|(_, chain)| chain.tip().height);
        let has_joined = faults.joiner.is_none() || newcomer >= Some(goal);
        let is_watched_enough = !faults.must_go_on() && passed > WATCHED;
        let is_all_well = healed_after.is_some() && has_joined;
        if is_watched_enough || is_all_well {
            break passed;
        }
        if healed_after.is_some() && passed > JOINS_WITHIN {
            return Err(Broken::Late {
                height: newcomer.map(Height::get),
                goal: goal.get(),
            });
        }
        if healed_after.is_none() && passed > HEALS_WITHIN {
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
    };
    let promised = |after: Duration| match faults.must_go_on() {
        true => after,
        false => Duration::ZERO,
    };
    let seats_since = cluster.seats_since();
    let jailed = cluster.jailed()?;
    if let Some(validator) = jailed.intersection(&faults.untouched()).next() {
        return Err(Broken::Jailed {
            validator: *validator,
        });
    }
    let acknowledged = load.end();
    check(&cluster, &faults, &watch.seen, &acknowledged).await?;
    check_served(&cluster).await?;
    Ok(Told {
        blocks: cluster.lowest().get(),
        seats_since,
        jailed: jailed.len(),
        acknowledged: acknowledged.len(),
        longest_pause: watch.longest,
        healed_after: promised(healed_after.unwrap_or_default()),
        guilty: watch.guilty.len(),
        done: cluster.done(),
        joined: cluster.joined()?,
        joined_after: promised(match faults.joiner {
            Some(_) => joined_after,
            None => Duration::ZERO,
        }),
        compared: watch.compared,
    })
}

/// All validators hold the same blocks, what was acknowledged, and a state that adds up.
async fn check(
    cluster: &Cluster,
    faults: &Faults,
    seen: &Seen,
    acknowledged: &[Acknowledged],
) -> Result<(), Broken> {
    let lowest = cluster.lowest();
    let mut first: BTreeMap<Height, (usize, Digest)> = BTreeMap::new();
    for (validator, chain) in &cluster.showing()? {
        let validator = *validator;
        // Who copied the state has no blocks from before, others forget them, and who joined may be behind where the chain need not go on.
        let (from, to) = (chain.oldest_kept(), lowest.min(chain.tip().height));
        let held = blocks(validator, chain, (from, to)).await?;
        for (height, _, proposer) in &held {
            let proposer = cluster.number_of(proposer);
            let liar = proposer.and_then(|number| number.checked_sub(faults.honest()));
            let liar = liar.and_then(|liar| faults.byzantine.get(liar));
            if liar == Some(&Byzantine::Forger) {
                let height = *height;
                return Err(Broken::Invalid { validator, height });
            }
        }
        for (height, digest, _) in held {
            let held = *first.entry(height).or_insert((validator, digest));
            for (other, before) in seen.get(&height).into_iter().chain([&held]) {
                if *before != digest {
                    let between = (*other, validator);
                    return Err(Broken::Fork { height, between });
                }
            }
        }
        for Acknowledged { tx, included, .. } in acknowledged {
            // A validator that holds fewer blocks may not have it yet; the chain goes on while it is asked.
            let height = chain.tip().height;
            let found = match chain.outcome(*tx).await {
                Ok(found) => found,
                Err(ReadError::Pruned { .. }) => None,
                Err(error) => {
                    let error = error.to_string();
                    return Err(Broken::Read { validator, error });
                }
            };
            // What it forgot it forgot with its block.
            let is_due = (chain.oldest_kept()..=height).contains(&included.height);
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

/// Who joined gives the same parts of its state to others as validators do.
async fn check_served(cluster: &Cluster) -> Result<(), Broken> {
    let Some((newcomer, chain)) = cluster.newcomer()? else {
        return Ok(());
    };
    let header = chain.header();
    let (start, size) = (header.state_range_start, header.state_range_end);
    for is_boundary in [false, true].into_iter().filter(|_| start < size) {
        let ask = AskState {
            size,
            start,
            max: if is_boundary { 1 } else { STATE_OPERATIONS_MAX },
            is_boundary,
        };
        let part = chain.state_part(ask).await.map_err(|error| Broken::Read {
            validator: newcomer,
            error: error.to_string(),
        })?;
        for (validator, chain) in cluster.running() {
            // It may be behind, or have forgotten that state.
            let expected = chain.state_part(ask).await;
            if expected.is_ok_and(|expected| expected != part) {
                return Err(Broken::State {
                    validator: newcomer,
                    what: format!("it gives parts of it that validator {validator} does not give"),
                });
            }
        }
    }
    Ok(())
}

/// A block's height and digest, and who proposed it.
type Held = (Height, Digest, [u8; 32]);

/// The blocks of a validator.
async fn blocks(
    validator: usize,
    chain: &ChainHandle,
    (from, to): (Height, Height),
) -> Result<Vec<Held>, Broken> {
    let mut blocks = chain.subscribe(from);
    let mut held = Vec::new();
    while blocks.next_height() <= to {
        match blocks.next().await {
            Ok(found) => held.push((
                found.block.header.height,
                found.digest,
                found.block.header.proposer,
            )),
            // The chain goes on meanwhile, and who keeps the newest blocks only forgets some.
            Err(ReadError::Pruned { oldest, .. }) if oldest > blocks.next_height() => {
                blocks = chain.subscribe(oldest);
            }
            Err(error) => {
                let error = error.to_string();
                return Err(Broken::Read { validator, error });
            }
        }
    }
    Ok(held)
}

fn other_state(newcomer: usize, (validator, height): (usize, Height)) -> Broken {
    Broken::State {
        validator: newcomer,
        what: format!("it is not that of validator {validator} after block {height}"),
    }
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
    /// Where one joins: what a state after each block was when it was looked at, and whose.
    states: Seen,
    /// The block whose state of the node that joined was looked at last.
    looked_at: Option<Height>,
    compared: u64,
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
            states: Seen::new(),
            looked_at: None,
            compared: 0,
        }
    }

    /// The state of the node that joined is the one that validators have after the same block.
    fn compare(&mut self, cluster: &Cluster) -> Result<(), Broken> {
        let state_of = |chain: &ChainHandle| chain.read(export::digest);
        if cluster.joins() {
            for (validator, chain) in cluster.running() {
                let height = chain.header().height;
                match self.states.entry(height) {
                    Entry::Vacant(vacant) => {
                        vacant.insert((validator, state_of(&chain)));
                    }
                    // The node that joined was looked at first after this block.
                    Entry::Occupied(mut seen) if seen.get().0 == cluster.validators() => {
                        let (newcomer, found) = seen.insert((validator, state_of(&chain)));
                        if found != seen.get().1 {
                            return Err(other_state(newcomer, (validator, height)));
                        }
                        self.compared += 1;
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        let Some((newcomer, chain)) = cluster.newcomer()? else {
            self.looked_at = None;
            return Ok(());
        };
        let height = chain.header().height;
        if self.looked_at.replace(height) == Some(height) {
            return Ok(());
        }
        let state = state_of(&chain);
        let (other, expected) = *self.states.entry(height).or_insert((newcomer, state));
        if state != expected {
            return Err(other_state(newcomer, (other, height)));
        }
        self.compared += u64::from(other != newcomer);
        Ok(())
    }

    fn look(&mut self, context: &deterministic::Context, cluster: &Cluster) -> Result<(), Broken> {
        self.compare(cluster)?;
        for (validator, chain) in cluster.showing()? {
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
            "{} blocks, the same seats since epoch {}, {} jailed, {} transactions acknowledged, longest pause {:.1} s, whole after {:.1} s; {} proven to vote twice, {} lies, {} messages twice, {} waits for disks",
            self.blocks,
            self.seats_since,
            self.jailed,
            self.acknowledged,
            self.longest_pause.as_secs_f64(),
            self.healed_after.as_secs_f64(),
            self.guilty,
            self.done.lies,
            self.done.echoes,
            self.done.waits
        )?;
        let Some(joined) = &self.joined else {
            return Ok(());
        };
        write!(
            f,
            "; one joined by {} in {} lives, after {:.1} s: told {} lies, refused {} answers, left {} nodes, {} states compared",
            if joined.by_state {
                "the state"
            } else {
                "blocks"
            },
            joined.lives,
            self.joined_after.as_secs_f64(),
            joined.lies,
            joined.refused,
            joined.left,
            self.compared
        )
    }
}

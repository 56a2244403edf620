//! How long a network of many validators takes until all of them hold what was sent to it, in virtual time: links have a latency, each machine's
//! network a bandwidth, and work lasts as long as the machines are said to need for it: what others pass on is checked on one core of each, blocks on another.

mod links;

use crate::validators::{Keys, SENDERS_MAX, VALIDATORS_MAX, genesis, transfer};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Config, Link, Network, Oracle};
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, probability};
use core::fmt;
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, SimulatedMachine, message_bytes_max, start, transport,
};
use fairweir_types::{Digest, Height};
use futures::future::join_all;
use links::Links;
use std::time::Duration;
use thiserror::Error;

const CHAIN: &str = "dev-speed";
/// Virtual time after which a network is given up.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether all hold everything.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Blocks of a network before anything is sent to it.
const WARM: Height = Height(5);
/// Transactions that an account may have waiting (`MempoolLimits::account_txs_max`).
const ACCOUNT_TXS_MAX: u64 = 256;

/// A network, and what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Validators, up to 50.
    pub validators: u8,
    /// Transfers, up to 23,040; spread over the validators.
    pub transactions: u64,
    /// Megabits a second that each machine sends, and as many that it receives; none for no bound.
    pub megabits: Option<u64>,
    /// The time that a message takes besides.
    pub latency: Duration,
    /// Time to check one signature among many.
    pub signature: Duration,
    /// Time for everything else that a transfer in a block needs.
    pub execution: Duration,
    /// What all that is random is drawn from.
    pub seed: u64,
}

impl Default for Setting {
    /// 10,000 transfers on 50 validators at 125 Mbps.
    fn default() -> Self {
        Self {
            validators: 50,
            transactions: 10_000,
            megabits: Some(125),
            latency: Duration::from_millis(10),
            signature: Duration::from_micros(25),
            execution: Duration::from_micros(15),
            seed: 0,
        }
    }
}

/// What a network showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synchronised {
    /// From the first transaction that was submitted until all validators held all in the same state.
    pub within: Duration,
    /// Blocks that hold them.
    pub blocks: u64,
}

impl fmt::Display for Synchronised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} s, {} blocks",
            self.within.as_secs_f64(),
            self.blocks
        )
    }
}

/// What did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsynchronised {
    /// A setting is out of range.
    #[error(
        "up to {VALIDATORS_MAX} validators from 1, and up to {max} transactions from 1, are possible"
    )]
    OutOfRange {
        /// Transactions at most.
        max: u64,
    },
    /// A validator refused a transaction.
    #[error("a transaction was refused: {0}")]
    Refused(String),
    /// Not all held everything in time.
    #[error("not all validators hold all transactions after {} s", PATIENCE.as_secs())]
    Late,
    /// Validators are in different states.
    #[error("validators are in different states")]
    Fork,
}

/// Runs a network.
///
/// # Errors
/// [`Unsynchronised`].
pub fn synchronise(setting: &Setting) -> Result<Synchronised, Unsynchronised> {
    let max = u64::from(SENDERS_MAX) * ACCOUNT_TXS_MAX;
    let is_possible = (1..=VALIDATORS_MAX).contains(&setting.validators)
        && (1..=max).contains(&setting.transactions);
    if !is_possible {
        return Err(Unsynchronised::OutOfRange { max });
    }
    let config = deterministic::Config::new().with_seed(setting.seed);
    deterministic::Runner::new(config).start(|context| run(context, *setting))
}

async fn run(
    context: deterministic::Context,
    setting: Setting,
) -> Result<Synchronised, Unsynchronised> {
    let (chains, _tasks) = validators(&context, &setting).await;
    for chain in &chains {
        chain
            .wait_height(WARM)
            .await
            .map_err(|_| Unsynchronised::Late)?;
    }
    let before = chains.iter().map(|chain| chain.tip().height).max();
    let begun = context.current();
    let txs = submit(&context, &chains, &setting).await?;
    while !hold_all(&chains, &txs).await {
        let took = context.current().duration_since(begun);
        if took.unwrap_or_default() > PATIENCE {
            return Err(Unsynchronised::Late);
        }
        context.sleep(LOOK_EVERY).await;
    }
    let within = context.current().duration_since(begun).unwrap_or_default();
    let height = chains.iter().map(|chain| chain.tip().height).min();
    let (before, height) = (before.unwrap_or_default(), height.unwrap_or_default());
    let mut states = Vec::new();
    for chain in &chains {
        let block = chain.finalised(height).await.ok().flatten();
        states.push(block.map(|block| block.block.header.state_root));
    }
    if states
        .iter()
        .any(|state| state.is_none() || *state != states[0])
    {
        return Err(Unsynchronised::Fork);
    }
    Ok(Synchronised {
        within,
        blocks: height.get() - before.get(),
    })
}

/// Starts all validators, over whole links.
async fn validators(
    context: &deterministic::Context,
    setting: &Setting,
) -> (Vec<ChainHandle>, Vec<ChainTask>) {
    let (genesis, keys) = genesis(CHAIN, setting.validators, SENDERS_MAX);
    let p2p = Config {
        max_size: message_bytes_max(&genesis).expect("the genesis was checked"),
        max_peers_per_set: NZUsize!(64),
        disconnect_on_block: true,
        tracked_peer_sets: NZUsize!(1),
    };
    let identities: Vec<_> = keys.iter().map(Keys::public).collect();
    let (network, oracle) =
        Network::new_with_peers(context.child("network"), p2p, identities.clone()).await;
    network.start();
    link(&oracle, &identities, setting).await;
    let bandwidth = setting.megabits.map(|megabits| megabits * 1_000_000 / 8);
    let links = Links::new(context, identities, bandwidth);
    let starting = (0_usize..).zip(&keys).map(|(number, keys)| {
        let config = ChainConfig {
            partition_prefix: format!("validator-{number}"),
            simulated: SimulatedMachine {
                clock_skew_ms: 0,
                signature: setting.signature,
                execution: setting.execution,
                ..SimulatedMachine::default()
            },
            ..ChainConfig::new(
                genesis.clone(),
                keys.identity.clone(),
                keys.vote_key.clone(),
            )
        };
        let context = context.child("validator").with_attribute("number", number);
        let (oracle, public, links) = (oracle.clone(), keys.public(), links.clone());
        async move {
            let transport = transport::simulated(&oracle, public.clone()).await;
            let transport = links.pace(&public, transport.expect("the network is there"));
            start(context, config, transport)
                .await
                .expect("an empty store")
        }
    });
    join_all(starting).await.into_iter().unzip()
}

async fn link(
    oracle: &Oracle<PublicKey, deterministic::Context>,
    identities: &[PublicKey],
    setting: &Setting,
) {
    let link = Link {
        latency: setting.latency,
        jitter: Duration::ZERO,
        success_rate: probability!(1.0),
    };
    for from in identities {
        for to in identities.iter().filter(|to| *to != from) {
            let added = oracle.add_link(from.clone(), to.clone(), link.clone());
            added.await.expect("the network is there");
        }
    }
}

/// Submits everything, to each validator its part; each account keeps to one validator.
async fn submit(
    context: &deterministic::Context,
    chains: &[ChainHandle],
    setting: &Setting,
) -> Result<Vec<Digest>, Unsynchronised> {
    let senders = u64::from(SENDERS_MAX);
    let mut parts = vec![Vec::new(); chains.len()];
    for number in 0..setting.transactions {
        let sender = u8::try_from(number % senders).unwrap_or_default();
        let part = usize::from(sender) % chains.len();
        parts[part].push(transfer(CHAIN, sender, number / senders));
    }
    let submitting = chains.iter().zip(parts).map(|(chain, txs)| {
        let (chain, signature) = (chain.clone(), setting.signature);
        context.child("client").spawn(move |context| async move {
            let count = u32::try_from(txs.len()).unwrap_or(u32::MAX);
            context.sleep(signature * count).await;
            let mut digests = Vec::new();
            for tx in txs {
                digests.push(chain.submit(tx).map_err(|error| error.to_string())?);
            }
            Ok(digests)
        })
    });
    let mut all = Vec::new();
    for submitted in join_all(submitting).await {
        let submitted = submitted.map_err(|error| Unsynchronised::Refused(error.to_string()))?;
        all.extend(submitted.map_err(Unsynchronised::Refused)?);
    }
    Ok(all)
}

/// Whether every validator has the outcome of every transaction; the last ones first, which most likely are the last to come.
async fn hold_all(chains: &[ChainHandle], txs: &[Digest]) -> bool {
    for chain in chains {
        for tx in txs.iter().rev() {
            if !matches!(chain.outcome(*tx).await, Ok(Some(_))) {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Setting {
        Setting {
            validators: 4,
            transactions: 200,
            ..Setting::default()
        }
    }

    #[test]
    fn the_same_setting_gives_the_same_figure_and_less_of_anything_a_larger_one() {
        let figure = |setting: Setting| synchronise(&setting).map(|told| told.within);
        let usual = figure(small()).expect("all hold everything");
        assert_eq!(figure(small()), Ok(usual));
        let narrow = figure(Setting {
            megabits: Some(2),
            ..small()
        });
        let slow = figure(Setting {
            execution: Duration::from_millis(2),
            ..small()
        });
        let far = figure(Setting {
            latency: Duration::from_millis(60),
            ..small()
        });
        for worse in [narrow, slow, far] {
            assert!(worse.expect("all hold everything") > usual);
        }
    }

    #[test]
    fn what_is_not_possible_is_refused() {
        for (validators, transactions) in [(0, 1), (51, 1), (4, 0), (4, 1_000_000)] {
            let setting = Setting {
                validators,
                transactions,
                ..Setting::default()
            };
            let refused = synchronise(&setting);
            assert!(matches!(refused, Err(Unsynchronised::OutOfRange { .. })));
        }
    }
}

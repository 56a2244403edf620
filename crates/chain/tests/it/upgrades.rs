//! Rules that change while the chain runs: who has the next program goes on, who has the old one stops before the block, loses nothing, and comes back with the next; the migration
//! runs once, whichever way a replica comes to its block.

use crate::{
    epochs::sign,
    follow::{Cheat, Neighbour},
    four::{digests, link, lossy, validator_with},
    harness::{FEE, Keys, config, genesis, start_solo, transfer_with, user},
};
use commonware_cryptography::{Signer as _, ed25519::PublicKey};
use commonware_p2p::simulated::Oracle;
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, Ended, StartError, StopReason, SyncMode, UpgradeStop,
    follow,
    light::LightClient,
    start,
    testing::rehearsal::{MISTAKEN, REHEARSAL, TEXT},
    transport,
};
use fairweir_ledger::{bank, params, upgrades::Plans};
use fairweir_types::{
    Action, Amount, BoundedText, BoundedVec, Boxed, Digest, Event, Genesis, Height, SecretKey,
    genesis::GenesisParam,
    governance::{Message, TREASURY, Upgrade, Weights},
    tx,
};
use std::time::Duration;

/// The first block of the new rules.
const HEIGHT: u64 = 45;
/// What a program of before knows.
const OLD: Plans = Plans::new(&[]);

/// A chain in which a proposal lives for some seconds.
fn chain_of(validators: u8) -> (Genesis, Vec<Keys>) {
    let (mut genesis, keys) = genesis(validators);
    let values = [
        ("epoch_blocks", 10),
        ("window_blocks_min", 2),
        ("proposal_deposit", 10_000_000_000),
        ("voting_window", 1_000),
        ("expedited_window", 1_000),
        ("confirm_window", 1_000),
        ("upgrade_lock", 2_000),
    ];
    let mut values = values.map(|(name, value)| GenesisParam {
        param: params::number_of(name).unwrap(),
        value,
    });
    values.sort_unstable_by_key(|value| value.param);
    genesis.params = BoundedVec::new(values.to_vec()).unwrap();
    genesis.check().unwrap();
    (genesis, keys)
}

fn with_plans(config: ChainConfig, plans: Plans) -> ChainConfig {
    ChainConfig { plans, ..config }
}

/// Has the new rules decided by a vote of the only account with stake.
async fn decide(chain: &ChainHandle) {
    let upgrade = Upgrade {
        height: Height(HEIGHT),
        plan: Digest::of_blob(TEXT.as_bytes()),
    };
    let actions = [
        Action::Bond(tx::Bond {
            amount: Amount::from_coins(100).unwrap(),
        }),
        Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title: BoundedText::truncating("other rules"),
            message: Message::Upgrade(upgrade),
            expedited: false,
            deposit: Amount::MAX,
        })),
        Action::Vote(tx::Vote {
            proposal: fairweir_types::ProposalId(1),
            weights: Weights {
                yes: 10_000,
                ..Weights::default()
            },
        }),
    ];
    for action in actions {
        let tx = chain.submit(sign(chain, &user(1), action)).unwrap();
        assert!(chain.wait_outcome(tx).await.unwrap().outcome.is_done());
    }
    while chain.rules().unwrap().planned.is_none() {
        let next = Height(chain.tip().height.get() + 1);
        chain.wait_height(next).await.unwrap();
    }
    assert!(chain.tip().height.get() + 5 < HEIGHT, "decided too late");
}

fn stopped(reason: StopReason) -> UpgradeStop {
    UpgradeStop {
        newest: Height(HEIGHT - 1),
        height: Height(HEIGHT),
        plan: Digest::of_blob(TEXT.as_bytes()),
        reason,
    }
}

/// The coins of the treasury, and of an account that does nothing.
fn levied(chain: &ChainHandle) -> (Amount, Amount) {
    chain.read(|state| {
        let balance = |address| bank::account(state, address).unwrap().balance;
        (balance(TREASURY), balance(user(7).address()))
    })
}

fn coins(coins: u64) -> Amount {
    Amount::from_coins(coins).unwrap()
}

/// The levy was taken once: of the eight accounts, and the validators' own.
fn assert_levied_once(chain: &ChainHandle, validators: u64) {
    assert_eq!(levied(chain), (coins(8 + validators), coins(999)));
    assert!(chain.supply().unwrap().is_conserved());
    let rules = chain.rules().unwrap();
    assert_eq!((rules.begun, rules.planned), (1, None));
}

/// In which block rules began, of all up to a height.
async fn began(chain: &ChainHandle, to: Height) -> Vec<u64> {
    let mut began = Vec::new();
    for height in 1..=to.get() {
        let block = chain.finalised(Height(height)).await.unwrap().unwrap();
        let is = |event: &Event| matches!(event, Event::UpgradeBegan(_));
        began.extend(block.events.iter().any(is).then_some(height));
    }
    began
}

/// The network of a test.
struct Net<'a> {
    context: &'a deterministic::Context,
    oracle: Oracle<PublicKey, deterministic::Context>,
    genesis: &'a Genesis,
    keys: &'a [Keys],
}

impl Net<'_> {
    /// Starts a validator with a program that knows these plans.
    async fn validator(&self, number: usize, plans: Plans) -> (ChainHandle, ChainTask) {
        let keys = &self.keys[number];
        let config = with_plans(config(self.genesis, keys), plans);
        validator_with(self.context, &self.oracle, (config, keys), number).await
    }

    /// The same, where it does not start.
    async fn refused(&self, number: usize, plans: Plans) -> StartError {
        let keys = &self.keys[number];
        let mut config = with_plans(config(self.genesis, keys), plans);
        config.partition_prefix = format!("validator-{number}");
        let identity = keys.identity.as_identity().public_key();
        let transport = transport::simulated(&self.oracle, identity).await.unwrap();
        let started = start(self.context.child("refused"), config, transport).await;
        started.map(drop).unwrap_err()
    }
}

async fn follower(
    context: &deterministic::Context,
    genesis: &Genesis,
    leader: &ChainHandle,
    (name, sync, plans): (&str, SyncMode, Plans),
) -> Result<(ChainHandle, ChainTask), StartError> {
    let identity = SecretKey::from_seed([77; 32]).unwrap();
    let config = ChainConfig {
        partition_prefix: name.to_owned(),
        sync,
        plans,
        ..ChainConfig::follower(genesis.clone(), identity)
    };
    let source = Neighbour::new(leader, Cheat::None);
    follow(context.child("follower"), config, source).await
}

fn is_stop(error: &StartError, expected: UpgradeStop) -> bool {
    matches!(error, StartError::Upgrade(stop) if (stop.height, stop.plan, stop.reason) == (expected.height, expected.plan, expected.reason))
}

#[test]
fn three_of_four_go_on_and_the_old_one_comes_back_with_the_next_program() {
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let net = Net {
            oracle: link(&context, &genesis, &keys, lossy()).await,
            context: &context,
            genesis: &genesis,
            keys: &keys,
        };
        let mut chains = Vec::new();
        for number in 0..3 {
            chains.push(net.validator(number, REHEARSAL).await);
        }
        let (old, task) = net.validator(3, OLD).await;
        let first = chains[0].0.clone();
        decide(&first).await;
        assert!(first.rules().unwrap().knows);
        old.wait_height(first.tip().height).await.unwrap();
        let said = old.rules().unwrap();
        assert_eq!(
            said.planned.map(|planned| planned.height),
            Some(Height(HEIGHT))
        );
        assert!(!said.knows);
        assert_eq!(
            task.ended().await,
            Ended::Upgrade(stopped(StopReason::Unknown))
        );
        assert_eq!(old.stopped(), Some(stopped(StopReason::Unknown)));
        // With the same program it stops at once, and says the same.
        let again = net.refused(3, OLD).await;
        assert!(is_stop(&again, stopped(StopReason::Unknown)), "{again}");
        first.wait_height(Height(HEIGHT + 15)).await.unwrap();
        let (back, _back_task) = net.validator(3, REHEARSAL).await;
        let target = Height(first.tip().height.get() + 10);
        let tx = back
            .submit(transfer_with(&user(2), 0, FEE, "dev-test", 500))
            .unwrap();
        back.wait_height(target).await.unwrap();
        let blocks = digests(&first, target).await;
        let light = LightClient::new(&genesis).unwrap();
        for (chain, _) in &chains {
            chain.wait_height(target).await.unwrap();
        }
        for chain in chains.iter().map(|(chain, _)| chain).chain([&back]) {
            assert_eq!(digests(chain, target).await, blocks);
            assert_levied_once(chain, 4);
            assert_eq!(began(chain, target).await, [HEIGHT]);
            assert!(chain.outcome(tx).await.unwrap().is_some());
        }
        // Who runs no node is not concerned.
        for height in 1..=target.get() {
            let block = back.finalised(Height(height)).await.unwrap().unwrap();
            light
                .verify_through(&block.block.header, &block.descendants, &block.certificate)
                .unwrap();
        }
    });
}

/// With more than a third that stop, all wait at the same block, and go on when enough are back.
#[test]
fn with_two_of_four_old_the_chain_waits_and_goes_on() {
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let net = Net {
            oracle: link(&context, &genesis, &keys, lossy()).await,
            context: &context,
            genesis: &genesis,
            keys: &keys,
        };
        let (new, old) = (
            [
                net.validator(0, REHEARSAL).await,
                net.validator(1, REHEARSAL).await,
            ],
            [net.validator(2, OLD).await, net.validator(3, OLD).await],
        );
        let first = new[0].0.clone();
        decide(&first).await;
        for (_, task) in old {
            assert_eq!(
                task.ended().await,
                Ended::Upgrade(stopped(StopReason::Unknown))
            );
        }
        let tx = first
            .submit(transfer_with(&user(2), 0, FEE, "dev-test", 500))
            .unwrap();
        context.sleep(Duration::from_secs(60)).await;
        for (chain, _) in &new {
            assert_eq!(chain.tip().height, Height(HEIGHT - 1));
            assert_eq!(
                chain.stopped(),
                None,
                "it knows the rules, and waits for others"
            );
        }
        let (back, _task) = net.validator(2, REHEARSAL).await;
        let target = Height(HEIGHT + 10);
        for chain in [&new[0].0, &new[1].0, &back] {
            chain.wait_height(target).await.unwrap();
            assert_levied_once(chain, 4);
            assert!(chain.outcome(tx).await.unwrap().is_some());
        }
        let (last, _task) = net.validator(3, REHEARSAL).await;
        last.wait_height(target).await.unwrap();
        assert_eq!(digests(&last, target).await, digests(&first, target).await);
    });
}

/// All have the plan, and its migration has a mistake: nobody makes the block, everybody says so, and another release goes on.
#[test]
fn a_mistaken_migration_stops_all_before_the_block_and_a_mended_one_goes_on() {
    let (genesis, keys) = chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let net = Net {
            oracle: link(&context, &genesis, &keys, lossy()).await,
            context: &context,
            genesis: &genesis,
            keys: &keys,
        };
        let mut chains = Vec::new();
        for number in 0..4 {
            chains.push(net.validator(number, MISTAKEN).await);
        }
        decide(&chains[0].0).await;
        let mut before = Vec::new();
        for (chain, task) in chains {
            let stop = match task.ended().await {
                Ended::Upgrade(stop) => Some(stop),
                Ended::Part(_) => None,
            };
            let stop = stop.unwrap();
            assert!(matches!(stop.reason, StopReason::Migration(_)), "{stop}");
            assert!(
                stop.to_string()
                    .contains("the invariant supply would not hold")
            );
            assert_eq!(stop.newest, Height(HEIGHT - 1));
            assert_eq!(levied(&chain), (Amount::ZERO, coins(1_000)));
            before.push(chain.header().state_root);
        }
        assert!(before.iter().all(|root| *root == before[0]));
        assert!(matches!(
            net.refused(0, MISTAKEN).await,
            StartError::Upgrade(_)
        ));
        let mut chains = Vec::new();
        for number in 0..4 {
            chains.push(net.validator(number, REHEARSAL).await);
        }
        let target = Height(HEIGHT + 5);
        for (chain, _) in &chains {
            chain.wait_height(target).await.unwrap();
            assert_levied_once(chain, 4);
        }
    });
}

/// A node that follows: by every block, and by a copy of the state of after.
#[test]
fn followers_stop_as_well_and_a_copied_state_says_which_rules_it_is_under() {
    let (genesis, keys) = chain_of(1);
    deterministic::Runner::seeded(5).start(|context| async move {
        let config = with_plans(config(&genesis, &keys[0]), REHEARSAL);
        let (leader, _task) = start_solo(&context, config).await;
        let follow = |name, sync, plans| follower(&context, &genesis, &leader, (name, sync, plans));
        let (old, task) = follow("old", SyncMode::Blocks, OLD).await.unwrap();
        decide(&leader).await;
        let target = Height(HEIGHT + 12);
        leader.wait_height(target).await.unwrap();
        assert_eq!(
            task.ended().await,
            Ended::Upgrade(stopped(StopReason::Unknown))
        );
        assert_eq!(old.tip().height, Height(HEIGHT - 1));
        let again = follow("old", SyncMode::Blocks, OLD)
            .await
            .map(drop)
            .unwrap_err();
        assert!(is_stop(&again, stopped(StopReason::Unknown)), "{again}");
        // A fresh one with the old program comes as far, and no further.
        let (late, task) = follow("late", SyncMode::Blocks, OLD).await.unwrap();
        assert_eq!(
            task.ended().await,
            Ended::Upgrade(stopped(StopReason::Unknown))
        );
        assert_eq!(late.tip().height, Height(HEIGHT - 1));
        let copied = follow("old-copy", SyncMode::State, OLD)
            .await
            .map(drop)
            .unwrap_err();
        assert!(is_stop(&copied, stopped(StopReason::Unknown)), "{copied}");
        let cases = [
            ("old", SyncMode::Blocks),
            ("old-copy", SyncMode::State),
            ("new", SyncMode::Blocks),
            ("copy", SyncMode::State),
        ];
        for (name, sync) in cases {
            let (chain, task) = follow(name, sync, REHEARSAL).await.unwrap();
            let target = Height(leader.tip().height.get() + 8);
            chain.wait_height(target).await.unwrap();
            leader.wait_height(target).await.unwrap();
            let (ours, theirs) = (
                chain.finalised(target).await.unwrap().unwrap(),
                leader.finalised(target).await.unwrap().unwrap(),
            );
            assert_eq!(ours.digest, theirs.digest, "{name}");
            assert_levied_once(&chain, 1);
            if sync == SyncMode::Blocks {
                assert_eq!(began(&chain, target).await, [HEIGHT]);
            }
            task.stop();
            task.ended().await;
        }
    });
}

/// Killed again and again around the block, it comes to the same as everybody who executes its blocks.
#[test]
fn crashes_around_the_block_migrate_once() {
    let (genesis, keys) = chain_of(1);
    let mut checkpoint: Option<deterministic::Checkpoint> = None;
    let mut lives = 0_u64;
    let mut reached = Height::ZERO;
    while reached.get() < HEIGHT + 8 {
        lives += 1;
        let runner = checkpoint.take().map_or_else(
            || deterministic::Runner::timed(Duration::from_secs(600)),
            deterministic::Runner::from,
        );
        let genesis = genesis.clone();
        // Its program is the old one for as long as it may.
        let is_due = reached.get() + 1 >= HEIGHT;
        let plans = if is_due || lives > 1 { REHEARSAL } else { OLD };
        let config = with_plans(config(&genesis, &keys[0]), plans);
        let (tip, next) = runner.start_and_recover(|context| async move {
            let (chain, _task) = start_solo(&context, config).await;
            if lives == 1 {
                decide(&chain).await;
                chain.wait_height(Height(HEIGHT - 3)).await.unwrap();
            }
            // In another moment between two blocks each time.
            context.sleep(Duration::from_millis(130 + lives * 90)).await;
            let tip = chain.tip().height;
            if tip.get() >= HEIGHT {
                assert_levied_once(&chain, 1);
                assert_eq!(began(&chain, tip).await, [HEIGHT]);
            } else {
                assert_eq!(levied(&chain), (Amount::ZERO, coins(1_000)));
            }
            if tip.get() >= HEIGHT + 8 {
                let source = (&genesis, &chain);
                let (copy, _task) = follower(
                    &context,
                    source.0,
                    source.1,
                    ("copy", SyncMode::Blocks, REHEARSAL),
                )
                .await
                .unwrap();
                copy.wait_height(tip).await.unwrap();
                assert_eq!(digests(&copy, tip).await, digests(&chain, tip).await);
                assert_levied_once(&copy, 1);
            }
            tip
        });
        reached = tip;
        checkpoint = Some(next);
    }
    assert!(lives > 4, "{lives} lives were too few to meet the block");
}

//! Nodes that copy the state at a final block, and what they refuse.

use crate::{
    copied::{Copied, Lie},
    epochs::{self, EPOCH},
    four::{link, lossy, validator, validators},
    harness::{FEE, Keys, config, genesis, start_solo, transfer_with, user},
};
use commonware_cryptography::Signer as _;
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::NZU64;
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, Forwarded, ReadError, SimulatedMachine, Source,
    SourceBlock, StartError, StateAnswer, SyncMode, copy_state, follow, light::LightClient, start,
    transport,
};
use fairweir_types::{
    Action, Amount, ChainId, Genesis, Height, Nonce, SecretKey, SignedTx, Transaction,
    limits::STATE_OPERATIONS_MAX, node_api::AskState, tx::Transfer,
};
use futures::stream::BoxStream;
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

fn copying(genesis: &Genesis, sync: SyncMode) -> ChainConfig {
    let identity = SecretKey::from_seed([77; 32]).unwrap();
    ChainConfig {
        partition_prefix: "copy".to_owned(),
        sync,
        ..ChainConfig::follower(genesis.clone(), identity)
    }
}

async fn copy(
    context: &deterministic::Context,
    genesis: &Genesis,
    source: Copied,
) -> (ChainHandle, ChainTask) {
    let config = copying(genesis, SyncMode::State);
    follow(context.child("copy"), config, source).await.unwrap()
}

fn transfer_of(nonce: u64) -> SignedTx {
    transfer_with(&user(1), nonce, FEE, "dev-test", 10_000)
}

/// Transfers of the first account that a busy chain has.
const TRANSFERS: u64 = 60;

/// A chain with some hundred records, so that a copy takes several parts, and blocks enough that the beginning of the log is old.
async fn busy(context: &deterministic::Context, config: ChainConfig) -> (ChainHandle, ChainTask) {
    let (chain, task) = start_solo(context, config).await;
    for half in [0_u64, 1] {
        let mut last = None;
        for nonce in half * 240..(half + 1) * 240 {
            let number = u8::try_from(10 + nonce % 240).unwrap();
            let to = [number, u8::try_from(half).unwrap()].repeat(16);
            let key = SecretKey::from_seed(to.try_into().unwrap()).unwrap();
            last = Some(chain.submit(transfer_to(&key, nonce)).unwrap());
        }
        chain.wait_outcome(last.unwrap()).await.unwrap();
    }
    for nonce in 0..TRANSFERS {
        let tx = chain.submit(transfer_of(nonce)).unwrap();
        chain.wait_outcome(tx).await.unwrap();
    }
    let header = chain.header();
    assert!(header.state_range_start > 0);
    let log = header.state_range_end - header.state_range_start;
    assert!(log > 3 * u64::from(STATE_OPERATIONS_MAX), "{log}");
    (chain, task)
}

/// A transfer of the second account to somebody new.
fn transfer_to(to: &SecretKey, nonce: u64) -> SignedTx {
    let action = Action::Transfer(Transfer {
        to: to.address(),
        amount: Amount::from_coins(1).unwrap(),
    });
    let transaction = Transaction {
        chain_id: ChainId::new("dev-test").unwrap(),
        sender: user(2).account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(FEE).unwrap(),
        expiry: Height(10_000),
        action,
    };
    transaction.sign(&user(2))
}

/// The copy follows its source to the block of now, with the same state.
async fn assert_goes_on(source: &ChainHandle, copy: &ChainHandle, blocks: u64) {
    let target = Height(source.tip().height.get() + blocks);
    source.wait_height(target).await.unwrap();
    copy.wait_height(target).await.unwrap();
    let theirs = source.finalised(target).await.unwrap().unwrap();
    let ours = copy.finalised(target).await.unwrap().unwrap();
    assert_eq!(ours.digest, theirs.digest);
    assert_eq!(ours.outcomes, theirs.outcomes);
    assert_eq!(ours.events, theirs.events);
    assert!(copy.supply().unwrap().is_conserved());
}

#[test]
fn a_copy_goes_on_from_where_it_began_also_after_a_restart() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(1).start(|context| async move {
        let (leader, _task) = busy(&context, config(&genesis, &keys[0])).await;
        let source = Copied::of(&leader, Lie::None);
        let newest = leader.tip().height;
        let (chain, task) = copy(&context, &genesis, source.clone()).await;
        assert!(chain.tip().height >= newest);
        assert!(source.seen.parts.load(Ordering::Relaxed) > 3);
        assert_goes_on(&leader, &chain, 15).await;
        let first = source.seen.blocks.lock().unwrap().first().copied();
        assert!(first.unwrap() > newest.get(), "{first:?} was not needed");
        // What was before is not here, and who asks is told from where on there is something.
        let oldest = chain.oldest_kept();
        assert!(oldest > newest && oldest <= chain.tip().height);
        for height in [Height(1), newest] {
            let asked = chain.finalised(height).await;
            assert_eq!(asked, Err(ReadError::Pruned { height, oldest }));
        }
        assert!(chain.finalised(oldest).await.unwrap().is_some());
        // What is given to it reaches the chain, and an old transaction is not done again.
        let again = chain.submit(transfer_of(3)).unwrap_err();
        assert_eq!(again.code(), "nonce_too_low");
        let tx = chain.submit(transfer_of(TRANSFERS)).unwrap();
        assert!(chain.wait_outcome(tx).await.unwrap().outcome.is_done());
        let reached = chain.tip().height;
        task.stop();
        context.sleep(Duration::from_secs(5)).await;
        // Started again it copies nothing, however it is set up.
        let source = Copied::of(&leader, Lie::None);
        let (chain, task) = copy(&context, &genesis, source.clone()).await;
        assert!(chain.tip().height >= reached);
        assert_eq!(source.seen.parts.load(Ordering::Relaxed), 0);
        assert_eq!(chain.oldest_kept(), oldest);
        assert_goes_on(&leader, &chain, 15).await;
        task.stop();
        context.sleep(Duration::from_secs(5)).await;
        // A copy can be copied from: it has the newest state and the newest blocks.
        let (chain, _task) = copy(&context, &genesis, Copied::of(&leader, Lie::None)).await;
        let config = ChainConfig {
            partition_prefix: "copy_of_copy".to_owned(),
            ..copying(&genesis, SyncMode::State)
        };
        let untouched = Copied {
            floor: Some(chain.tip().height),
            hides_handovers: true,
            ..Copied::of(&chain, Lie::None)
        };
        // The seats never changed hands, so no handover is needed.
        let second = follow(context.child("second"), config, untouched).await;
        let (second, _task) = second.unwrap();
        assert_goes_on(&leader, &second, 15).await;
    });
}

#[test]
fn what_does_not_hold_is_refused_and_nothing_of_it_is_kept() {
    let lies = [
        Lie::Operation,
        Lie::Proof,
        Lie::Cut,
        Lie::TooMany,
        Lie::Elsewhere,
        Lie::OtherBlock,
        Lie::Noise,
        Lie::FloorState,
        Lie::FloorCertificate,
        Lie::FloorBody,
    ];
    for lie in lies {
        let (genesis, keys) = genesis(1);
        deterministic::Runner::seeded(2).start(|context| async move {
            let (leader, _task) = busy(&context, config(&genesis, &keys[0])).await;
            let mut source = Copied::of(&leader, lie);
            // The last one of the transfers, of which there was one in a block.
            source.floor = Some(Height(leader.tip().height.get() - 1));
            let (chain, _task) = copy(&context, &genesis, source.clone()).await;
            let blamed = source.seen.blamed.load(Ordering::Relaxed);
            assert!(blamed >= 3, "{lie:?}: {blamed}");
            assert_goes_on(&leader, &chain, 12).await;
        });
    }
}

#[test]
fn who_says_that_the_state_is_gone_is_left_for_another() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(3).start(|context| async move {
        let (leader, _task) = busy(&context, config(&genesis, &keys[0])).await;
        let source = Copied::of(&leader, Lie::SaysGone);
        let (chain, _task) = copy(&context, &genesis, source.clone()).await;
        assert_eq!(source.seen.blamed.load(Ordering::Relaxed), 0);
        assert!(source.seen.passed.load(Ordering::Relaxed) >= 3);
        assert_goes_on(&leader, &chain, 12).await;
    });
}

#[test]
fn who_is_slow_gets_more_time_from_one_to_the_next() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(3_600)).start(|context| async move {
        let (leader, _task) = busy(&context, config(&genesis, &keys[0])).await;
        let slow = Copied {
            slow: Some((Duration::from_secs(400), Arc::new(context.child("slow")))),
            ..Copied::of(&leader, Lie::None)
        };
        let (chain, _task) = copy(&context, &genesis, slow.clone()).await;
        // Left after five minutes, asked again, and waited for.
        assert_eq!(slow.seen.passed.load(Ordering::Relaxed), 1);
        assert_goes_on(&leader, &chain, 5).await;
    });
}

#[test]
fn a_copy_that_was_killed_begins_at_the_same_block_or_a_newer_one() {
    for is_newer in [false, true] {
        for parts_max in 0..4 {
            let (genesis, keys) = genesis(1);
            let config = config(&genesis, &keys[0]);
            let runner = deterministic::Runner::seeded(4);
            let ((height, sizes), checkpoint) = runner.start_and_recover({
                let (genesis, config) = (genesis.clone(), config.clone());
                |context| async move {
                    let (leader, _task) = busy(&context, config).await;
                    let mut source = Copied::of(&leader, Lie::None);
                    let height = leader.tip().height;
                    source.floor = Some(height);
                    source.parts_max = parts_max;
                    let (silent, seen) = (Arc::clone(&source.is_silent), Arc::clone(&source.seen));
                    context.child("killed").spawn(move |context| async move {
                        copy(&context, &genesis, source).await;
                        panic!("it cannot be whole");
                    });
                    while !silent.load(Ordering::Relaxed) {
                        context.sleep(Duration::from_millis(50)).await;
                    }
                    leader.wait_height(Height(height.get() + 20)).await.unwrap();
                    let sizes = seen.sizes.lock().unwrap().clone();
                    (height, sizes)
                }
            });
            deterministic::Runner::from(checkpoint).start(|context| async move {
                let (leader, _task) = start_solo(&context, config).await;
                let mut source = Copied::of(&leader, Lie::None);
                let newest = leader.tip().height;
                source.floor = Some(if is_newer { newest } else { height });
                // It goes on with the copy, even if it is told to execute blocks.
                let config = copying(&genesis, SyncMode::Blocks);
                let opened = follow(context.child("copy"), config, source.clone()).await;
                let (chain, _task) = opened.unwrap();
                let found = source.seen.sizes.lock().unwrap().clone();
                let expected = if is_newer { newest } else { height };
                assert_eq!(chain.oldest_kept(), Height(expected.get() + 1));
                if !is_newer {
                    assert_eq!(found, sizes, "the same state");
                }
                assert_goes_on(&leader, &chain, 12).await;
            });
        }
    }
}

#[test]
fn a_state_that_no_node_holds_any_more_is_left_for_a_newer_one() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(5).start(|context| async move {
        let (leader, _task) = busy(&context, config(&genesis, &keys[0])).await;
        /// Says of the first state that it is asked for that it is gone.
        #[derive(Clone)]
        struct Forgetful {
            inner: Copied,
            first: Arc<Mutex<Option<u64>>>,
        }
        impl Source for Forgetful {
            async fn heights(&self) -> BoxStream<'static, Height> {
                self.inner.heights().await
            }
            async fn finalised(&self, height: Height) -> Option<SourceBlock> {
                self.inner.finalised(height).await
            }
            async fn floor(&self, light: &mut LightClient) -> Option<SourceBlock> {
                self.inner.floor(light).await
            }
            async fn state(&self, ask: AskState) -> (usize, StateAnswer) {
                let first = *self.first.lock().unwrap().get_or_insert(ask.size);
                if first == ask.size {
                    return (0, StateAnswer::Gone);
                }
                self.inner.state(ask).await
            }
            async fn forward(&self, tx: SignedTx) -> Forwarded {
                self.inner.forward(tx).await
            }
            fn blame(&self, turn: usize) {
                self.inner.blame(turn);
            }
            fn look_elsewhere(&self) {
                self.inner.look_elsewhere();
            }
        }
        let source = Forgetful {
            inner: Copied::of(&leader, Lie::None),
            first: Arc::default(),
        };
        let config = copying(&genesis, SyncMode::State);
        let opened = follow(context.child("copy"), config, source.clone()).await;
        let (chain, _task) = opened.unwrap();
        assert!(source.first.lock().unwrap().is_some());
        assert_goes_on(&leader, &chain, 12).await;
    });
}

#[test]
fn any_block_of_an_epoch_may_be_the_one_at_which_it_begins() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(6).start(|context| async move {
        let (leader, _task) = busy(&context, config(&genesis, &keys[0])).await;
        let last = leader.tip().height.get() / EPOCH * EPOCH;
        for (height, prefix) in [
            (last - 1, "before"),
            (last, "last"),
            (last + 1, "first"),
            (last - EPOCH, "earlier"),
        ] {
            leader.wait_height(Height(height)).await.unwrap();
            let mut source = Copied::of(&leader, Lie::None);
            source.floor = Some(Height(height));
            let config = ChainConfig {
                partition_prefix: prefix.to_owned(),
                ..copying(&genesis, SyncMode::State)
            };
            let opened = follow(context.child("copy"), config, source).await;
            let (chain, task) = opened.unwrap();
            assert_eq!(chain.oldest_kept(), Height(height + 1));
            assert_goes_on(&leader, &chain, 2 * EPOCH + 3).await;
            task.stop();
            context.sleep(Duration::from_secs(2)).await;
        }
    });
}

#[test]
fn it_chooses_blocks_where_they_are_few_and_the_state_where_the_first_is_gone() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(3_600)).start(|context| async move {
        let pruned = ChainConfig {
            retain_blocks: Some(1_000),
            blocks_per_file: NZU64!(128),
            ..config(&genesis, &keys[0])
        };
        let (leader, _task) = busy(&context, pruned).await;
        let source = Copied::of(&leader, Lie::None);
        let config = copying(&genesis, SyncMode::Auto);
        let opened = follow(context.child("copy"), config, source.clone()).await;
        let (chain, task) = opened.unwrap();
        assert_goes_on(&leader, &chain, 5).await;
        assert!(chain.finalised(Height(1)).await.unwrap().is_some());
        assert_eq!(source.seen.parts.load(Ordering::Relaxed), 0);
        task.stop();
        leader.wait_height(Height(1_700)).await.unwrap();
        let first = leader.finalised(Height(1)).await;
        assert!(matches!(first, Err(ReadError::Pruned { .. })));
        // A part of a state that is too old is refused by its code; so is one that is none.
        for (size, start) in [(40, 0), (40, 40), (1 << 40, 3), (u64::MAX, 0)] {
            let ask = AskState {
                size,
                start,
                max: 10,
                is_boundary: false,
            };
            let refused = leader.state_part(ask).await;
            assert_eq!(refused, Err(ReadError::StateGone { start, size }));
        }
        let config = ChainConfig {
            partition_prefix: "late".to_owned(),
            ..copying(&genesis, SyncMode::Auto)
        };
        let source = Copied {
            // Its first epochs are gone; the seats are those of the genesis.
            hides_handovers: true,
            floor: Some(leader.tip().height),
            ..Copied::of(&leader, Lie::None)
        };
        let opened = follow(context.child("late"), config, source.clone()).await;
        let (chain, _task) = opened.unwrap();
        assert!(source.seen.parts.load(Ordering::Relaxed) > 0);
        assert_goes_on(&leader, &chain, 300).await;
    });
}

#[test]
fn seats_that_changed_hands_are_learnt_before_anything_is_copied() {
    let (genesis, keys) = epochs::chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(900)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        let leader = chains[0].0.clone();
        let standing = [0, 1, 2, 4];
        let stand = |chains: &[(ChainHandle, ChainTask)], keys: &[Keys]| {
            for number in standing {
                epochs::stand(&chains[number].0, &keys[number], 20);
            }
        };
        let expected = epochs::ids(standing.map(|number| &keys[number]));
        while epochs::seated(&leader) != expected {
            stand(&chains, &keys);
            context.sleep(Duration::from_millis(200)).await;
        }
        let target = Height(leader.tip().height.get() + 2 * EPOCH);
        while leader.tip().height < target {
            stand(&chains, &keys);
            context.sleep(Duration::from_millis(200)).await;
        }
        // Who is not told of the handover believes certificates only that a quorum of those signed whom it knows. Who has the seats it learns from the state.
        let mut untold = Copied::of(&leader, Lie::None);
        untold.hides_handovers = true;
        let config = ChainConfig {
            partition_prefix: "untold".to_owned(),
            ..copying(&genesis, SyncMode::State)
        };
        let (untold, _untold_task) = follow(context.child("untold"), config, untold)
            .await
            .unwrap();
        let (chain, _task) = copy(&context, &genesis, Copied::of(&leader, Lie::None)).await;
        let target = Height(leader.tip().height.get() + 2 * EPOCH);
        while leader.tip().height < target {
            stand(&chains, &keys);
            context.sleep(Duration::from_millis(200)).await;
        }
        for chain in [&untold, &chain] {
            assert_goes_on(&leader, chain, 3).await;
            assert_eq!(epochs::seated(chain), epochs::seated(&leader));
        }
    });
}

#[test]
fn who_forgets_old_blocks_keeps_those_that_handed_seats_over() {
    let (genesis, keys) = epochs::chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(7_200)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        let leader = chains[0].0.clone();
        let config = ChainConfig {
            partition_prefix: "forgetful".to_owned(),
            retain_blocks: Some(2 * EPOCH),
            blocks_per_file: NZU64!(16),
            simulated: SimulatedMachine {
                retain_min: Some(0),
                ..SimulatedMachine::default()
            },
            ..copying(&genesis, SyncMode::Blocks)
        };
        let source = Copied::of(&leader, Lie::None);
        let opened = follow(context.child("forgetful"), config, source).await;
        let (forgetful, _task) = opened.unwrap();
        let standing = [0, 1, 2, 4];
        let expected = epochs::ids(standing.map(|number| &keys[number]));
        while epochs::seated(&leader) != expected {
            for number in standing {
                epochs::stand(&chains[number].0, &keys[number], 20);
            }
            context.sleep(Duration::from_millis(200)).await;
        }
        let handed = leader.tip().height.get() / EPOCH * EPOCH;
        // Nobody says any more that its node is ready, so the seats stay.
        forgetful.wait_height(Height(handed + 400)).await.unwrap();
        let gone = forgetful.finalised(Height(handed + 5)).await;
        assert!(matches!(gone, Err(ReadError::Pruned { .. })), "{gone:?}");
        let kept = forgetful.finalised(Height(handed)).await.unwrap();
        assert_eq!(kept, leader.finalised(Height(handed)).await.unwrap());
        let (chain, _task) = copy(&context, &genesis, Copied::of(&forgetful, Lie::None)).await;
        assert_goes_on(&leader, &chain, 2 * EPOCH).await;
    });
}

#[test]
fn a_candidate_that_copied_the_state_takes_a_seat_and_makes_blocks() {
    let (genesis, keys) = epochs::chain_of(4);
    deterministic::Runner::timed(Duration::from_secs(1_200)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let mut chains = validators(&context, &oracle, &genesis, &keys[..4]).await;
        let leader = chains[0].0.clone();
        leader.wait_height(Height(3 * EPOCH + 4)).await.unwrap();
        let newcomer = |config: ChainConfig| ChainConfig {
            partition_prefix: "validator-4".to_owned(),
            ..config
        };
        let config = newcomer(config(&genesis, &keys[4]));
        // Killed in the middle: a node with half a state does not vote.
        let source = Copied {
            parts_max: 0,
            ..Copied::of(&leader, Lie::None)
        };
        let silent = Arc::clone(&source.is_silent);
        let killed = context.child("killed").spawn({
            let config = config.clone();
            move |context| async move { copy_state(context, config, source).await }
        });
        while !silent.load(Ordering::Relaxed) {
            context.sleep(Duration::from_millis(50)).await;
        }
        killed.abort();
        let _ = killed.await;
        context.sleep(Duration::from_secs(1)).await;
        let public = keys[4].identity.as_identity().public_key();
        let place = transport::simulated(&oracle, public).await.unwrap();
        let refused = start(context.child("half"), config.clone(), place).await;
        assert!(matches!(refused, Err(StartError::UnfinishedCopy)));
        // It goes on with the copy, and starts on it.
        let source = Copied::of(&leader, Lie::None);
        let copied = copy_state(context.child("whole"), config.clone(), source).await;
        copied.unwrap();
        let joined = validator(&context, &oracle, &genesis, &keys[4], 4).await;
        let oldest = joined.0.oldest_kept();
        assert!(oldest > Height(3 * EPOCH), "{oldest}");
        chains.push(joined);
        let standing = [0, 1, 2, 4];
        let expected = epochs::ids(standing.map(|number| &keys[number]));
        let stand = |chains: &[(ChainHandle, ChainTask)]| {
            for number in standing {
                epochs::stand(&chains[number].0, &keys[number], 20);
            }
        };
        while chains
            .iter()
            .any(|(chain, _)| epochs::seated(chain) != expected)
        {
            stand(&chains);
            context.sleep(Duration::from_millis(200)).await;
            assert!(leader.tip().height < Height(200), "no seat was taken");
        }
        let target = Height(leader.tip().height.get() + 2 * EPOCH);
        while leader.tip().height < target {
            stand(&chains);
            context.sleep(Duration::from_millis(200)).await;
        }
        let joined = chains[4].0.clone();
        let mut made = 0;
        for height in target.get() - 2 * EPOCH..=target.get() {
            joined.wait_height(Height(height)).await.unwrap();
            let ours = joined.finalised(Height(height)).await.unwrap().unwrap();
            let theirs = leader.finalised(Height(height)).await.unwrap().unwrap();
            assert_eq!(ours.digest, theirs.digest);
            made += usize::from(ours.block.header.proposer == epochs::identity(&keys[4]));
        }
        assert!(made > 1, "{made} blocks of the newcomer");
        // With a state there is nothing to copy, also where it was made by executing blocks.
        for (number, kept) in [(4, config), (0, self::config(&genesis, &keys[0]))] {
            let (_, task) = chains.remove(number);
            task.stop();
            task.ended().await;
            let kept = ChainConfig {
                partition_prefix: format!("validator-{number}"),
                ..kept
            };
            let source = Copied::of(&leader, Lie::None);
            let again = copy_state(context.child("again"), kept, source.clone()).await;
            again.unwrap();
            assert_eq!(source.seen.parts.load(Ordering::Relaxed), 0);
        }
    });
}

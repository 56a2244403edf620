//! Nodes that keep the newest blocks only.

use crate::{
    follow::{Cheat, Neighbour, follower},
    harness::{FEE, config, genesis, start_solo, transfer_with, user},
};
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use commonware_utils::NZU64;
use fairweir_chain::{ChainConfig, ReadError, StartError};
use fairweir_types::{Height, SignedTx};
use std::time::Duration;

const RETAINED: u64 = 1_000;

fn transfer_of(nonce: u64) -> SignedTx {
    transfer_with(&user(1), nonce, FEE, "dev-test", 10_000)
}

fn pruning(mut config: ChainConfig) -> ChainConfig {
    config.retain_blocks = Some(RETAINED);
    config.blocks_per_file = NZU64!(128);
    config
}

#[test]
fn old_blocks_go_the_state_stays_and_who_asks_is_told() {
    let (genesis, keys) = genesis(1);
    let pruned = pruning(config(&genesis, &keys[0]));
    let runner = deterministic::Runner::timed(Duration::from_secs(3_600));
    let (kept, checkpoint) = runner.start_and_recover({
        let pruned = pruned.clone();
        |context| async move {
            let (chain, _tasks) = start_solo(&context, pruned).await;
            let early = chain.submit(transfer_of(0)).unwrap();
            let early = (early, chain.wait_outcome(early).await.unwrap());
            chain.wait_height(Height(1_700)).await.unwrap();
            let tip = chain.tip().height.get();
            // All that must be kept is, and of the rest no more than what a file holds and comes between two looks.
            for height in [tip - RETAINED + 1, tip - RETAINED / 2, tip] {
                assert!(chain.finalised(Height(height)).await.unwrap().is_some());
            }
            let oldest = Height(tip - RETAINED + 1);
            let first = chain.finalised(Height(1)).await;
            assert_eq!(
                first,
                Err(ReadError::Pruned {
                    height: Height(1),
                    oldest
                })
            );
            let mut from_first = chain.subscribe(Height(1));
            assert_eq!(from_first.next().await.unwrap_err().code(), "pruned");
            assert_eq!(chain.outcome(early.0).await.unwrap(), None);
            // What it did is in the state, so it cannot be done again.
            let again = chain.submit(transfer_of(0)).unwrap_err();
            assert_eq!(again.code(), "nonce_too_low");
            assert!(chain.supply().unwrap().is_conserved());
            tip
        }
    });
    // It starts from what it kept, and goes on.
    deterministic::Runner::from(checkpoint).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, pruned).await;
        assert!(chain.tip().height.get() >= kept);
        let tx = chain.submit(transfer_of(1)).unwrap();
        assert!(chain.wait_outcome(tx).await.unwrap().outcome.is_done());
        // Who follows from the beginning gets nothing from it, and waits for another node.
        let (late, _task) = follower(&context, &genesis, Neighbour::new(&chain, Cheat::None)).await;
        context.sleep(Duration::from_secs(20)).await;
        assert_eq!(late.tip().height, Height::ZERO);
    });
}

#[test]
fn too_few_blocks_are_not_kept() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        use commonware_cryptography::Signer as _;
        use commonware_runtime::Supervisor as _;
        let mut config = config(&genesis, &keys[0]);
        config.retain_blocks = Some(RETAINED - 1);
        let identity = config.identity.as_identity().public_key();
        let transport = fairweir_chain::transport::solo(identity);
        let refused = fairweir_chain::start(context.child("chain"), config, transport).await;
        let expected = (RETAINED - 1, RETAINED);
        assert!(
            matches!(refused, Err(StartError::Retention { found, min }) if (found, min) == expected)
        );
    });
}

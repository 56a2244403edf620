//! One validator.

use crate::harness::{config, genesis, start_solo, transfer, user};
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use fairweir_chain::{light, root_of};
use fairweir_types::{Event, Height};
use std::time::Duration;

#[test]
fn a_transfer_is_final_in_the_first_block_and_everything_in_it_checks_out() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, config(&genesis, &keys[0])).await;
        assert_eq!(chain.tip().height, Height::ZERO);
        let before = context.current();
        let tx = chain.submit(transfer(&user(1), 0)).unwrap();
        let included = chain.wait_outcome(tx).await.unwrap();
        assert!(
            context.current().duration_since(before).unwrap() < Duration::from_millis(400),
            "not held for the heartbeat"
        );
        assert!(included.outcome.is_done(), "{:?}", included.outcome);
        let block = chain.finalised(included.height).await.unwrap().unwrap();
        assert_eq!(block.block.transactions.as_slice(), [transfer(&user(1), 0)]);
        assert!(
            block
                .events
                .iter()
                .any(|event| matches!(event, Event::Transferred(_)))
        );
        let header = &block.block.header;
        assert_eq!(
            header.transactions_root,
            root_of(block.block.transactions.as_slice())
        );
        assert_eq!(header.outcomes_root, root_of(&block.outcomes));
        assert_eq!(header.events_root, root_of(&block.events));
        assert!(block.descendants.is_empty());
        assert_eq!(
            light::verify_header(&genesis, header, &block.certificate).unwrap(),
            block.digest
        );
    });
}

#[test]
fn the_supply_is_followed_from_block_to_block() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, config(&genesis, &keys[0])).await;
        assert!(chain.supply().unwrap().is_conserved());
        for nonce in 0..3 {
            let tx = chain.submit(transfer(&user(1), nonce)).unwrap();
            chain.wait_outcome(tx).await.unwrap();
            let counted = chain.read(|state| fairweir_ledger::invariants::supply(state));
            assert_eq!(chain.supply().unwrap(), counted.unwrap());
        }
        assert!(chain.supply().unwrap().is_conserved());
    });
}

#[test]
fn an_idle_chain_makes_one_block_a_heartbeat() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, config(&genesis, &keys[0])).await;
        chain.wait_height(Height(2)).await.unwrap();
        let from = chain.tip().height;
        context.sleep(Duration::from_secs(5)).await;
        let made = chain.tip().height.get() - from.get();
        assert!((8..=10).contains(&made), "{made} blocks in ten heartbeats");
    });
}

#[test]
fn a_subscription_replays_and_then_follows() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, config(&genesis, &keys[0])).await;
        chain.wait_height(Height(3)).await.unwrap();
        let mut blocks = chain.subscribe(Height::ZERO);
        let mut parent = None;
        for height in 1..=6 {
            let block = blocks.next().await.unwrap();
            assert_eq!(block.block.header.height, Height(height));
            assert!(parent.is_none_or(|parent| parent == block.block.header.parent));
            parent = Some(block.digest);
        }
    });
}

#[test]
fn the_same_seed_makes_the_same_state() {
    let run = || {
        let (genesis, keys) = genesis(1);
        deterministic::Runner::new(deterministic::Config::new().with_seed(7)).start(
            |context| async move {
                let (chain, _tasks) = start_solo(&context, config(&genesis, &keys[0])).await;
                for nonce in 0..4 {
                    chain.submit(transfer(&user(1), nonce)).unwrap();
                }
                chain.wait_height(Height(5)).await.unwrap();
                let block = chain.finalised(Height(5)).await.unwrap().unwrap();
                (block.digest, block.block.header.state_root)
            },
        )
    };
    assert_eq!(run(), run());
}

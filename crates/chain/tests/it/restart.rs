//! Crashes and strange stores.

use crate::harness::{config, genesis, start_solo, transfer, user};
use commonware_cryptography::Signer as _;
use commonware_runtime::{
    Blob as _, Clock as _, ReadOptions, Runner as _, Storage as _, Supervisor as _, WriteOptions,
    deterministic,
};
use fairweir_chain::{ChainConfig, FinalisedBlock, IncludedTx, StartError, open, start, transport};
use fairweir_types::{ChainId, Digest, Height};
use std::time::Duration;

/// What was acknowledged before a crash.
struct Acknowledged {
    txs: Vec<(Digest, IncludedTx)>,
    blocks: Vec<FinalisedBlock>,
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let (genesis, keys) = genesis(1);
    let mut checkpoint: Option<deterministic::Checkpoint> = None;
    let mut acknowledged = Acknowledged {
        txs: Vec::new(),
        blocks: Vec::new(),
    };
    for life in 0..4_u64 {
        let runner = checkpoint.take().map_or_else(
            || deterministic::Runner::timed(Duration::from_secs(600)),
            deterministic::Runner::from,
        );
        let config = config(&genesis, &keys[0]);
        let (known, next) = runner.start_and_recover(|context| async move {
            let (chain, _tasks) = start_solo(&context, config).await;
            for (tx, included) in &acknowledged.txs {
                assert_eq!(chain.outcome(*tx).await.unwrap().as_ref(), Some(included));
            }
            for block in &acknowledged.blocks {
                let height = block.block.header.height;
                assert_eq!(chain.finalised(height).await.unwrap().unwrap(), *block);
            }
            for nonce in (life * 5)..(life * 5 + 5) {
                let tx = chain.submit(transfer(&user(1), nonce)).unwrap();
                acknowledged
                    .txs
                    .push((tx, chain.wait_outcome(tx).await.unwrap()));
            }
            // Crash at different distances from the last block.
            context.sleep(Duration::from_millis(life * 170)).await;
            for height in 1..=chain.tip().height.get() {
                let block = chain.finalised(Height(height)).await.unwrap().unwrap();
                if !acknowledged
                    .blocks
                    .iter()
                    .any(|known| known.digest == block.digest)
                {
                    acknowledged.blocks.push(block);
                }
            }
            acknowledged
        });
        acknowledged = known;
        checkpoint = Some(next);
    }
    assert_eq!(acknowledged.txs.len(), 20);
}

#[test]
fn a_store_of_another_chain_is_refused() {
    let (genesis, keys) = genesis(1);
    let first = config(&genesis, &keys[0]);
    let mut second = first.clone();
    second.genesis.chain_id = ChainId::new("dev-other").unwrap();
    let (_, checkpoint) = deterministic::Runner::timed(Duration::from_secs(60)).start_and_recover(
        |context| async move {
            start_solo(&context, first).await;
        },
    );
    deterministic::Runner::from(checkpoint).start(|context| async move {
        let identity = second.identity.as_identity().public_key();
        let error = start(context.child("chain"), second, transport::solo(identity))
            .await
            .unwrap_err();
        assert!(matches!(error, StartError::OtherGenesis { .. }), "{error}");
    });
}

#[test]
fn a_stopped_chain_starts_again_in_the_same_runtime() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let mut tip = Height::ZERO;
        for life in 0..3_u64 {
            let (chain, task) = start_solo(&context, config(&genesis, &keys[0])).await;
            chain.wait_height(tip).await.unwrap();
            let tx = chain.submit(transfer(&user(1), life)).unwrap();
            tip = chain.wait_outcome(tx).await.unwrap().height;
            task.stop();
            task.ended().await;
            assert!(
                chain.outcome(Digest::ZERO).await.is_err(),
                "a stopped chain answers nothing"
            );
        }
    });
}

/// Writes what one chain's store has of a part into another one's, and makes it durable.
async fn copy(context: &deterministic::Context, from: &str, to: &str) {
    for name in context.scan(from).await.unwrap() {
        let (source, bytes) = context.open(from, &name).await.unwrap();
        let length = usize::try_from(bytes).unwrap();
        let read = source.read_at(0, length, ReadOptions::default()).await;
        let (target, _) = context.open(to, &name).await.unwrap();
        let written = read.unwrap().coalesce().freeze();
        let write = target.write_at(0, written, WriteOptions::default());
        write.await.unwrap();
        target.sync().await.unwrap();
    }
}

#[test]
fn a_store_that_acknowledged_more_than_it_has_is_refused_when_nobody_else_can_give_it() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let config = config(&genesis, &keys[0]);
        let (chain, task) = start_solo(&context, config.clone()).await;
        let tx = chain.submit(transfer(&user(1), 0)).unwrap();
        chain.wait_outcome(tx).await.unwrap();
        task.stop();
        task.ended().await;
        for part in ["metadata", "key", "value"] {
            let (from, to) = (
                format!("{}-records-{part}", config.partition_prefix),
                format!("rest-records-{part}"),
            );
            copy(&context, &from, &to).await;
        }
        let rest = ChainConfig {
            partition_prefix: "rest".to_owned(),
            ..config
        };
        let error = open(context.child("rest"), rest).await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, StartError::Store(_)), "{said}");
        assert!(
            format!("{error:?}").contains("not there any more"),
            "{error:?}"
        );
    });
}

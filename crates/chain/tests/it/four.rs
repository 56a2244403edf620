//! Four validators over simulated links.

use crate::harness::{Keys, config, genesis, transfer, user};
use commonware_cryptography::{Signer as _, ed25519::PublicKey};
use commonware_p2p::simulated::{Config, Link, Network, Oracle};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, probability};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, light::LightClient, message_bytes_max, start, transport,
};
use fairweir_types::{Digest, Genesis, Height};
use std::time::Duration;

/// Links that lose some messages for good.
pub(crate) fn lossy() -> Link {
    Link {
        latency: Duration::from_millis(10),
        jitter: Duration::from_millis(3),
        success_rate: probability!(0.98),
    }
}

/// Links as TCP makes them: slow, and whole.
fn slow() -> Link {
    Link {
        latency: Duration::from_millis(50),
        jitter: Duration::from_millis(20),
        success_rate: probability!(1.0),
    }
}

pub(crate) async fn link(
    context: &deterministic::Context,
    genesis: &Genesis,
    keys: &[Keys],
    link: Link,
) -> Oracle<PublicKey, deterministic::Context> {
    let identities: Vec<PublicKey> = keys
        .iter()
        .map(|keys| keys.identity.as_identity().public_key())
        .collect();
    let p2p = Config {
        max_size: message_bytes_max(genesis).unwrap(),
        max_peers_per_set: NZUsize!(8),
        disconnect_on_block: true,
        tracked_peer_sets: NZUsize!(1),
    };
    let (network, oracle) =
        Network::new_with_peers(context.child("network"), p2p, identities.clone()).await;
    network.start();
    for from in &identities {
        for to in identities.iter().filter(|to| *to != from) {
            oracle
                .add_link(from.clone(), to.clone(), link.clone())
                .await
                .unwrap();
        }
    }
    oracle
}

pub(crate) async fn validator(
    context: &deterministic::Context,
    oracle: &Oracle<PublicKey, deterministic::Context>,
    genesis: &Genesis,
    keys: &Keys,
    number: usize,
) -> (ChainHandle, ChainTask) {
    let config = config(genesis, keys);
    validator_with(context, oracle, (config, keys), number).await
}

/// Starts a validator that is set up in its own way.
pub(crate) async fn validator_with(
    context: &deterministic::Context,
    oracle: &Oracle<PublicKey, deterministic::Context>,
    (mut config, keys): (ChainConfig, &Keys),
    number: usize,
) -> (ChainHandle, ChainTask) {
    config.partition_prefix = format!("validator-{number}");
    let transport = transport::simulated(oracle, keys.identity.as_identity().public_key())
        .await
        .unwrap();
    start(
        context.child("validator").with_attribute("number", number),
        config,
        transport,
    )
    .await
    .unwrap()
}

/// Starts a validator for each of these keys.
pub(crate) async fn validators(
    context: &deterministic::Context,
    oracle: &Oracle<PublicKey, deterministic::Context>,
    genesis: &Genesis,
    keys: &[Keys],
) -> Vec<(ChainHandle, ChainTask)> {
    let mut started = Vec::new();
    for (number, keys) in keys.iter().enumerate() {
        started.push(validator(context, oracle, genesis, keys, number).await);
    }
    started
}

pub(crate) async fn digests(chain: &ChainHandle, to: Height) -> Vec<(Digest, Digest)> {
    let mut subscription = chain.subscribe(Height(1));
    let mut digests = Vec::new();
    while subscription.next_height() <= to {
        let block = subscription.next().await.unwrap();
        digests.push((block.digest, block.block.header.state_root));
    }
    digests
}

#[test]
fn four_validators_finalise_the_same_blocks() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        // Each transaction is submitted to another validator.
        let mut txs = Vec::new();
        for number in 1..=4_u8 {
            let (chain, _) = &chains[usize::from(number) - 1];
            txs.push(chain.submit(transfer(&user(number), 0)).unwrap());
        }
        for (chain, _) in &chains {
            chain.wait_height(Height(12)).await.unwrap();
            for tx in &txs {
                let included = chain
                    .outcome(*tx)
                    .await
                    .unwrap()
                    .expect("included within twelve blocks");
                assert!(included.outcome.is_done());
            }
        }
        let expected = digests(&chains[0].0, Height(12)).await;
        for (chain, _) in &chains[1..] {
            assert_eq!(digests(chain, Height(12)).await, expected);
        }
        let light = LightClient::new(&genesis).unwrap();
        for height in 1..=12 {
            let block = chains[0]
                .0
                .finalised(Height(height))
                .await
                .unwrap()
                .unwrap();
            light
                .verify_through(&block.block.header, &block.descendants, &block.certificate)
                .unwrap();
        }
        let block = chains[0].0.finalised(Height(5)).await.unwrap().unwrap();
        for position in 0..block.certificate.len() {
            let mut mutated = block.certificate.clone();
            mutated[position] ^= 1;
            assert!(
                light
                    .verify_through(&block.block.header, &block.descendants, &mutated)
                    .is_err(),
                "certificate byte {position}"
            );
        }
    });
}

#[test]
fn what_nobody_was_told_of_is_asked_for_when_it_is_in_a_block() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, slow()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        let identities = keys.iter().map(|keys| keys.identity.as_identity());
        let identities: Vec<_> = identities.map(|key| key.public_key()).collect();
        chains[0].0.wait_height(Height(3)).await.unwrap();
        // While the first reaches nobody, it has something to tell; then it proposes it.
        for to in &identities[1..] {
            let (from, to) = (identities[0].clone(), to.clone());
            oracle.remove_link(from, to).await.unwrap();
        }
        let tx = chains[0].0.submit(transfer(&user(1), 0)).unwrap();
        context.sleep(Duration::from_secs(1)).await;
        assert!(chains[1..].iter().all(|(chain, _)| chain.waiting() == 0));
        for to in &identities[1..] {
            let (from, to) = (identities[0].clone(), to.clone());
            oracle.add_link(from, to, slow()).await.unwrap();
        }
        for (chain, _) in &chains {
            let included = loop {
                let height = chain.tip().height;
                if let Some(included) = chain.outcome(tx).await.unwrap() {
                    break included;
                }
                chain.wait_height(Height(height.get() + 1)).await.unwrap();
            };
            assert!(included.outcome.is_done());
        }
    });
}

#[test]
fn a_validator_that_was_away_catches_up_and_three_go_on_without_it() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys[..3]).await;
        chains[0].0.submit(transfer(&user(1), 0)).unwrap();
        chains[0].0.wait_height(Height(10)).await.unwrap();
        let (late, _tasks) = validator(&context, &oracle, &genesis, &keys[3], 3).await;
        let height = chains[0].0.tip().height;
        late.wait_height(height).await.unwrap();
        assert_eq!(
            digests(&late, height).await,
            digests(&chains[0].0, height).await
        );
        context.sleep(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_validator_that_is_gone_makes_no_long_pause() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, slow()).await;
        let mut chains = validators(&context, &oracle, &genesis, &keys).await;
        let chain = chains[0].0.clone();
        chain.wait_height(Height(10)).await.unwrap();
        let (_, gone) = chains.pop().unwrap();
        gone.stop();
        let (mut longest, mut last) = (Duration::ZERO, context.current());
        let mut height = chain.tip().height;
        let until = context.current() + Duration::from_secs(30);
        while context.current() < until {
            context.sleep(Duration::from_millis(10)).await;
            let pause = context.current().duration_since(last).unwrap();
            longest = longest.max(pause);
            if chain.tip().height > height {
                (height, last) = (chain.tip().height, context.current());
            }
        }
        assert!(longest < Duration::from_secs(2), "a pause of {longest:?}");
    });
}

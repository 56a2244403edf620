//! Nodes that follow: what they take, and what they refuse.

use crate::harness::{config, genesis, start_solo, transfer, user};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, Forwarded, ReadError, Source, SourceBlock, StateAnswer,
    follow, light::LightClient,
};
use fairweir_types::{
    Amount, BoundedBytes, BoundedVec, Genesis, Height, SecretKey, SignedTx,
    handover::{Handover, began},
    node_api::AskState,
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How a source cheats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cheat {
    None,
    /// One transaction is missing from each block.
    DropsTransactions,
    /// A header says another time.
    ChangesTime,
    /// Certificates are of another block.
    SwapsCertificates,
    /// The block of another height is shown.
    ShiftsBlocks,
    /// Certificates are noise.
    Noise,
    /// A height far above every block is told of.
    TellsOfTheFuture,
    /// An old block is told of, and then nothing.
    KeepsBlocksBack,
}

/// A chain in the same process as a source. It stops cheating after it was blamed three times.
#[derive(Clone)]
pub(crate) struct Neighbour {
    chain: ChainHandle,
    cheat: Cheat,
    blamed: Arc<AtomicUsize>,
    is_gone: Arc<AtomicBool>,
}

impl Neighbour {
    pub(crate) fn new(chain: &ChainHandle, cheat: Cheat) -> Self {
        Self {
            chain: chain.clone(),
            cheat,
            blamed: Arc::default(),
            is_gone: Arc::default(),
        }
    }

    fn cheats(&self) -> bool {
        self.blamed.load(Ordering::Relaxed) < 3
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

impl Source for Neighbour {
    async fn heights(&self) -> BoxStream<'static, Height> {
        if self.is_gone() {
            return stream::empty().boxed();
        }
        let future = (self.cheat == Cheat::TellsOfTheFuture).then_some(Height(1 << 40));
        if self.cheat == Cheat::KeepsBlocksBack && self.blamed.load(Ordering::Relaxed) == 0 {
            return stream::iter([Height(3)]).chain(stream::pending()).boxed();
        }
        let newest = self.chain.tip().height;
        let blocks = self.chain.subscribe(Height(newest.get() + 1));
        let later = stream::unfold(blocks, |mut blocks| async move {
            let block = blocks.next().await.ok()?;
            Some((block.block.header.height, blocks))
        });
        stream::iter(future.into_iter().chain([newest]))
            .chain(later)
            .boxed()
    }

    async fn finalised(&self, height: Height) -> Option<SourceBlock> {
        if self.is_gone() {
            return None;
        }
        let mut found = self.chain.finalised(height).await.ok()??;
        let other = self.chain.finalised(Height(height.get() + 1)).await.ok()?;
        if self.cheats() {
            match self.cheat {
                Cheat::None | Cheat::TellsOfTheFuture | Cheat::KeepsBlocksBack => {}
                Cheat::DropsTransactions => found.block.transactions = BoundedVec::default(),
                Cheat::ChangesTime => found.block.header.time.0 += 1,
                Cheat::SwapsCertificates => found.certificate = other?.certificate,
                Cheat::ShiftsBlocks => found.block = other?.block,
                Cheat::Noise => found.certificate = vec![7; 200],
            }
        }
        let has_own = found.descendants.is_empty();
        Some(SourceBlock {
            block: found.block,
            certificate: has_own.then_some(found.certificate),
            turn: 0,
        })
    }

    async fn floor(&self, light: &mut LightClient) -> Option<SourceBlock> {
        if self.is_gone() {
            return None;
        }
        let newest = newest_of(&self.chain).await?;
        hand_over(&self.chain, light, newest.block.header.height).await?;
        Some(newest)
    }

    async fn state(&self, ask: AskState) -> (usize, StateAnswer) {
        if self.is_gone() {
            return (0, StateAnswer::Later);
        }
        (0, state_of(&self.chain, ask).await)
    }

    async fn forward(&self, tx: SignedTx) -> Forwarded {
        if self.is_gone() {
            return Forwarded::Later;
        }
        match self.chain.submit(tx) {
            Ok(_) => Forwarded::Taken,
            Err(_) => Forwarded::Refused,
        }
    }

    fn blame(&self, _turn: usize) {
        self.blamed.fetch_add(1, Ordering::Relaxed);
    }

    fn look_elsewhere(&self) {
        self.blame(0);
    }
}

/// The newest block of a chain that has a certificate of its own.
pub(crate) async fn newest_of(chain: &ChainHandle) -> Option<SourceBlock> {
    let mut height = chain.tip().height;
    loop {
        match chain.finalised(height).await.ok()? {
            Some(found) if found.descendants.is_empty() => {
                return Some(SourceBlock {
                    block: found.block,
                    certificate: Some(found.certificate),
                    turn: 0,
                });
            }
            _ => height = Height(height.get().checked_sub(1)?),
        }
    }
}

/// Tells a light client of the blocks that handed seats over before a block, found from the newest backwards.
pub(crate) async fn hand_over(
    chain: &ChainHandle,
    light: &mut LightClient,
    to: Height,
) -> Option<()> {
    let mut epoch = light.epoch_of(to);
    let mut handovers = Vec::new();
    while epoch > light.known_since() {
        let foot = chain.finalised(light.foot_of(epoch)).await.ok()??;
        let since = began(&foot.events)?.since;
        if since == epoch {
            handovers.push(foot);
            epoch -= 1;
        } else {
            epoch = since;
        }
    }
    for foot in handovers.into_iter().rev() {
        let certificate = BoundedBytes::new(foot.certificate).ok()?;
        let handover = Handover::of(foot.block.header, certificate, &foot.events)?;
        light.hand_over(&handover).ok()?;
    }
    Some(())
}

/// A part of the state of a chain, as a node answers.
pub(crate) async fn state_of(chain: &ChainHandle, ask: AskState) -> StateAnswer {
    match chain.state_part(ask).await {
        Ok(part) => StateAnswer::Part(part),
        Err(ReadError::StateGone { .. }) => StateAnswer::Gone,
        Err(_) => StateAnswer::Later,
    }
}

pub(crate) async fn follower(
    context: &deterministic::Context,
    genesis: &Genesis,
    source: Neighbour,
) -> (ChainHandle, ChainTask) {
    let identity = SecretKey::from_seed([77; 32]).unwrap();
    let config = ChainConfig {
        partition_prefix: "follower".to_owned(),
        ..ChainConfig::follower(genesis.clone(), identity)
    };
    follow(context.child("follower"), config, source)
        .await
        .unwrap()
}

/// The state and the proofs of both are the same at a height.
async fn assert_same(leader: &ChainHandle, follower: &ChainHandle, height: Height) {
    let (ours, theirs) = (
        follower.finalised(height).await.unwrap().unwrap(),
        leader.finalised(height).await.unwrap().unwrap(),
    );
    assert_eq!(ours.digest, theirs.digest);
    assert_eq!(ours.outcomes, theirs.outcomes);
    let light = LightClient::new(leader.genesis()).unwrap();
    light
        .verify_through(&ours.block.header, &ours.descendants, &ours.certificate)
        .unwrap();
}

#[test]
fn a_follower_catches_up_keeps_up_and_goes_on_after_a_restart() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(1).start(|context| async move {
        let (leader, _task) = start_solo(&context, config(&genesis, &keys[0])).await;
        for nonce in 0..40 {
            let tx = leader.submit(transfer(&user(1), nonce)).unwrap();
            leader.wait_outcome(tx).await.unwrap();
        }
        let (chain, task) =
            follower(&context, &genesis, Neighbour::new(&leader, Cheat::None)).await;
        let tip = leader.tip().height;
        chain.wait_height(tip).await.unwrap();
        assert_same(&leader, &chain, tip).await;
        assert_eq!(chain.supply().unwrap(), leader.supply().unwrap());
        // What is given to the follower reaches the chain, and comes back.
        let tx = chain.submit(transfer(&user(1), 40)).unwrap();
        let included = chain.wait_outcome(tx).await.unwrap();
        assert_same(&leader, &chain, included.height).await;
        task.stop();
        context.sleep(Duration::from_secs(5)).await;
        let (chain, _task) =
            follower(&context, &genesis, Neighbour::new(&leader, Cheat::None)).await;
        assert!(
            chain.tip().height >= included.height,
            "nothing is read again"
        );
        let tip = leader.tip().height;
        chain.wait_height(tip).await.unwrap();
        assert_same(&leader, &chain, tip).await;
    });
}

#[test]
fn a_node_that_keeps_blocks_back_is_left() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(3).start(|context| async move {
        let (leader, _task) = start_solo(&context, config(&genesis, &keys[0])).await;
        leader.wait_height(Height(10)).await.unwrap();
        let source = Neighbour::new(&leader, Cheat::KeepsBlocksBack);
        let blamed = Arc::clone(&source.blamed);
        let (chain, _task) = follower(&context, &genesis, source).await;
        chain.wait_height(Height(3)).await.unwrap();
        context.sleep(Duration::from_secs(20)).await;
        assert_eq!(chain.tip().height, Height(3));
        assert_eq!(blamed.load(Ordering::Relaxed), 0, "it may be slow");
        let tip = leader.tip().height;
        chain.wait_height(tip).await.unwrap();
        assert_same(&leader, &chain, tip).await;
        // Who goes on giving new blocks is not left.
        context.sleep(Duration::from_secs(120)).await;
        assert_eq!(blamed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn what_does_not_hold_is_never_shown_and_is_got_elsewhere() {
    let cheats = [
        Cheat::DropsTransactions,
        Cheat::ChangesTime,
        Cheat::SwapsCertificates,
        Cheat::ShiftsBlocks,
        Cheat::Noise,
        Cheat::TellsOfTheFuture,
    ];
    for cheat in cheats {
        let (genesis, keys) = genesis(1);
        deterministic::Runner::seeded(2).start(|context| async move {
            let (leader, _task) = start_solo(&context, config(&genesis, &keys[0])).await;
            for nonce in 0..10 {
                let tx = leader.submit(transfer(&user(1), nonce)).unwrap();
                leader.wait_outcome(tx).await.unwrap();
            }
            let source = Neighbour::new(&leader, cheat);
            let (chain, _task) = follower(&context, &genesis, source.clone()).await;
            let tip = leader.tip().height;
            chain.wait_height(tip).await.unwrap();
            for height in 1..=tip.get() {
                assert_same(&leader, &chain, Height(height)).await;
            }
            let is_blamed = source.blamed.load(Ordering::Relaxed) > 0;
            assert_eq!(is_blamed, cheat != Cheat::TellsOfTheFuture, "{cheat:?}");
        });
    }
}

#[test]
fn a_source_that_goes_away_is_waited_for_and_loses_no_transaction() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::seeded(3).start(|context| async move {
        let (leader, _task) = start_solo(&context, config(&genesis, &keys[0])).await;
        leader.wait_height(Height(3)).await.unwrap();
        let source = Neighbour::new(&leader, Cheat::None);
        let (chain, _task) = follower(&context, &genesis, source.clone()).await;
        chain.wait_height(Height(3)).await.unwrap();
        source.is_gone.store(true, Ordering::Relaxed);
        context.sleep(Duration::from_secs(10)).await;
        let tx = chain.submit(transfer(&user(1), 0)).unwrap();
        context.sleep(Duration::from_secs(10)).await;
        assert_eq!(chain.waiting(), 1);
        source.is_gone.store(false, Ordering::Relaxed);
        let included = chain.wait_outcome(tx).await.unwrap();
        assert_same(&leader, &chain, included.height).await;
        // What the chain will not take is not kept either.
        let poor = SecretKey::from_seed([200; 32]).unwrap();
        assert!(chain.submit(transfer(&poor, 0)).is_err());
        assert_eq!(chain.waiting(), 0);
        assert_eq!(chain.supply().unwrap().minted, Amount::ZERO);
    });
}

//! A node to copy the state from, and how it may lie.

use crate::follow::{Cheat, Neighbour, hand_over, newest_of};
use commonware_runtime::{Clock as _, deterministic};
use fairweir_chain::{
    ChainHandle, Forwarded, ReadError, Source, SourceBlock, StateAnswer, light::LightClient,
};
use fairweir_types::{
    BoundedVec, Digest, Height, SignedTx, limits::STATE_OPERATIONS_MAX, node_api::AskState,
};
use futures::stream::BoxStream;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How a node lies to who copies its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// A byte of an operation is another.
    Operation,
    /// A byte of the proof is another.
    Proof,
    /// The end is missing.
    Cut,
    /// There are more operations than were asked for, all of them real.
    TooMany,
    /// Operations from elsewhere in the log.
    Elsewhere,
    /// The state after another block.
    OtherBlock,
    /// Noise.
    Noise,
    /// A newest block whose header says another state.
    FloorState,
    /// A newest block with the certificate of another.
    FloorCertificate,
    /// A newest block without its transactions.
    FloorBody,
    /// It has no state, as it says.
    SaysGone,
}

/// What happens with a node that is copied from; shared by its clones.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) blamed: AtomicUsize,
    pub(crate) passed: AtomicUsize,
    pub(crate) parts: AtomicUsize,
    /// The blocks that were asked for.
    pub(crate) blocks: Mutex<BTreeSet<u64>>,
    /// The sizes of the logs of which parts were asked for.
    pub(crate) sizes: Mutex<BTreeSet<u64>>,
}

/// A chain in the same process, to copy its state from. It lies until it was blamed or left three times.
#[derive(Clone)]
pub(crate) struct Copied {
    pub(crate) inner: Neighbour,
    pub(crate) chain: ChainHandle,
    pub(crate) lie: Lie,
    /// The newest block, as it says; the real one if none.
    pub(crate) floor: Option<Height>,
    /// Parts that it gives before it is silent.
    pub(crate) parts_max: usize,
    /// Whether it gives no handovers.
    pub(crate) hides_handovers: bool,
    /// How long it takes to show its newest block.
    pub(crate) slow: Option<(Duration, Arc<deterministic::Context>)>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) is_silent: Arc<AtomicBool>,
}

impl Copied {
    /// What it answers.
    async fn answer(&self, ask: AskState) -> StateAnswer {
        self.seen.sizes.lock().unwrap().insert(ask.size);
        let before = self.seen.parts.fetch_add(1, Ordering::Relaxed);
        if before >= self.parts_max {
            self.is_silent.store(true, Ordering::Relaxed);
            return StateAnswer::Later;
        }
        if self.lie == Lie::TooMany && ask.max == STATE_OPERATIONS_MAX {
            // Few are no lie; then fewer are missing than one answer may have.
            return self.part(AskState { max: 10, ..ask }).await;
        }
        if self.lies() && self.lie != Lie::None {
            return self.lie(ask).await;
        }
        self.part(ask).await
    }

    pub(crate) fn of(chain: &ChainHandle, lie: Lie) -> Self {
        Self {
            inner: Neighbour::new(chain, Cheat::None),
            chain: chain.clone(),
            lie,
            floor: None,
            parts_max: usize::MAX,
            hides_handovers: false,
            slow: None,
            seen: Arc::default(),
            is_silent: Arc::default(),
        }
    }

    fn lies(&self) -> bool {
        let seen = &self.seen;
        seen.blamed.load(Ordering::Relaxed) + seen.passed.load(Ordering::Relaxed) < 3
    }

    async fn part(&self, ask: AskState) -> StateAnswer {
        match self.chain.state_part(ask).await {
            Ok(part) => StateAnswer::Part(part),
            Err(ReadError::StateGone { .. }) => StateAnswer::Gone,
            Err(_) => StateAnswer::Later,
        }
    }

    async fn lie(&self, ask: AskState) -> StateAnswer {
        let other = match self.lie {
            Lie::TooMany => AskState {
                max: STATE_OPERATIONS_MAX,
                ..ask
            },
            Lie::Elsewhere => AskState {
                start: ask.start - 1,
                ..ask
            },
            Lie::OtherBlock => AskState {
                size: self.chain.header().state_range_end,
                ..ask
            },
            _ => ask,
        };
        let StateAnswer::Part(mut part) = self.part(other).await else {
            panic!("a liar has something to say");
        };
        let end = part.len() - 1;
        match self.lie {
            Lie::SaysGone => return StateAnswer::Gone,
            Lie::Operation => part[end] ^= 1,
            // Behind the tag and the number of leaves.
            Lie::Proof => part[12] ^= 1,
            Lie::Cut => part.truncate(end),
            Lie::Noise => part = vec![7; 500],
            _ => {}
        }
        StateAnswer::Part(part)
    }
}

impl Source for Copied {
    async fn heights(&self) -> BoxStream<'static, Height> {
        self.inner.heights().await
    }

    async fn finalised(&self, height: Height) -> Option<SourceBlock> {
        self.seen.blocks.lock().unwrap().insert(height.get());
        self.inner.finalised(height).await
    }

    async fn floor(&self, light: &mut LightClient) -> Option<SourceBlock> {
        if let Some((slow, clock)) = &self.slow {
            clock.sleep(*slow).await;
        }
        let mut found = newest_of(&self.chain).await?;
        if let Some(height) = self.floor {
            let fixed = self.chain.finalised(height).await.ok()??;
            assert!(fixed.descendants.is_empty());
            found.block = fixed.block;
            found.certificate = Some(fixed.certificate);
        }
        if !self.hides_handovers {
            hand_over(&self.chain, light, found.block.header.height).await?;
        }
        if self.lies() {
            match self.lie {
                Lie::FloorState => found.block.header.state_ops_root = Digest::ZERO,
                Lie::FloorBody => {
                    let found = &mut found.block;
                    assert!(!found.transactions.is_empty());
                    found.transactions = BoundedVec::default();
                }
                Lie::FloorCertificate => {
                    let other = self.chain.finalised(Height(3)).await.ok()??;
                    found.certificate = Some(other.certificate);
                }
                _ => {}
            }
        }
        Some(found)
    }

    async fn state(&self, ask: AskState) -> (usize, StateAnswer) {
        (0, self.answer(ask).await)
    }
    async fn forward(&self, tx: SignedTx) -> Forwarded {
        self.inner.forward(tx).await
    }

    fn blame(&self, _turn: usize) {
        self.seen.blamed.fetch_add(1, Ordering::Relaxed);
    }

    fn look_elsewhere(&self) {
        self.seen.passed.fetch_add(1, Ordering::Relaxed);
    }
}

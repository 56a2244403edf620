//! The state in memory: the applied state, and the writes of every block that waits for finality on top of it.
//!
//! Invariants: an overlay's parent is the applied block or another overlay; the applied state only ever takes a
//! finalised block's overlay; overlays that no longer descend from the applied block are dropped with it. The
//! authenticated store holds the same records, this module exists because the ledger reads synchronously.

use crate::{
    genesis::BlockDigest,
    watched::{Watched, Watcher},
};
use commonware_utils::sync::RwLock;
use fairweir_ledger::{Fault, MemoryState, State, Totals, Writes};
use fairweir_types::{BlockHeader, Event, TxOutcome, node_api::SupplyReport};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// What a block did, and what a proposer needs to build on it.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    /// The block's header.
    pub(crate) header: BlockHeader,
    /// Its writes.
    pub(crate) writes: Writes,
    /// The outcome of each transaction.
    pub(crate) outcomes: Vec<TxOutcome>,
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// Whether timers or draws wait for the next block.
    pub(crate) work_pending: bool,
}

/// The last applied block.
#[derive(Clone, Debug)]
struct Applied {
    digest: BlockDigest,
    header: BlockHeader,
    work_pending: bool,
}

struct Inner {
    applied: Applied,
    state: MemoryState,
    overlays: BTreeMap<BlockDigest, Arc<Executed>>,
    /// Where all money is; counted when somebody first asks, kept up to date from then on.
    totals: Option<Totals>,
}

/// The state in memory, shared by consensus, mempool and readers.
pub(crate) struct StateCache {
    inner: RwLock<Inner>,
    /// Counts changes, for those who wait for a block to be known.
    version: Watched<u64>,
    /// Whether the applied state was read from the store.
    ready: Watched<bool>,
}

/// A block's parent is neither applied nor known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {0} is not known")]
pub(crate) struct UnknownBlock(pub(crate) BlockDigest);

impl StateCache {
    /// Starts at a block whose state is not read yet.
    pub(crate) fn new(digest: BlockDigest, header: BlockHeader, state: MemoryState) -> Self {
        let applied = Applied {
            digest,
            header,
            work_pending: true,
        };
        Self {
            inner: RwLock::new(Inner {
                applied,
                state,
                overlays: BTreeMap::new(),
                totals: None,
            }),
            version: Watched::new(0),
            ready: Watched::new(false),
        }
    }

    /// Takes over the state that the store holds at a block, and lets waiting executions start.
    pub(crate) fn load(&self, digest: BlockDigest, header: BlockHeader, state: MemoryState) {
        {
            let mut inner = self.inner.write();
            inner.applied = Applied {
                digest,
                header,
                work_pending: true,
            };
            inner.state = state;
            inner.totals = None;
        }
        self.ready.set(true);
        self.changed();
    }

    /// Waits until the applied state was read.
    pub(crate) async fn wait_ready(&self) {
        let mut ready = self.ready.watch();
        ready
            .wait_for(|ready| *ready)
            .await
            .expect("the sender lives in self");
    }

    /// Notifies whoever waits for the mempool or for a block.
    pub(crate) fn changed(&self) {
        self.version.modify(|version| {
            *version = version.wrapping_add(1);
            true
        });
    }

    /// A signal of changes.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.version.watch()
    }

    /// Keeps what a block did until it is finalised or dropped.
    pub(crate) fn insert(&self, digest: BlockDigest, executed: Executed) {
        self.inner
            .write()
            .overlays
            .insert(digest, Arc::new(executed));
        self.changed();
    }

    /// What a block that waits for finality did.
    pub(crate) fn executed(&self, digest: &BlockDigest) -> Option<Arc<Executed>> {
        self.inner.read().overlays.get(digest).cloned()
    }

    /// Applies a finalised block and drops what does not descend from it. Returns `false` if it was applied before.
    ///
    /// # Panics
    /// If the block does not follow the applied one: the order of finalised blocks is an invariant of consensus.
    pub(crate) fn apply(&self, digest: BlockDigest, executed: &Executed) -> bool {
        {
            let mut inner = self.inner.write();
            if executed.header.height <= inner.applied.header.height {
                return false;
            }
            assert!(
                executed.header.parent.0 == inner.applied.digest.0,
                "a finalised block follows the applied block"
            );
            inner.follow(&executed.writes);
            inner.state.apply(&executed.writes);
            inner.applied = Applied {
                digest,
                header: executed.header.clone(),
                work_pending: executed.work_pending,
            };
            inner.retain_descendants();
        }
        self.changed();
        true
    }

    /// Reads the applied state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&dyn State) -> T) -> T {
        read(&self.inner.read().state)
    }

    /// Where all money is. The first call reads the whole state.
    pub(crate) fn supply(&self) -> Result<SupplyReport, Fault> {
        if let Some(totals) = self.inner.read().totals {
            return Ok(totals.report());
        }
        let mut inner = self.inner.write();
        let totals = Totals::of(&inner.state)?;
        inner.totals = Some(totals);
        Ok(totals.report())
    }

    /// The applied block.
    pub(crate) fn applied(&self) -> (BlockDigest, BlockHeader) {
        let inner = self.inner.read();
        (inner.applied.digest, inner.applied.header.clone())
    }

    /// Reads the state after a block, applied or waiting.
    pub(crate) fn at<T>(
        &self,
        digest: &BlockDigest,
        read: impl FnOnce(&dyn State, Parent<'_>) -> T,
    ) -> Result<T, UnknownBlock> {
        let inner = self.inner.read();
        let view = inner.view(digest)?;
        let parent = match inner.overlays.get(digest) {
            Some(executed) => Parent {
                header: &executed.header,
                work_pending: executed.work_pending,
            },
            None => Parent {
                header: &inner.applied.header,
                work_pending: inner.applied.work_pending,
            },
        };
        Ok(read(&view, parent))
    }
}

/// The block that a view ends with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent<'a> {
    /// Its header.
    pub(crate) header: &'a BlockHeader,
    /// Whether timers or draws wait for the next block.
    pub(crate) work_pending: bool,
}

impl Inner {
    /// The state after a block: its writes, those of its waiting ancestors, and the applied state.
    fn view<'a>(&'a self, digest: &BlockDigest) -> Result<View<'a>, UnknownBlock> {
        let mut layers = Vec::new();
        let mut cursor = *digest;
        while cursor != self.applied.digest {
            // Heights fall with each step, so the walk ends.
            let executed = self.overlays.get(&cursor).ok_or(UnknownBlock(cursor))?;
            layers.push(&executed.writes);
            cursor = BlockDigest::from(executed.header.parent.0);
        }
        Ok(View {
            layers,
            base: &self.state,
        })
    }

    /// Keeps the totals, if anybody ever asked for them.
    fn follow(&mut self, writes: &Writes) {
        let Some(mut totals) = self.totals.take() else {
            return;
        };
        // Totals that do not follow are counted anew when somebody asks.
        if totals.follow(&self.state, writes).is_ok() {
            self.totals = Some(totals);
        }
    }

    fn retain_descendants(&mut self) {
        let mut kept = BTreeMap::new();
        let mut waiting = std::mem::take(&mut self.overlays)
            .into_iter()
            .collect::<Vec<_>>();
        waiting.sort_by_key(|(_, executed)| executed.header.height);
        for (digest, executed) in waiting {
            let parent = BlockDigest::from(executed.header.parent.0);
            if parent == self.applied.digest || kept.contains_key(&parent) {
                kept.insert(digest, executed);
            }
        }
        self.overlays = kept;
    }
}

/// The state after a block. Layers are newest first.
struct View<'a> {
    layers: Vec<&'a Writes>,
    base: &'a MemoryState,
}

impl State for View<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.layers
            .iter()
            .find_map(|writes| writes.get(key))
            .map_or_else(|| self.base.get(key), Clone::clone)
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut from = from.to_vec();
        while from.as_slice() < to {
            let range = (Bound::Included(from.as_slice()), Bound::Excluded(to));
            let written = self
                .layers
                .iter()
                .filter_map(|writes| writes.range::<[u8], _>(range).next())
                .map(|(key, _)| key)
                .min();
            let stored = self.base.first_in(&from, to);
            let Some(key) = written else { return stored };
            if let Some((stored_key, value)) = stored
                && stored_key < *key
            {
                return Some((stored_key, value));
            }
            if let Some(value) = self.get(key) {
                return Some((key.clone(), value));
            }
            // Deleted above: go on behind it.
            from.clone_from(key);
            from.push(0);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryState, State, View, Writes};

    /// A small generator: the test needs variety, not randomness.
    fn next(seed: &mut u64) -> u8 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    }

    fn some_writes(seed: &mut u64) -> Writes {
        (0..next(seed) % 12)
            .map(|_| {
                let key = vec![next(seed) % 8, next(seed) % 2];
                (key, next(seed).is_multiple_of(3).then(|| vec![next(seed)]))
            })
            .collect()
    }

    #[test]
    fn layers_read_like_the_state_they_add_up_to() {
        let mut seed = 1;
        for _ in 0..2_000 {
            let mut base = MemoryState::default();
            base.apply(&some_writes(&mut seed));
            let layers: Vec<Writes> = (0..3).map(|_| some_writes(&mut seed)).collect();
            let mut flat = base.clone();
            for writes in &layers {
                flat.apply(writes);
            }
            let view = View {
                layers: layers.iter().rev().collect(),
                base: &base,
            };
            for first in 0..9_u8 {
                assert_eq!(view.get(&[first, 1]), flat.get(&[first, 1]));
                for last in 0..9_u8 {
                    assert_eq!(
                        view.first_in(&[first], &[last]),
                        flat.first_in(&[first], &[last])
                    );
                    assert_eq!(
                        view.first_in(&[first, 1], &[last, 1]),
                        flat.first_in(&[first, 1], &[last, 1])
                    );
                }
            }
        }
    }
}

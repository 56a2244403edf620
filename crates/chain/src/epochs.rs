//! Epochs as consensus counts them, and who votes in each.
//!
//! An epoch has as many blocks as the genesis says, for ever: blocks that are not executed yet belong to epochs too. Who votes in it is what the ledger
//! said with the last block of the one before, so it is known when that block is final and executed, and not before.

use crate::genesis::{self, Identity, Scheme};
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height as ConsensusHeight};
use commonware_cryptography::certificate::{Provider, Scheme as _, Scoped};
use commonware_utils::sync::Mutex;
use fairweir_ledger::{Fault, State, candidates, params};
use fairweir_types::{Genesis, Height, event::Seat, keys::VoteSecretKey};
use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

/// Epochs whose validators are kept: the newest, and two before, of which votes and blocks may still come.
const KEPT: usize = 3;

/// Which blocks an epoch has. The genesis block is in the first besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    length: NonZeroU64,
}

impl Epochs {
    /// Those of the chain of a genesis.
    pub(crate) fn of(genesis: &Genesis) -> Self {
        let length = params::of_genesis(genesis).blocks_of_an_epoch();
        Self {
            length: NonZeroU64::new(length).unwrap_or(NonZeroU64::MIN),
        }
    }

    /// The epoch of the block at a height.
    pub(crate) fn at(self, height: Height) -> u64 {
        height.get().saturating_sub(1) / self.length
    }

    /// The epoch of the block after the one at a height.
    pub(crate) fn after(self, height: Height) -> u64 {
        height.get() / self.length
    }

    /// The last block of an epoch.
    pub(crate) fn last(self, epoch: u64) -> Height {
        Height(epoch.saturating_add(1).saturating_mul(self.length.get()))
    }

    /// The block on which the first of an epoch stands.
    pub(crate) fn foot(self, epoch: u64) -> Height {
        Height(epoch.saturating_mul(self.length.get()))
    }
}

impl Epocher for Epochs {
    fn containing(&self, height: ConsensusHeight) -> Option<EpochInfo> {
        let epoch = Epoch::new(self.at(Height(height.get())));
        let (first, last) = (self.first(epoch)?, Epocher::last(self, epoch)?);
        Some(EpochInfo::new(epoch, height, first, last))
    }

    fn first(&self, epoch: Epoch) -> Option<ConsensusHeight> {
        let foot = epoch.get().checked_mul(self.length.get())?;
        let first = if foot == 0 { 0 } else { foot.checked_add(1)? };
        Some(ConsensusHeight::new(first))
    }

    fn last(&self, epoch: Epoch) -> Option<ConsensusHeight> {
        let last = epoch.get().checked_add(1)?.checked_mul(self.length.get())?;
        Some(ConsensusHeight::new(last))
    }
}

/// Who votes, by epoch. Clones share it.
#[derive(Clone)]
pub(crate) struct Schemes {
    shared: Arc<Shared>,
}

struct Shared {
    namespace: Vec<u8>,
    identity: Identity,
    vote_key: Option<VoteSecretKey>,
    known: Mutex<BTreeMap<u64, Arc<Scheme>>>,
}

impl Schemes {
    /// Of the chain of a genesis, for a node with these keys; nobody is known yet.
    pub(crate) fn new(
        genesis: &Genesis,
        identity: Identity,
        vote_key: Option<VoteSecretKey>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                namespace: genesis::namespace(genesis),
                identity,
                vote_key,
                known: Mutex::default(),
            }),
        }
    }

    /// Takes who votes in the epoch of the next block from the state after the newest one.
    pub(crate) fn enter(&self, state: &dyn State) -> Result<(), Fault> {
        let epoch = candidates::epoch(state)?.number;
        let seats = candidates::seats(state)?;
        let scheme = self.scheme_of(seats.as_slice());
        let scheme = scheme.ok_or(Fault::Counter { what: "seats" })?;
        let mut known = self.shared.known.lock();
        known.insert(epoch, Arc::new(scheme));
        while known.len() > KEPT {
            known.pop_first();
        }
        Ok(())
    }

    /// Takes who votes in an epoch from blocks that handed seats over, for a node that does not have the state yet.
    pub(crate) fn learn(&self, epoch: u64, scheme: Scheme) {
        let mut known = self.shared.known.lock();
        known.entry(epoch).or_insert_with(|| Arc::new(scheme));
    }

    fn scheme_of(&self, seats: &[Seat]) -> Option<Scheme> {
        let Shared {
            namespace,
            identity,
            vote_key,
            ..
        } = self.shared.as_ref();
        let participants = genesis::seated(seats)?;
        let signer = vote_key.as_ref().and_then(|key| {
            // Somebody else's seat would be voted for with another identity than it has.
            let is_own =
                participants.get_value(identity) == Some(&genesis::vote_point(&key.vote_key()));
            is_own.then(|| genesis::signer_among(namespace, participants.clone(), key))
        });
        Some(
            signer
                .flatten()
                .unwrap_or_else(|| Scheme::verifier(namespace, participants)),
        )
    }

    /// Who votes in an epoch, if that is known.
    pub(crate) fn of(&self, epoch: u64) -> Option<Arc<Scheme>> {
        self.shared.known.lock().get(&epoch).cloned()
    }

    /// Whether this node has a seat in an epoch.
    pub(crate) fn is_signer(&self, epoch: u64) -> bool {
        self.of(epoch).is_some_and(|scheme| scheme.me().is_some())
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.of(epoch.get()).map(Scoped::scheme)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_in_one_epoch_and_the_first_has_the_genesis_besides() {
        let epochs = Epochs {
            length: NonZeroU64::new(10).unwrap(),
        };
        let table = [
            // height, its epoch, the epoch of the next block
            (0, 0, 0),
            (1, 0, 0),
            (9, 0, 0),
            (10, 0, 1),
            (11, 1, 1),
            (20, 1, 2),
            (21, 2, 2),
        ];
        for (height, epoch, after) in table {
            assert_eq!(epochs.at(Height(height)), epoch, "{height}");
            assert_eq!(epochs.after(Height(height)), after, "{height}");
            let found = epochs.containing(ConsensusHeight::new(height)).unwrap();
            assert_eq!(found.epoch().get(), epoch);
            assert!(found.first().get() <= height && height <= found.last().get());
        }
        assert_eq!((epochs.foot(0), epochs.last(0)), (Height(0), Height(10)));
        assert_eq!((epochs.foot(2), epochs.last(2)), (Height(20), Height(30)));
        assert_eq!(epochs.first(Epoch::zero()).unwrap().get(), 0);
        assert_eq!(epochs.first(Epoch::new(2)).unwrap().get(), 21);
        assert!(epochs.first(Epoch::new(u64::MAX)).is_none());
    }
}

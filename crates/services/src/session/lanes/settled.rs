//! The leaves of batches that are settled or refunded, by which buyers prove their receipts.

use fairweir_types::{
    order::SlotId,
    session::{Leaf, Payers},
};
use std::collections::VecDeque;

/// Leaves that are kept of all batches together: some 3 MiB, and some 12 in batches of one.
const LEAVES_MAX: usize = 65_536;

struct Settled {
    slot_id: SlotId,
    payers: Payers,
    leaves: Vec<Leaf>,
}

/// The newest of them, until the process ends. A buyer that was slow to ask, because the challenge window is short or its machine busy, still gets what
/// it paid for.
#[derive(Default)]
pub(super) struct SettledLeaves {
    /// Newest last.
    batches: VecDeque<Settled>,
    /// Leaves of all of them.
    count: usize,
}

impl SettledLeaves {
    /// Keeps those of one more batch, and forgets the oldest for which there is no room.
    pub(super) fn keep(&mut self, slot_id: SlotId, payers: Payers, leaves: Vec<Leaf>) {
        if leaves.is_empty() {
            return;
        }
        self.count += leaves.len();
        self.batches.push_back(Settled {
            slot_id,
            payers,
            leaves,
        });
        while self.count > LEAVES_MAX
            && let Some(oldest) = self.batches.pop_front()
        {
            self.count -= oldest.leaves.len();
        }
    }

    /// Who may have the leaves of a batch.
    pub(super) fn payers_of(&self, slot_id: SlotId) -> Option<Payers> {
        self.of(slot_id).map(|batch| batch.payers)
    }

    /// The leaves of a batch.
    pub(super) fn leaves_of(&self, slot_id: SlotId) -> Option<Vec<Leaf>> {
        self.of(slot_id).map(|batch| batch.leaves.clone())
    }

    fn of(&self, slot_id: SlotId) -> Option<&Settled> {
        let mut newest_first = self.batches.iter().rev();
        newest_first.find(|batch| batch.slot_id == slot_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{Amount, Digest, order::OrderId};

    #[test]
    fn the_oldest_are_forgotten_when_there_is_no_more_room() {
        let batch = |slot| SlotId {
            order: OrderId(Digest::ZERO),
            slot,
        };
        let leaf = Leaf {
            index: 0,
            amount: Amount::ZERO,
            receipt: Digest::ZERO,
        };
        let mut settled = SettledLeaves::default();
        let mut keep = |slot, count| {
            settled.keep(batch(slot), Payers::default(), vec![leaf; count]);
            let kept =
                (0..=slot).map(|slot| settled.leaves_of(batch(slot)).map(|leaves| leaves.len()));
            kept.collect::<Vec<_>>()
        };
        assert_eq!(keep(0, 1), [Some(1)]);
        assert_eq!(keep(1, LEAVES_MAX - 1), [Some(1), Some(LEAVES_MAX - 1)]);
        assert_eq!(keep(2, 1), [None, Some(LEAVES_MAX - 1), Some(1)]);
        assert_eq!(keep(3, 1), [None, None, Some(1), Some(1)]);
    }
}

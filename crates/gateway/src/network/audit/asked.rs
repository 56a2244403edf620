//! What we asked in a lane, which its worker's claims are held against.

use super::Wrong;
use fairweir_types::{
    Amount, Digest,
    limits::BATCH_LEAVES_MAX,
    order::SlotId,
    session::{Leaf, request_slot},
};
use std::collections::BTreeMap;

/// Requests of one lane that are remembered until they are claimed: as many as the largest batch may have.
const ASKED_MAX: usize = BATCH_LEAVES_MAX;

/// What is owed for a request that was answered.
#[derive(Clone, Copy, Debug)]
pub(in crate::network) struct Owed {
    pub(in crate::network) receipt: Digest,
    pub(in crate::network) amount: Amount,
}

/// Our requests in one lane that are not claimed yet. They are remembered for longer than their receipts, of which only the newest are kept.
#[derive(Debug, Default)]
pub(in crate::network) struct Asked {
    /// By the slots that their receipts name; what is owed is unknown for those whose answer did not come.
    requests: BTreeMap<SlotId, Option<Owed>>,
    /// All numbers from this one on are given by this process: it goes on behind those that a former one wrote down as used.
    first: Option<u64>,
    /// More were asked than are remembered.
    is_cut: bool,
}

impl Asked {
    /// A request is to be made in the lane, before its worker can know of it.
    pub(in crate::network) fn expect(&mut self, lane: &SlotId, slot_id: SlotId) {
        if self.requests.len() >= ASKED_MAX {
            self.is_cut = true;
            return;
        }
        // Nobody used the lane before.
        if slot_id == request_slot(lane, 0) {
            self.first = Some(0);
        }
        self.requests.insert(slot_id, None);
    }

    /// Its answer is here.
    pub(in crate::network) fn answer(&mut self, slot_id: SlotId, owed: Owed) {
        if let Some(request) = self.requests.get_mut(&slot_id) {
            *request = Some(owed);
        }
    }

    /// Takes a batch's leaves, in their order, for what they claim: requests that we made, each once, at the price of what we got for it.
    /// What we cannot know is not held against the worker: numbers of a former process, and requests whose answer did not come.
    ///
    /// # Errors
    /// The first that is [`Wrong`].
    pub(in crate::network) fn claim(
        &mut self,
        lane: &SlotId,
        leaves: &[Leaf],
    ) -> Result<(), Wrong> {
        for (at, leaf) in with_offsets(leaves) {
            match self.requests.remove(&request_slot(lane, leaf.index)) {
                Some(owed) => {
                    let first = self.first.unwrap_or(leaf.index);
                    self.first = Some(first.min(leaf.index));
                    owed.map_or(Ok(()), |owed| owed.check(at, leaf))?;
                }
                None if self.is_given_by_us(leaf.index) => return Err(Wrong::Number(at)),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether a number would be one of ours, had anybody given it.
    fn is_given_by_us(&self, index: u64) -> bool {
        !self.is_cut && self.first.is_some_and(|first| first <= index)
    }
}

impl Owed {
    fn check(&self, at: Amount, leaf: &Leaf) -> Result<(), Wrong> {
        if leaf.receipt != self.receipt {
            return Err(Wrong::Receipt(at));
        }
        if leaf.amount != self.amount {
            return Err(Wrong::Amount(at));
        }
        Ok(())
    }
}

/// Leaves with the offsets at which they begin in what their batch costs.
pub(in crate::network) fn with_offsets(leaves: &[Leaf]) -> impl Iterator<Item = (Amount, &Leaf)> {
    leaves.iter().scan(Amount::ZERO, |next, leaf| {
        let at = *next;
        // A tree over them was made, so their sum is an amount.
        *next = at.checked_add(leaf.amount).unwrap_or(at);
        Some((at, leaf))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::order::OrderId;

    fn lane() -> SlotId {
        SlotId {
            order: OrderId(Digest::ZERO),
            slot: 1,
        }
    }

    fn asked(numbers: impl Iterator<Item = u64>) -> Asked {
        let mut asked = Asked::default();
        for number in numbers {
            asked.expect(&lane(), request_slot(&lane(), number));
        }
        asked
    }

    fn leaf(index: u64) -> Leaf {
        Leaf {
            index,
            amount: Amount::ZERO,
            receipt: Digest::ZERO,
        }
    }

    #[test]
    fn a_number_is_claimed_once() {
        let mut asked = asked(0..2);
        assert_eq!(asked.claim(&lane(), &[leaf(0)]), Ok(()));
        assert_eq!(
            asked.claim(&lane(), &[leaf(0)]),
            Err(Wrong::Number(Amount::ZERO))
        );
        assert_eq!(asked.claim(&lane(), &[leaf(1)]), Ok(()));
    }

    #[test]
    fn an_answer_that_is_here_says_what_is_owed() {
        let mut asked = asked(0..1);
        let owed = Owed {
            receipt: Digest::of_blob(b"receipt"),
            amount: Amount::MAX,
        };
        let slot_id = request_slot(&lane(), 0);
        // One that is unknown, or claimed already, owes nothing.
        asked.answer(request_slot(&lane(), 1), owed);
        asked.answer(slot_id, owed);
        assert_eq!(
            asked.claim(&lane(), &[leaf(0)]),
            Err(Wrong::Receipt(Amount::ZERO))
        );
        assert!(asked.requests.is_empty());
    }

    #[test]
    fn whoever_forgets_blames_nobody_for_an_unknown_number() {
        let most = u64::try_from(ASKED_MAX).unwrap_or(u64::MAX);
        let mut known = asked(0..most);
        assert_eq!(
            known.claim(&lane(), &[leaf(most)]),
            Err(Wrong::Number(Amount::ZERO))
        );
        let mut cut = asked(0..most + 1);
        assert_eq!(cut.claim(&lane(), &[leaf(most)]), Ok(()));
    }
}

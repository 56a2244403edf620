//! What became of the links of a verifier's hash chain (protocol rule 1).

use super::VerifierRecord;
use crate::{execution::Execution, state::state_record};
use fairweir_types::{
    Digest, Height,
    hash_chain::{HashChain, link_before},
    limits::LINKS_OPEN_MAX,
};

/// A verifier's hash chain with how far it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedChain {
    /// The chain.
    pub hash_chain: HashChain,
    /// The block in which its owner committed to it.
    pub committed: Height,
    /// The newest link that a batch asked for; 0 before the first.
    pub asked: u32,
    /// The newest link that was revealed; 0 for the anchor.
    pub revealed: u32,
    /// That link.
    pub newest: Digest,
}
state_record!(CommittedChain {
    hash_chain,
    committed,
    asked,
    revealed,
    newest
});

impl CommittedChain {
    pub(super) const fn new(hash_chain: HashChain, committed: Height) -> Self {
        Self {
            hash_chain,
            committed,
            asked: 0,
            revealed: 0,
            newest: hash_chain.anchor,
        }
    }

    /// For how many more batches it does: none while so many links are open that to check the next one would cost too many hashes.
    #[must_use]
    pub const fn links_left(&self) -> u32 {
        if self.asked.saturating_sub(self.revealed) >= LINKS_OPEN_MAX {
            return 0;
        }
        self.hash_chain.length.saturating_sub(self.asked)
    }

    /// Whether it was committed to before anybody could know the beacon of a block.
    const fn is_old_enough(&self, height: Height, delay: u64) -> bool {
        self.committed.get().saturating_add(delay) <= height.get()
    }

    /// Asks for the next link; none if there is none.
    pub(crate) const fn ask(&mut self) -> Option<u32> {
        if self.links_left() == 0 {
            return None;
        }
        self.asked = self.asked.saturating_add(1);
        Some(self.asked)
    }

    /// Takes a link that was checked. It may have been asked for when the verifier was enrolled before, with the same chain.
    pub(crate) const fn reveal(&mut self, index: u32, link: Digest) {
        if index > self.revealed {
            self.revealed = index;
            self.newest = link;
        }
        if index > self.asked {
            self.asked = index;
        }
    }

    /// A link that is known because it or a later one was revealed. Costs a hash for each link between.
    pub(crate) fn known(&self, index: u32) -> Option<Digest> {
        let later = self.revealed.checked_sub(index)?;
        Some(link_before(&self.newest, later))
    }
}

impl VerifierRecord {
    /// The chain that batches of this block ask for a link; none if it is too young, or used up.
    pub(crate) fn chain_in_use(&self, execution: &Execution<'_>) -> Option<CommittedChain> {
        let (height, delay) = (execution.context.height, execution.params.draw_delay);
        let chain = self.chain_at(height, delay);
        (chain.is_old_enough(height, delay) && chain.links_left() > 0).then_some(chain)
    }

    /// The chain in use from a block on: another one that was committed to takes over once nobody can have chosen it by a beacon.
    fn chain_at(&self, height: Height, delay: u64) -> CommittedChain {
        let next = self.next.filter(|next| next.is_old_enough(height, delay));
        next.unwrap_or(self.chain)
    }

    /// The chain that it committed to last.
    #[must_use]
    pub fn newest_chain(&self) -> &CommittedChain {
        self.next.as_ref().unwrap_or(&self.chain)
    }

    /// Commits to a chain in a block. One that is committed to already goes on.
    pub(super) fn commit(&mut self, hash_chain: HashChain, height: Height, delay: u64) {
        // What took over stays: which chain is asked for a link must not be chosen by a beacon.
        self.use_chain(self.chain_at(height, delay));
        if self.chain.hash_chain == hash_chain {
            self.next = None;
        } else if self.next.is_none_or(|next| next.hash_chain != hash_chain) {
            self.next = Some(CommittedChain::new(hash_chain, height));
        }
    }

    /// From here on a chain of it is in use, and used like this.
    pub(crate) fn use_chain(&mut self, used: CommittedChain) {
        let has_taken_over = |next: CommittedChain| next.hash_chain == used.hash_chain;
        if self.next.is_some_and(has_taken_over) {
            self.before = Some(self.chain);
            self.next = None;
        }
        self.chain = used;
    }

    /// A chain of which links may be waited for.
    pub(crate) fn asked_chain(&mut self, hash_chain: &HashChain) -> Option<&mut CommittedChain> {
        let Self { chain, before, .. } = self;
        [Some(chain), before.as_mut()]
            .into_iter()
            .flatten()
            .find(|chain| chain.hash_chain == *hash_chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{Address, Amount, BoundedVec};

    const DELAY: u64 = 2;

    fn chain(number: u64, length: u32) -> HashChain {
        HashChain::ending_in(&last(number), number, length)
    }

    fn last(number: u64) -> Digest {
        Digest::of_blob(&number.to_be_bytes())
    }

    fn record(length: u32) -> VerifierRecord {
        VerifierRecord {
            owner: Address::default(),
            kinds: BoundedVec::default(),
            seal_key: [0; 32],
            chain: CommittedChain::new(chain(0, length), Height(1)),
            next: None,
            before: None,
            deposit: Amount::ZERO,
        }
    }

    #[test]
    fn a_chain_has_a_link_for_each_batch_and_no_more() {
        let mut committed = record(3).chain;
        assert_eq!(
            [1, 2, 3].map(|_| committed.ask()),
            [Some(1), Some(2), Some(3)]
        );
        assert_eq!((committed.ask(), committed.links_left()), (None, 0));
    }

    #[test]
    fn links_that_nobody_reveals_end_the_questions_and_one_reveal_answers_for_all() {
        let hash_chain = chain(0, 2 * LINKS_OPEN_MAX);
        let mut committed = CommittedChain::new(hash_chain, Height(1));
        for index in 1..=LINKS_OPEN_MAX {
            assert_eq!(committed.ask(), Some(index));
        }
        assert_eq!(committed.ask(), None);
        let link = hash_chain.link(&last(0), LINKS_OPEN_MAX);
        committed.reveal(LINKS_OPEN_MAX, link);
        assert_eq!(committed.ask(), Some(LINKS_OPEN_MAX + 1));
        for index in [0, 1, LINKS_OPEN_MAX] {
            assert_eq!(
                committed.known(index),
                Some(hash_chain.link(&last(0), index))
            );
        }
        assert_eq!(committed.known(LINKS_OPEN_MAX + 1), None);
    }

    #[test]
    fn a_link_of_an_enrolment_before_is_not_asked_for_again() {
        let hash_chain = chain(0, 8);
        let mut committed = CommittedChain::new(hash_chain, Height(9));
        committed.reveal(5, hash_chain.link(&last(0), 5));
        assert_eq!(committed.ask(), Some(6));
    }

    #[test]
    fn another_chain_takes_over_after_two_blocks_and_no_beacon_chooses_it() {
        let mut record = record(8);
        record.chain.ask();
        record.commit(chain(1, 8), Height(10), DELAY);
        let number_at = |record: &VerifierRecord, height| {
            let chain = record.chain_at(Height(height), DELAY);
            (chain.hash_chain.number, chain.asked)
        };
        assert_eq!(number_at(&record, 11), (0, 1));
        assert_eq!(number_at(&record, 12), (1, 0));
        // A third one in place of the second, before that took over and after.
        let mut early = record.clone();
        early.commit(chain(2, 8), Height(11), DELAY);
        assert_eq!(
            (number_at(&early, 12), number_at(&early, 13)),
            ((0, 1), (2, 0))
        );
        let mut late = record.clone();
        late.commit(chain(2, 8), Height(12), DELAY);
        assert_eq!(
            (number_at(&late, 13), number_at(&late, 14)),
            ((1, 0), (2, 0))
        );
        // Back to the first: before the second took over it just goes on, afterwards it is a new one.
        let mut early = record.clone();
        early.commit(chain(0, 8), Height(11), DELAY);
        assert_eq!((number_at(&early, 20), early.next), ((0, 1), None));
        record.commit(chain(0, 8), Height(12), DELAY);
        assert_eq!(
            (number_at(&record, 13), number_at(&record, 14)),
            ((1, 0), (0, 0))
        );
        // Links of the one that it took over from are still known.
        let second = chain(1, 8);
        record.use_chain(record.chain_at(Height(14), DELAY));
        let before = record.asked_chain(&second).unwrap();
        before.reveal(3, second.link(&last(1), 3));
        assert_eq!(before.known(2), Some(second.link(&last(1), 2)));
        assert!(record.asked_chain(&chain(7, 8)).is_none());
        // The same once more changes nothing.
        let before = record.clone();
        record.commit(chain(0, 8), Height(13), DELAY);
        assert_eq!(record, before);
    }
}

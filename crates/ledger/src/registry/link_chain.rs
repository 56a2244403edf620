//! What became of the links of a verifier's hash chain (protocol rule 1).

use super::VerifierRecord;
use crate::{execution::Execution, state::state_record};
use fairweir_types::{Digest, Height, hash_chain::HashChain, limits::LINKS_OPEN_MAX};

/// A verifier's hash chain with how far it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkChain {
    /// The chain.
    pub chain: HashChain,
    /// The block in which its owner committed to it.
    pub committed: Height,
    /// The newest link that a batch asked for; 0 before the first.
    pub asked: u32,
    /// The newest link that was revealed; 0 for the anchor.
    pub revealed: u32,
    /// That link.
    pub newest: Digest,
}
state_record!(LinkChain {
    chain,
    committed,
    asked,
    revealed,
    newest
});

impl LinkChain {
    pub(super) const fn new(chain: HashChain, committed: Height) -> Self {
        Self {
            chain,
            committed,
            asked: 0,
            revealed: 0,
            newest: chain.anchor,
        }
    }

    /// For how many more batches it does: none while so many links are open that to check the next one would cost too many hashes.
    #[must_use]
    pub const fn links_left(&self) -> u32 {
        if self.asked.saturating_sub(self.revealed) >= LINKS_OPEN_MAX {
            return 0;
        }
        self.chain.length.saturating_sub(self.asked)
    }

    /// Whether it was committed to before anybody could know the beacon of this block.
    fn is_committed(&self, execution: &Execution<'_>) -> bool {
        let delay = execution.params.draw_delay;
        self.committed.get().saturating_add(delay) <= execution.context.height.get()
    }

    /// Asks for the next link; none if there is none.
    pub(crate) fn ask(&mut self) -> Option<u32> {
        if self.links_left() == 0 {
            return None;
        }
        self.asked = self.asked.saturating_add(1);
        Some(self.asked)
    }

    /// Takes a link that was checked.
    pub(crate) const fn reveal(&mut self, index: u32, link: Digest) {
        if index > self.revealed {
            self.revealed = index;
            self.newest = link;
        }
    }
}

impl VerifierRecord {
    /// The chain that batches of this block ask for links; none if it is too young, or used up.
    pub(crate) fn chain_in_use(&self, execution: &Execution<'_>) -> Option<LinkChain> {
        let next = self.next.filter(|next| next.is_committed(execution));
        let chain = next.unwrap_or(self.chain);
        (chain.is_committed(execution) && chain.links_left() > 0).then_some(chain)
    }

    /// The chain that it committed to last.
    #[must_use]
    pub fn newest_chain(&self) -> &LinkChain {
        self.next.as_ref().unwrap_or(&self.chain)
    }

    /// Commits to a chain. One that is committed to already goes on; another takes over from the one in use once nobody can have chosen it by a
    /// beacon.
    pub(super) fn commit(&mut self, chain: HashChain, height: Height) {
        if self.chain.chain == chain {
            self.next = None;
        } else if self.next.is_none_or(|next| next.chain != chain) {
            self.next = Some(LinkChain::new(chain, height));
        }
    }

    /// From here on a chain of it is used like this.
    pub(crate) fn use_chain(&mut self, used: LinkChain) {
        if self.next.is_some_and(|next| next.chain == used.chain) {
            self.next = None;
            self.chain = used;
        } else if self.chain.chain == used.chain {
            self.chain = used;
        }
    }
}

//! A verifier's hash chain: values that it fixed before anybody could want one of them, and that nobody else can foresee (protocol rule 1).
//!
//! Link 0 is the anchor, which stands on the ledger; each further link is one that hashes to the link before it (Lamport, *Password
//! authentication with insecure communication*, 1981). Only whoever has the last link can tell the next one, and it can tell no other.

use crate::{
    codec::record,
    digest::{Digest, Domain},
    limits::LINKS_MAX,
};

/// A hash chain as its owner commits to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashChain {
    /// Which of its owner's chains, so that the owner finds its links again.
    pub number: u64,
    /// Links after the anchor, from 1 to [`LINKS_MAX`].
    pub length: u32,
    /// Link 0.
    pub anchor: Digest,
}
record!(HashChain {
    number,
    length,
    anchor
});

impl HashChain {
    /// The chain that ends with this link, which its owner keeps secret. Costs `length` hashes.
    #[must_use]
    pub fn ending_in(last: &Digest, number: u64, length: u32) -> Self {
        Self {
            number,
            length,
            anchor: link_before(last, length),
        }
    }

    /// The link of this index, for whoever has the last one. Costs `length − index` hashes.
    #[must_use]
    pub fn link(&self, last: &Digest, index: u32) -> Digest {
        link_before(last, self.length.saturating_sub(index))
    }

    /// Whether its length is one that a chain may have.
    #[must_use]
    pub fn has_allowed_length(&self) -> bool {
        (1..=LINKS_MAX).contains(&self.length)
    }
}

/// The link so many links before another one: what it gives when it is hashed so often.
#[must_use]
pub fn link_before(link: &Digest, links: u32) -> Digest {
    (0..links).fold(*link, |link, _| {
        Digest::of(Domain::HashChain, &[link.as_bytes()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_hashes_to_the_one_before() {
        let last = Digest::of_blob(b"last");
        let chain = HashChain::ending_in(&last, 7, 5);
        assert_eq!(chain.link(&last, 0), chain.anchor);
        assert_eq!(chain.link(&last, 5), last);
        for index in 1..=5 {
            let link = chain.link(&last, index);
            assert_eq!(link_before(&link, 1), chain.link(&last, index - 1));
            assert_eq!(link_before(&link, index), chain.anchor);
        }
    }
}

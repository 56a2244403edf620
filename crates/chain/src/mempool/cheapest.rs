//! What makes way in a full pool: of each account the last transaction, and of these the one that pays least for each byte.

use fairweir_types::{Address, Nonce, VerifiedTx};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeSet, BinaryHeap},
    iter,
};

/// What a transaction pays for its bytes, ordered by the fee for each, exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) fee: u64,
    pub(super) bytes: u64,
}

impl Rate {
    pub(super) fn of(tx: &VerifiedTx) -> Self {
        Self {
            fee: tx.transaction().fee.base_units(),
            bytes: tx.size().get(),
        }
    }

    /// Both fees, each times the other's bytes.
    fn crossed(&self, other: &Self) -> (u128, u128) {
        let times = |fee: u64, bytes: u64| u128::from(fee).saturating_mul(u128::from(bytes));
        (times(self.fee, other.bytes), times(other.fee, self.bytes))
    }

    /// Whether it pays more, by a tenth at least.
    pub(super) fn outbids(&self, other: &Self) -> bool {
        let (own, others) = self.crossed(other);
        own > others
            && own >= others.saturating_add(others / u128::from(super::REPLACEMENT_FRACTION))
    }
}

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rate {}

impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rate {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = self.crossed(other);
        own.cmp(&others)
    }
}

/// The last of the first so many transactions of an account, ordered by how little is lost without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Last {
    /// Whether all that must go before it waits.
    pub(super) is_reached: bool,
    pub(super) rate: Rate,
    pub(super) sender: Address,
    pub(super) nonce: Nonce,
    pub(super) count: usize,
}

/// The last transaction of each account, in the order in which they make way.
#[derive(Debug)]
pub(super) struct Lasts(BTreeSet<Last>);

impl Lasts {
    pub(super) const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Puts the last transaction of an account in the place of what was its last.
    pub(super) fn replace(&mut self, old: Option<Last>, new: Option<Last>) {
        if let Some(old) = old {
            self.0.remove(&old);
        }
        self.0.extend(new);
    }

    /// The transactions of all accounts but one in the order in which they make way. Behind the last one of an account comes, at its own place, the one
    /// that `before` says waits before it. Takes logarithmic time for each that is looked at: whoever offers a transaction to a full pool pays for none
    /// of this if it is refused.
    pub(super) fn of_others(
        &self,
        sender: Address,
        before: impl Fn(&Last) -> Option<Last>,
    ) -> impl Iterator<Item = Last> {
        let others = self.0.iter().copied();
        let mut lasts = others.filter(move |last| last.sender != sender).peekable();
        let mut uncovered: BinaryHeap<Reverse<Last>> = BinaryHeap::new();
        iter::from_fn(move || {
            let is_uncovered = match (uncovered.peek(), lasts.peek()) {
                (Some(Reverse(uncovered)), Some(last)) => uncovered < last,
                (uncovered, _) => uncovered.is_some(),
            };
            let last = if is_uncovered {
                uncovered.pop().map(|Reverse(last)| last)
            } else {
                lasts.next()
            }?;
            uncovered.extend(before(&last).map(Reverse));
            Some(last)
        })
    }
}

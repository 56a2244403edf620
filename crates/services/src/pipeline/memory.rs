//! What a role remembers of the chain: open orders of its kinds.

use super::limits::ORDERS_MAX;
use crate::session::seal::Sharing;
use fairweir_types::{
    Address, Digest, Height, Millis, Receipt,
    event::LeavesShown,
    order::{Demand, OrderHeader, OrderId, Privacy, Requirements, Rounds, SlotRole, Urgency},
};
use std::{collections::BTreeMap, sync::Arc};

/// An order as its event told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostedOrder {
    pub(super) buyer: Address,
    pub(super) posted: Height,
    pub(super) header: OrderHeader,
}

impl PostedOrder {
    /// A batch as the order that it is on the ledger. Its verifiers read kind and buyer alone: each request has its own spec and demand.
    pub(super) fn of_batch(batch: &LeavesShown, posted: Height) -> Self {
        Self {
            buyer: batch.payers.buyer,
            posted,
            header: OrderHeader {
                kind: batch.kind,
                version: batch.version,
                spec_digest: Digest::ZERO,
                spec_inline: None,
                demand: Demand::default(),
                slots: 1,
                role: SlotRole::Worker,
                rounds: Rounds::Fixed(1),
                price_max: batch.prices,
                urgency: Urgency::Normal,
                match_within: Millis::ZERO,
                requirements: Requirements::default(),
                privacy: Privacy::Public,
            },
        }
    }
}

/// What verifiers are drawn for: the work of an order's slot, or a batch of a session's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// One piece of work, with its receipt.
    Work(Arc<Receipt>),
    /// A batch, and, for a dispute, what lets its verifiers read it.
    Batch(Arc<LeavesShown>, Option<Arc<Sharing>>),
}

/// The newest values by key; of more than `max` the oldest is forgotten.
#[derive(Debug)]
pub(super) struct Newest<K, V> {
    max: usize,
    next: u64,
    values: BTreeMap<K, (u64, V)>,
    ages: BTreeMap<u64, K>,
}

impl<K: Copy + Ord, V> Newest<K, V> {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            next: 0,
            values: BTreeMap::new(),
            ages: BTreeMap::new(),
        }
    }

    /// Puts a value under a key, in place of what was there. Returns what was forgotten for it.
    pub(super) fn put(&mut self, key: K, value: V) -> Option<V> {
        let replaced = self.remove(&key);
        let forgotten = if self.values.len() >= self.max {
            self.pop_oldest()
        } else {
            None
        };
        self.ages.insert(self.next, key);
        self.values.insert(key, (self.next, value));
        self.next += 1;
        replaced.or(forgotten)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (age, value) = self.values.remove(key)?;
        self.ages.remove(&age);
        Some(value)
    }

    pub(super) fn pop_oldest(&mut self) -> Option<V> {
        let (_, key) = self.ages.pop_first()?;
        self.values.remove(&key).map(|(_, value)| value)
    }

    /// Keys and values, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.values.iter().map(|(key, (_, value))| (key, value))
    }

    /// The value that was put first.
    pub(super) fn oldest(&self) -> Option<&V> {
        let (_, key) = self.ages.first_key_value()?;
        self.get(key)
    }

    /// The highest key in a range.
    pub(super) fn last_in(&self, from: K, to: K) -> Option<K> {
        let (key, _) = self.values.range(from..=to).next_back()?;
        Some(*key)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Removes what `goes` says.
    pub(super) fn remove_all(&mut self, goes: impl Fn(&K) -> bool) {
        let Self { values, ages, .. } = self;
        ages.retain(|_, key| {
            let goes = goes(key);
            if goes {
                values.remove(key);
            }
            !goes
        });
    }
}

/// Open orders.
pub(super) type Orders = Newest<OrderId, Arc<PostedOrder>>;

pub(super) const fn orders() -> Orders {
    Newest::new(ORDERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut newest = Newest::new(2);
        assert_eq!(newest.put(1, 'a'), None);
        assert_eq!(newest.put(2, 'b'), None);
        assert_eq!(newest.put(1, 'c'), Some('a'), "replaced and young again");
        assert_eq!(newest.put(3, 'd'), Some('b'));
        assert_eq!(
            (newest.get(&1), newest.get(&2), newest.len()),
            (Some(&'c'), None, 2)
        );
        assert_eq!(newest.oldest(), Some(&'c'));
        newest.remove_all(|key| *key == 1);
        assert_eq!(newest.oldest(), Some(&'d'));
        assert_eq!(newest.remove(&3), Some('d'));
        assert_eq!(newest.pop_oldest(), None);
    }
}

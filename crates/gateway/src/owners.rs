//! Which key bought which receipt: a receipt holds question and answer, so only who bought it may have it.

use fairweir_types::order::SlotId;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Receipts whose buyer is remembered; of more the oldest is forgotten.
const OWNERS_MAX: usize = 4_096;

#[derive(Debug, Default)]
struct Newest {
    keys: BTreeMap<SlotId, String>,
    order: VecDeque<SlotId>,
}

/// The buyers of the newest receipts.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<Newest>);

impl Owners {
    /// A key bought a slot.
    pub(crate) fn put(&self, slot_id: SlotId, key: &str) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.keys.insert(slot_id, key.to_owned()).is_none() {
            newest.order.push_back(slot_id);
        }
        if newest.order.len() > OWNERS_MAX
            && let Some(oldest) = newest.order.pop_front()
        {
            newest.keys.remove(&oldest);
        }
    }

    /// A key bought some slots.
    pub(crate) fn put_all(&self, slots: impl IntoIterator<Item = SlotId>, key: &str) {
        for slot_id in slots {
            self.put(slot_id, key);
        }
    }

    /// Whether a key bought a slot.
    pub(crate) fn is(&self, slot_id: SlotId, key: &str) -> bool {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.keys.get(&slot_id).is_some_and(|owner| owner == key)
    }
}

//! What receipts are put together from.

use fairweir_client::orders::{Settlement, SlotEnd};
use fairweir_types::{node_api::Delivery, order::SlotId};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Receipts that are kept; of more the oldest is forgotten.
const RECEIPTS_MAX: usize = 4_096;
/// Bytes of specs and outputs that are kept.
const BYTES_MAX: usize = 256 * 1_024 * 1_024;

#[derive(Debug, Default)]
struct Entry {
    spec: Vec<u8>,
    delivery: Option<Delivery>,
    end: Option<SlotEnd>,
}

impl Entry {
    fn bytes(&self) -> usize {
        let output = self
            .delivery
            .as_ref()
            .map_or(0, |delivery| delivery.output.as_slice().len());
        self.spec.len().saturating_add(output)
    }
}

#[derive(Debug, Default)]
struct Newest {
    entries: BTreeMap<SlotId, Entry>,
    order: VecDeque<SlotId>,
    bytes: usize,
}

/// The newest receipts.
#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<Newest>);

/// Where a receipt stands.
pub(super) enum Standing {
    Unknown,
    NotSettled,
    Refunded,
    Settled(Box<(Settlement, Delivery, Vec<u8>)>),
}

impl Receipts {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order is to be posted.
    pub(super) fn expect(&self, slot_id: SlotId, spec: Vec<u8>) {
        let mut newest = self.newest();
        let entry = Entry {
            spec,
            ..Entry::default()
        };
        newest.bytes = newest.bytes.saturating_add(entry.bytes());
        if let Some(before) = newest.entries.insert(slot_id, entry) {
            newest.bytes = newest.bytes.saturating_sub(before.bytes());
        } else {
            newest.order.push_back(slot_id);
        }
        newest.shrink();
    }

    /// Its output is here.
    pub(super) fn deliver(&self, slot_id: SlotId, delivery: &Delivery) {
        let mut newest = self.newest();
        let Some(entry) = newest.entries.get_mut(&slot_id) else {
            return;
        };
        let before = entry.bytes();
        entry.delivery = Some(delivery.clone());
        let after = entry.bytes();
        newest.bytes = newest.bytes.saturating_sub(before).saturating_add(after);
        newest.shrink();
    }

    /// It ended on the ledger.
    pub(super) fn end(&self, slot_id: SlotId, end: SlotEnd) {
        if let Some(entry) = self.newest().entries.get_mut(&slot_id) {
            entry.end = Some(end);
        }
    }

    pub(super) fn standing(&self, slot_id: SlotId) -> Standing {
        let newest = self.newest();
        let Some(entry) = newest.entries.get(&slot_id) else {
            return Standing::Unknown;
        };
        match (&entry.end, &entry.delivery) {
            (Some(SlotEnd::Refunded(_)), _) => Standing::Refunded,
            (Some(SlotEnd::Settled(settlement)), Some(delivery)) => Standing::Settled(Box::new((
                settlement.clone(),
                delivery.clone(),
                entry.spec.clone(),
            ))),
            _ => Standing::NotSettled,
        }
    }
}

impl Newest {
    fn shrink(&mut self) {
        while self.order.len() > RECEIPTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(entry.bytes());
            }
        }
    }
}

//! What a worker keeps of its sessions: where some cheat.

use commonware_codec::Encode as _;
use fairweir_services::pipeline::Shelf;
use fairweir_types::{
    decode,
    order::SlotId,
    session::{Kept, KeptRequest, SignedVoucher, batch_slot},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Entries = BTreeMap<SlotId, Vec<u8>>;

/// The books. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books(Arc<Mutex<Entries>>);

impl Books {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests that were served, by number, and the newest voucher.
    pub(crate) fn requests(&self) -> (Vec<KeptRequest>, Option<SignedVoucher>) {
        let mut requests = Vec::new();
        let mut newest = None;
        for encoded in self.entries().values() {
            match decode::<Kept>(encoded) {
                Ok(Kept::Request(request)) => requests.push((*request).clone()),
                Ok(Kept::Voucher(voucher)) => newest = Some((*voucher).clone()),
                Ok(Kept::Batch(_)) | Err(_) => {}
            }
        }
        requests.sort_by_key(|kept| kept.request.request.index);
        (requests, newest)
    }

    /// Writes an entry, true or not.
    pub(crate) fn keep(&mut self, kept: &Kept) {
        let slot_id = match kept {
            Kept::Request(request) => request.request.slot_id(),
            Kept::Batch(batch) => batch_slot(&batch.lane, batch.number),
            Kept::Voucher(voucher) => voucher.voucher.lane,
        };
        self.entries().insert(slot_id, kept.encode().to_vec());
    }
}

/// The shelf of a worker's process over its books.
#[derive(Debug)]
pub(super) struct CookedShelf(pub(super) Books);

impl Shelf for CookedShelf {
    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        self.0.entries().insert(slot_id, output.to_vec());
    }

    fn forget(&self, slot_id: SlotId) {
        self.0.entries().remove(&slot_id);
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.entries().values().cloned().collect()
    }
}

//! A lane of ours, as far as receipts are concerned.

use super::archive::{Kept, KeptLane};
use crate::network::audit::{Asked, Owed};
use fairweir_net::PeerAddr;
use fairweir_types::{
    node_api::Delivery,
    order::{KindId, PriceVector, SlotId},
};

/// A lane of ours.
#[derive(Debug)]
pub(super) struct OurLane {
    pub(super) slot_id: SlotId,
    pub(super) kind: KindId,
    prices: PriceVector,
    pub(super) asked: Asked,
    /// Where its worker was reached when we began to use it.
    pub(super) endpoint: Option<PeerAddr>,
    /// Batches whose leaves the worker was not heard about yet.
    pub(super) audits: usize,
    pub(super) is_closed: bool,
    /// Whether nobody knows all that was claimed of it: the node had some of the blocks no more.
    pub(super) is_unsure: bool,
}

impl OurLane {
    pub(super) fn new(slot_id: SlotId, kind: KindId, prices: PriceVector) -> Self {
        Self {
            slot_id,
            kind,
            prices,
            asked: Asked::default(),
            endpoint: None,
            audits: 0,
            is_closed: false,
            is_unsure: false,
        }
    }

    pub(super) fn kept(&self) -> Kept {
        let endpoint = self.endpoint.as_ref().map(PeerAddr::to_bytes);
        Kept::Lane(KeptLane {
            slot_id: self.slot_id,
            kind: self.kind,
            prices: self.prices,
            endpoint: endpoint.unwrap_or_default(),
            is_closed: self.is_closed,
            is_unsure: self.is_unsure,
        })
    }

    /// As another process left it.
    pub(super) fn of_kept(kept: &KeptLane) -> Self {
        Self {
            endpoint: PeerAddr::from_bytes(&kept.endpoint).ok(),
            is_closed: kept.is_closed,
            is_unsure: kept.is_unsure,
            ..Self::new(kept.slot_id, kept.kind, kept.prices)
        }
    }

    /// Whether nothing of it can be claimed, or proved, any more than it is.
    pub(super) const fn is_over(&self) -> bool {
        self.is_closed && self.audits == 0 && !self.is_unsure
    }

    /// A request of it was answered.
    pub(super) fn answer(&mut self, slot_id: SlotId, delivery: &Delivery) {
        let receipt = &delivery.receipt.receipt;
        if let Ok(amount) = self.prices.quote(&receipt.units) {
            let receipt = receipt.digest();
            self.asked.answer(slot_id, Owed { receipt, amount });
        }
    }

    /// Forgets what is held against claims once there are no more.
    pub(super) fn forget_if_over(&mut self) {
        if self.is_over() {
            self.asked = Asked::default();
        }
    }
}

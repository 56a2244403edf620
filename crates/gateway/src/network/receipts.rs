//! What receipts are put together from.

use super::audit::{Asked, Owed, Wrong, with_offsets};
use crate::Claimed;
use fairweir_client::orders::{Settlement, SlotEnd};
use fairweir_net::PeerAddr;
use fairweir_types::{
    Height,
    event::{BatchSettled, LaneOpened},
    node_api::Delivery,
    order::{KindId, PriceVector, SlotId},
    proof::InBatch,
    session::{Leaf, request_slot},
    sum_tree::{SumPath, SumTree},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Receipts that are kept; of more the oldest is forgotten.
const RECEIPTS_MAX: usize = 4_096;
/// Batches whose ends are remembered.
const BATCHES_MAX: usize = 1_024;
/// Bytes of specs and outputs that are kept.
const BYTES_MAX: usize = 256 * 1_024 * 1_024;

#[derive(Debug, Default)]
struct Entry {
    spec: Vec<u8>,
    /// The lane that its request is in, for a request of a session.
    lane: Option<SlotId>,
    delivery: Option<Delivery>,
    end: Option<SlotEnd>,
    /// Where it is under the root of a batch, for a request of a session.
    place: Option<Place>,
    /// Under which slot the answer was made, if its worker handed nothing over.
    made_under: Option<SlotId>,
}

/// Where a receipt is in its batch.
#[derive(Clone, Debug)]
struct Place {
    batch: SlotId,
    leaf: Leaf,
    path: SumPath,
}

impl Place {
    /// What its buyer must know to have it checked.
    fn claimed(&self) -> Option<Claimed> {
        let at = self.path.offset().ok()?;
        Some(Claimed {
            batch: self.batch,
            at,
        })
    }
}

/// A lane of ours.
#[derive(Debug)]
struct OurLane {
    slot_id: SlotId,
    kind: KindId,
    prices: PriceVector,
    asked: Asked,
    /// Where its worker was reached when we began to use it.
    endpoint: Option<PeerAddr>,
    /// Batches whose leaves the worker was not heard about yet.
    audits: usize,
    is_closed: bool,
}

impl OurLane {
    /// Whether nothing of it can be claimed, or proved, any more than it is.
    const fn is_over(&self) -> bool {
        self.is_closed && self.audits == 0
    }

    /// A request of it was answered.
    fn answer(&mut self, slot_id: SlotId, delivery: &Delivery) {
        let receipt = &delivery.receipt.receipt;
        if let Ok(amount) = self.prices.quote(&receipt.units) {
            let receipt = receipt.digest();
            self.asked.answer(slot_id, Owed { receipt, amount });
        }
    }

    /// Forgets what is held against claims once there are no more.
    fn forget_if_over(&mut self) {
        if self.is_over() {
            self.asked = Asked::default();
        }
    }
}

/// How a batch ended.
#[derive(Clone, Debug)]
enum BatchEnd {
    Settled(Box<(BatchSettled, Height, usize)>),
    Refunded,
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
    /// Batches of our sessions that ended, newest last.
    batches: VecDeque<(SlotId, BatchEnd)>,
    /// Lanes of our sessions, newest last.
    lanes: VecDeque<OurLane>,
}

/// The newest receipts.
#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<Newest>);

/// Where a receipt stands.
pub(super) enum Standing {
    Unknown,
    NotSettled(Option<Claimed>),
    Refunded,
    /// Its lane is closed, and nothing proves that its output was claimed: it is in none of the batches whose leaves were given, or it never came.
    Unclaimed,
    Settled(Box<(Settlement, Delivery, Vec<u8>)>),
    /// With many others.
    InBatch(Box<Batched>),
}

/// What the receipt of a request in a settled batch is put together from.
#[derive(Debug)]
pub(super) struct Batched {
    pub(super) in_batch: InBatch,
    pub(super) place: (Height, usize),
    pub(super) delivery: Delivery,
    pub(super) spec: Vec<u8>,
}

impl Receipts {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order is to be posted.
    pub(super) fn expect(&self, slot_id: SlotId, spec: Vec<u8>) {
        self.enter(slot_id, None, spec);
    }

    /// A request is to be made in a lane of ours.
    pub(super) fn expect_in(&self, lane: SlotId, slot_id: SlotId, spec: Vec<u8>) {
        self.enter(slot_id, Some(lane), spec);
    }

    fn enter(&self, slot_id: SlotId, lane: Option<SlotId>, spec: Vec<u8>) {
        let mut newest = self.newest();
        let entry = Entry {
            spec,
            lane,
            ..Entry::default()
        };
        newest.bytes = newest.bytes.saturating_add(entry.bytes());
        if let Some(before) = newest.entries.insert(slot_id, entry) {
            newest.bytes = newest.bytes.saturating_sub(before.bytes());
        } else {
            newest.order.push_back(slot_id);
        }
        if let Some(lane_id) = lane
            && let Some(lane) = newest.lane(&lane_id)
        {
            lane.asked.expect(&lane_id, slot_id);
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
        let (after, lane) = (entry.bytes(), entry.lane);
        newest.bytes = newest.bytes.saturating_sub(before).saturating_add(after);
        if let Some(lane) = lane.and_then(|lane| newest.lane(&lane)) {
            lane.answer(slot_id, delivery);
        }
        newest.shrink();
    }

    /// What was begun under one slot came to its end under another: whoever was told of the first gets that receipt, unless its worker was paid for a part and
    /// has a receipt of its own.
    pub(super) fn go_on(&self, begun: SlotId, ended: SlotId) {
        if begun != ended
            && let Some(entry) = self.newest().entries.get_mut(&begun)
        {
            entry.made_under = Some(ended);
        }
    }

    /// It ended on the ledger.
    pub(super) fn end(&self, slot_id: SlotId, end: SlotEnd) {
        if let Some(entry) = self.newest().entries.get_mut(&slot_id) {
            entry.end = Some(end);
        }
    }

    /// What came under a slot, or in the end of what was begun under it.
    #[cfg(test)]
    pub(super) fn delivery(&self, slot_id: &SlotId) -> Option<Delivery> {
        self.newest().entry(slot_id)?.delivery.clone()
    }

    pub(super) fn standing(&self, slot_id: SlotId) -> Standing {
        let newest = self.newest();
        let Some(entry) = newest.entry(&slot_id) else {
            return Standing::Unknown;
        };
        if let (Some(place), Some(delivery)) = (&entry.place, &entry.delivery) {
            return newest.in_batch(place, delivery, &entry.spec);
        }
        match (&entry.end, &entry.delivery) {
            (Some(SlotEnd::Refunded(_)), _) => Standing::Refunded,
            (Some(SlotEnd::Settled(settlement)), Some(delivery)) => Standing::Settled(Box::new((
                settlement.clone(),
                delivery.clone(),
                entry.spec.clone(),
            ))),
            _ if entry.lane.is_some_and(|lane| newest.is_over(&lane)) => Standing::Unclaimed,
            _ => Standing::NotSettled(None),
        }
    }
}

impl Receipts {
    /// A lane of ours was opened; said again, nothing changes.
    pub(super) fn open_lane(&self, opened: &LaneOpened) {
        let mut newest = self.newest();
        if newest.lane(&opened.slot_id).is_some() {
            return;
        }
        if newest.lanes.len() >= BATCHES_MAX {
            newest.lanes.pop_front();
        }
        newest.lanes.push_back(OurLane {
            slot_id: opened.slot_id,
            kind: opened.kind,
            prices: opened.prices,
            asked: Asked::default(),
            endpoint: None,
            audits: 0,
            is_closed: false,
        });
    }

    /// A lane of ours is used, and its worker reached there.
    pub(super) fn reach_lane(&self, lane: &SlotId, endpoint: &PeerAddr) {
        if let Some(lane) = self.newest().lane(lane) {
            lane.endpoint = Some(endpoint.clone());
        }
    }

    /// Where the worker of a lane of ours was reached first.
    pub(super) fn endpoint_of(&self, lane: &SlotId) -> Option<PeerAddr> {
        self.newest().lane(lane)?.endpoint.clone()
    }

    /// Nothing can be claimed of a lane any more.
    pub(super) fn close_lane(&self, lane: &SlotId) {
        if let Some(lane) = self.newest().lane(lane) {
            lane.is_closed = true;
            lane.forget_if_over();
        }
    }

    /// The worker of a lane of ours is asked for the leaves of a batch.
    pub(super) fn begin_audit(&self, lane: &SlotId) {
        if let Some(lane) = self.newest().lane(lane) {
            lane.audits = lane.audits.saturating_add(1);
        }
    }

    /// Our receipts in a batch have their places, or the worker does not prove that there are any.
    pub(super) fn end_audit(&self, lane: &SlotId) {
        if let Some(lane) = self.newest().lane(lane) {
            lane.audits = lane.audits.saturating_sub(1);
            lane.forget_if_over();
        }
    }

    /// The kind of a lane of ours.
    pub(super) fn kind_of(&self, lane: &SlotId) -> Option<KindId> {
        self.newest().lane(lane).map(|lane| lane.kind)
    }

    /// Whether a lane is of one of our sessions.
    pub(super) fn is_ours(&self, lane: &SlotId) -> bool {
        self.kind_of(lane).is_some()
    }

    /// A batch was posted with these leaves, and the tree over them: each receipt of ours learns where it is.
    ///
    /// # Errors
    /// [`Wrong::Receipt`] of the first that is not the receipt that we got.
    pub(super) fn locate(
        &self,
        (batch, lane): (SlotId, &SlotId),
        leaves: &[Leaf],
        tree: &SumTree,
    ) -> Result<(), Wrong> {
        let mut newest = self.newest();
        let mut found = Ok(());
        for (position, (at, leaf)) in with_offsets(leaves).enumerate() {
            let slot_id = request_slot(lane, leaf.index);
            let Some(entry) = newest.entries.get_mut(&slot_id) else {
                continue;
            };
            let got = entry.delivery.as_ref();
            if got.is_some_and(|got| got.receipt.receipt.digest() != leaf.receipt) {
                found = found.and(Err(Wrong::Receipt(at)));
                continue;
            }
            if let Some(path) = tree.path(position) {
                entry.place = Some(Place {
                    batch,
                    leaf: *leaf,
                    path,
                });
            }
        }
        found
    }

    /// A worker claims these leaves of a lane of ours, in this order.
    ///
    /// # Errors
    /// What is [`Wrong`] as far as we know.
    pub(super) fn claim(&self, lane_id: &SlotId, leaves: &[Leaf]) -> Result<(), Wrong> {
        match self.newest().lane(lane_id) {
            Some(lane) => lane.asked.claim(lane_id, leaves),
            None => Ok(()),
        }
    }

    /// A batch was settled by the event at a position of a block.
    pub(super) fn settle_batch(&self, settled: &BatchSettled, place: (Height, usize)) {
        let (height, position) = place;
        let end = BatchEnd::Settled(Box::new((settled.clone(), height, position)));
        self.newest().end_batch(settled.slot_id, end);
    }

    /// A batch was refunded.
    pub(super) fn refund_batch(&self, batch: SlotId) {
        self.newest().end_batch(batch, BatchEnd::Refunded);
    }
}

impl Newest {
    /// The entry under which the answer was made that was begun under a slot.
    fn entry(&self, slot_id: &SlotId) -> Option<&Entry> {
        let entry = self.entries.get(slot_id)?;
        match entry.made_under {
            Some(ended) if entry.delivery.is_none() => self.entries.get(&ended),
            _ => Some(entry),
        }
    }

    fn lane(&mut self, slot_id: &SlotId) -> Option<&mut OurLane> {
        let mut newest_first = self.lanes.iter_mut().rev();
        newest_first.find(|lane| lane.slot_id == *slot_id)
    }

    /// Whether no receipt of a lane can find its place any more.
    fn is_over(&self, slot_id: &SlotId) -> bool {
        let mut newest_first = self.lanes.iter().rev();
        let lane = newest_first.find(|lane| lane.slot_id == *slot_id);
        lane.is_some_and(OurLane::is_over)
    }

    fn end_batch(&mut self, batch: SlotId, end: BatchEnd) {
        if self.batches.len() >= BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back((batch, end));
    }

    fn in_batch(&self, place: &Place, delivery: &Delivery, spec: &[u8]) -> Standing {
        let end = self.batches.iter().rev().find(|(id, _)| *id == place.batch);
        match end {
            None => Standing::NotSettled(place.claimed()),
            Some((_, BatchEnd::Refunded)) => Standing::Refunded,
            Some((_, BatchEnd::Settled(settled))) => {
                let (settled, height, position) = (**settled).clone();
                Standing::InBatch(Box::new(Batched {
                    in_batch: InBatch {
                        settled,
                        leaf: place.leaf,
                        path: place.path.clone(),
                    },
                    place: (height, position),
                    delivery: delivery.clone(),
                    spec: spec.to_vec(),
                }))
            }
        }
    }

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

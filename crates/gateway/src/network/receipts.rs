//! What receipts are put together from.

mod archive;
mod our_lane;

use super::{
    audit::{Wrong, with_offsets},
    pursuit::Work,
};
use crate::Claimed;
use archive::{Archive, Kept};
use fairweir_client::orders::{Settlement, SlotEnd};
use fairweir_net::PeerAddr;
use fairweir_services::pipeline::Shelf;
use fairweir_types::{
    ChainId, Height,
    event::{BatchPosted, BatchSettled, LaneOpened},
    node_api::Delivery,
    order::{KindId, SlotId},
    proof::InBatch,
    session::{Leaf, request_slot},
    sum_tree::{SumPath, SumTree},
};
use our_lane::OurLane;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Receipts that are kept; of more the oldest is forgotten.
const RECEIPTS_MAX: usize = 4_096;
/// Batches whose ends are remembered: no receipt may lose its own.
const BATCHES_MAX: usize = RECEIPTS_MAX;
/// Lanes that are remembered.
const LANES_MAX: usize = 1_024;
/// Blocks after which it is written down again until where the chain's events were heard.
const HEARD_EVERY: u64 = 256;
/// Bytes of specs and outputs that are kept.
const BYTES_MAX: usize = 256 * 1_024 * 1_024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// The API key that may have it.
    key: String,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// How a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BatchEnd {
    Settled(Box<(BatchSettled, Height, usize)>),
    Refunded,
}

/// A batch of a lane of ours.
#[derive(Debug)]
struct OurBatch {
    slot_id: SlotId,
    /// Whether its worker was asked for its leaves.
    is_audited: bool,
    end: Option<BatchEnd>,
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
    /// Batches of our sessions, newest last.
    batches: VecDeque<OurBatch>,
    /// Lanes of our sessions, newest last.
    lanes: VecDeque<OurLane>,
    /// Where all this outlives the process.
    archive: Option<Archive>,
    /// Until which block the chain's events were heard.
    heard: Height,
    /// Until which block the next process knows that they were.
    heard_kept: Height,
    /// Whether what came about while no process heard it is still asked for.
    is_behind: bool,
}

/// The newest receipts.
#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<Newest>);

/// What is to be done for receipts of a former process.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Until which block it heard of them, if it left any.
    pub(super) heard: Option<Height>,
    /// Batches whose workers did not give their leaves yet.
    pub(super) posted: Vec<BatchPosted>,
}

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

    /// Work is to be asked for: in a lane of ours, or by an order.
    pub(super) fn expect(&self, lane: Option<SlotId>, slot_id: SlotId, work: &Work) {
        let mut newest = self.newest();
        let entry = Entry {
            key: work.key.clone(),
            spec: work.spec.clone(),
            lane,
            ..Entry::default()
        };
        newest.enter(slot_id, entry);
        match lane {
            Some(lane_id) => {
                if let Some(lane) = newest.lane(&lane_id) {
                    lane.asked.expect(&lane_id, slot_id);
                }
            }
            // It is paid whether it comes or not.
            None => newest.keep_answer(slot_id),
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
        newest.keep_answer(slot_id);
        newest.shrink();
    }

    /// What was begun under one slot came to its end under another: whoever was told of the first gets that receipt.
    pub(super) fn go_on(&self, begun: SlotId, ended: SlotId) {
        let mut newest = self.newest();
        if begun != ended
            && let Some(entry) = newest.entries.get_mut(&begun)
        {
            entry.made_under = Some(ended);
            newest.keep_answer(begun);
        }
    }

    /// It ended on the ledger.
    pub(super) fn end(&self, slot_id: SlotId, end: SlotEnd) {
        let mut newest = self.newest();
        if let Some(entry) = newest.entries.get_mut(&slot_id) {
            entry.end = Some(end);
            newest.keep_answer(slot_id);
        }
    }

    /// What came under a slot, or in the end of what was begun under it.
    #[cfg(test)]
    pub(super) fn delivery(&self, slot_id: &SlotId) -> Option<Delivery> {
        self.newest().entry(slot_id)?.delivery.clone()
    }

    /// Where a receipt stands, for an API key.
    pub(super) fn standing(&self, slot_id: SlotId, key: &str) -> Standing {
        let newest = self.newest();
        let Some(entry) = newest.entry(&slot_id).filter(|entry| entry.key == key) else {
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
            _ if !newest.is_behind && entry.lane.is_some_and(|lane| newest.is_over(&lane)) => {
                Standing::Unclaimed
            }
            _ => Standing::NotSettled(None),
        }
    }
}

impl Receipts {
    /// A lane of ours was opened; said again, nothing changes.
    pub(super) fn open_lane(&self, opened: &LaneOpened) {
        let mut newest = self.newest();
        if newest.lane(&opened.slot_id).is_none() {
            newest.put_lane(OurLane::new(opened.slot_id, opened.kind, opened.prices));
            newest.keep_lane(&opened.slot_id);
        }
    }

    /// A lane of ours is used, and its worker reached there.
    pub(super) fn reach_lane(&self, lane: &SlotId, endpoint: &PeerAddr) {
        let mut newest = self.newest();
        let Some(found) = newest.lane(lane) else {
            return;
        };
        let before = found.endpoint.replace(endpoint.clone());
        if before.as_ref() != Some(endpoint) {
            newest.keep_lane(lane);
        }
    }

    /// Where the worker of a lane of ours was reached first.
    pub(super) fn endpoint_of(&self, lane: &SlotId) -> Option<PeerAddr> {
        self.newest().lane(lane)?.endpoint.clone()
    }

    /// Nothing can be claimed of a lane any more.
    pub(super) fn close_lane(&self, lane: &SlotId) {
        let mut newest = self.newest();
        if let Some(found) = newest.lane(lane) {
            found.is_closed = true;
            found.forget_if_over();
            newest.keep_lane(lane);
        }
    }

    /// Whether the worker of a lane of ours is to be asked for the leaves of a batch: said again, it is not.
    pub(super) fn begin_audit(&self, posted: &BatchPosted) -> bool {
        let mut newest = self.newest();
        let begins = newest.begin_audit(posted);
        if begins {
            newest.keep(&Kept::Posted(Box::new(*posted)));
        }
        begins
    }

    /// Our receipts in a batch have their places, or the worker does not prove that there are any.
    pub(super) fn end_audit(&self, posted: &BatchPosted) {
        let mut newest = self.newest();
        if let Some(lane) = newest.lane(&posted.lane) {
            lane.audits = lane.audits.saturating_sub(1);
            lane.forget_if_over();
        }
        newest.forget_posted(posted.slot_id);
    }

    /// The kind of a lane of ours.
    pub(super) fn kind_of(&self, lane: &SlotId) -> Option<KindId> {
        self.newest().lane(lane).map(|lane| lane.kind)
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
        newest.know_batch(batch);
        newest.locate((batch, lane), leaves, tree)
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

    /// A batch was refunded, if it is one of ours.
    pub(super) fn refund_batch(&self, batch: SlotId) {
        let mut newest = self.newest();
        if newest.batch(batch).is_some() {
            newest.end_batch(batch, BatchEnd::Refunded);
        }
    }
}

impl Receipts {
    /// Those of a chain that a former process left on a shelf, where all are written down from now on.
    pub(super) fn on(shelf: &Arc<dyn Shelf>, chain_id: &ChainId) -> (Self, Unfinished) {
        let archive = Archive::new(Arc::clone(shelf), chain_id.clone());
        let mut unfinished = Unfinished::default();
        let mut left = archive.left();
        // A lane is known before its batches, and an answer before its place.
        left.sort_by_key(|(_, kept)| kept.tag());
        let mut newest = Newest {
            archive: Some(archive),
            ..Newest::default()
        };
        for (heard, kept) in left {
            unfinished.heard = unfinished.heard.max(Some(heard));
            match kept {
                Kept::Lane(lane) => newest.put_lane(OurLane::of_kept(&lane)),
                Kept::Answer(slot_id, entry) => newest.enter(slot_id, *entry),
                Kept::Place(slot_id, place) => newest.put_place(slot_id, place),
                Kept::Posted(posted) if newest.begin_audit(&posted) => {
                    unfinished.posted.push(*posted);
                }
                Kept::Posted(posted) => newest.forget_posted(posted.slot_id),
                Kept::End(batch, end) => {
                    newest.put_end(batch, end);
                }
                Kept::Heard => {}
            }
        }
        newest.heard = unfinished.heard.unwrap_or_default();
        newest.heard_kept = newest.heard;
        newest.shrink();
        (Self(Mutex::new(newest)), unfinished)
    }

    /// The chain's events of a block were heard, and of all blocks before it.
    pub(super) fn hear(&self, height: Height) {
        let mut newest = self.newest();
        newest.heard = height;
        if height.get().abs_diff(newest.heard_kept.get()) >= HEARD_EVERY {
            newest.keep_heard();
        }
    }

    /// Says to the next process until where this one heard.
    pub(super) fn keep_heard(&self) {
        self.newest().keep_heard();
    }

    /// What came about while no process heard it is asked for from now on; until it is known no receipt is given up.
    pub(super) fn fall_behind(&self) {
        self.newest().is_behind = true;
    }

    /// Some of it nobody can tell any more: of the lanes that are known no receipt is ever given up.
    pub(super) fn lose_sight(&self) {
        let mut newest = self.newest();
        newest
            .lanes
            .iter_mut()
            .for_each(|lane| lane.is_unsure = true);
        for lane in &newest.lanes {
            newest.keep(&lane.kept());
        }
    }

    /// All of it was heard that could be.
    pub(super) fn catch_up(&self) {
        self.newest().is_behind = false;
    }
}

impl Newest {
    /// The entry under which the answer was made that was begun under a slot.
    fn entry(&self, slot_id: &SlotId) -> Option<&Entry> {
        let entry = self.entries.get(slot_id)?;
        match entry.made_under {
            Some(ended) => self.entries.get(&ended),
            None => Some(entry),
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

    /// Gives each receipt in a batch its place.
    fn locate(
        &mut self,
        (batch, lane): (SlotId, &SlotId),
        leaves: &[Leaf],
        tree: &SumTree,
    ) -> Result<(), Wrong> {
        let mut found = Ok(());
        for (position, (at, leaf)) in with_offsets(leaves).enumerate() {
            let slot_id = request_slot(lane, leaf.index);
            let Some(entry) = self.entries.get_mut(&slot_id) else {
                continue;
            };
            let got = entry.delivery.as_ref();
            if got.is_some_and(|got| got.receipt.receipt.digest() != leaf.receipt) {
                found = found.and(Err(Wrong::Receipt(at)));
                continue;
            }
            if let Some(path) = tree.path(position) {
                let leaf = *leaf;
                let place = Place { batch, leaf, path };
                entry.place = Some(place.clone());
                self.keep(&Kept::Place(slot_id, place));
            }
        }
        found
    }

    fn end_batch(&mut self, batch: SlotId, end: BatchEnd) {
        if self.put_end(batch, end.clone()) {
            self.keep(&Kept::End(batch, end));
        }
    }

    /// Whether it is new how a batch ended.
    fn put_end(&mut self, batch: SlotId, end: BatchEnd) -> bool {
        let batch = self.know_batch(batch);
        let is_new = batch.end.is_none();
        batch.end.get_or_insert(end);
        is_new
    }

    fn batch(&mut self, slot_id: SlotId) -> Option<&mut OurBatch> {
        let mut newest_first = self.batches.iter_mut().rev();
        newest_first.find(|batch| batch.slot_id == slot_id)
    }

    /// A batch; one that is new takes the place of the oldest.
    fn know_batch(&mut self, slot_id: SlotId) -> &mut OurBatch {
        let known = self
            .batches
            .iter()
            .rposition(|batch| batch.slot_id == slot_id);
        let position = known.unwrap_or_else(|| {
            if self.batches.len() >= BATCHES_MAX
                && let Some(oldest) = self.batches.pop_front()
                && let Some(archive) = &self.archive
            {
                archive.forget_batch(oldest.slot_id);
            }
            self.batches.push_back(OurBatch {
                slot_id,
                is_audited: false,
                end: None,
            });
            self.batches.len().saturating_sub(1)
        });
        self.batches.get_mut(position).expect("it is there")
    }

    fn begin_audit(&mut self, posted: &BatchPosted) -> bool {
        if self.lane(&posted.lane).is_none() {
            return false;
        }
        let batch = self.know_batch(posted.slot_id);
        if std::mem::replace(&mut batch.is_audited, true) {
            return false;
        }
        if let Some(lane) = self.lane(&posted.lane) {
            lane.audits = lane.audits.saturating_add(1);
        }
        true
    }

    /// Where a receipt is, as another process found.
    fn put_place(&mut self, slot_id: SlotId, place: Place) {
        if !self.entries.contains_key(&slot_id) {
            return self.forget_answer(slot_id);
        }
        // Its leaves may be asked for once more: a process that was killed had written down some places of them.
        self.know_batch(place.batch);
        if let Some(entry) = self.entries.get_mut(&slot_id) {
            entry.place = Some(place);
        }
    }

    fn keep_heard(&mut self) {
        self.heard_kept = self.heard;
        self.keep(&Kept::Heard);
    }

    fn forget_posted(&self, batch: SlotId) {
        if let Some(archive) = &self.archive {
            archive.forget_posted(batch);
        }
    }

    fn put_lane(&mut self, lane: OurLane) {
        if self.lanes.len() >= LANES_MAX
            && let Some(oldest) = self.lanes.pop_front()
            && let Some(archive) = &self.archive
        {
            archive.forget_lane(oldest.slot_id);
        }
        self.lanes.push_back(lane);
    }

    fn enter(&mut self, slot_id: SlotId, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.bytes());
        if let Some(before) = self.entries.insert(slot_id, entry) {
            self.bytes = self.bytes.saturating_sub(before.bytes());
        } else {
            self.order.push_back(slot_id);
        }
    }

    fn keep(&self, kept: &Kept) {
        if let Some(archive) = &self.archive {
            archive.keep(self.heard, kept);
        }
    }

    fn keep_lane(&mut self, lane: &SlotId) {
        if self.archive.is_some()
            && let Some(kept) = self.lane(lane).map(|lane| lane.kept())
        {
            self.keep(&kept);
        }
    }

    fn keep_answer(&self, slot_id: SlotId) {
        if self.archive.is_some()
            && let Some(entry) = self.entries.get(&slot_id)
        {
            self.keep(&Kept::Answer(slot_id, Box::new(entry.clone())));
        }
    }

    fn forget_answer(&self, slot_id: SlotId) {
        if let Some(archive) = &self.archive {
            archive.forget_answer(slot_id);
        }
    }

    fn in_batch(&self, place: &Place, delivery: &Delivery, spec: &[u8]) -> Standing {
        let mut newest_first = self.batches.iter().rev();
        let batch = newest_first.find(|batch| batch.slot_id == place.batch);
        match batch.and_then(|batch| batch.end.as_ref()) {
            None => Standing::NotSettled(place.claimed()),
            Some(BatchEnd::Refunded) => Standing::Refunded,
            Some(BatchEnd::Settled(settled)) => {
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
                self.forget_answer(oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests;

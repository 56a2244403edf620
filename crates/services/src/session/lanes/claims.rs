//! What the clerk does with the desk: lanes open and close, batches are made, shown, opened and forgotten.

use super::{AskError, LANES_MAX, Lane, Lanes, State, bytes_of};
use crate::session::{check, seal::ContentKey};
use commonware_codec::Encode as _;
use fairweir_types::{
    Amount, BoundedVec, Digest,
    event::{BatchPosted, LaneOpened, LaneToppedUp, LeavesDue, SharingDue},
    keys::Purpose,
    node_api::DeliveryRequest,
    order::SlotId,
    session::{
        Kept, KeptBatch, KeptRequest, Leaf, LeafOpening, Numbers, Payers, SampledLeaf,
        SignedVoucher, batch_slot, position_of, root_of,
    },
    tx::ShareLeaves,
};

/// A batch that a worker is about to post.
#[derive(Clone, Debug)]
pub(in crate::session) struct Claim {
    pub(in crate::session) lane: SlotId,
    pub(in crate::session) number: u32,
    pub(in crate::session) leaves: Vec<Leaf>,
    pub(in crate::session) numbers: Numbers,
    pub(in crate::session) voucher: SignedVoucher,
}

/// What is shown of a batch's drawn leaves.
#[derive(Debug)]
pub(in crate::session) struct Showing {
    /// The digest of the plain bytes.
    pub(in crate::session) shown: Digest,
    /// The blob that the drawn verifiers can read.
    pub(in crate::session) blob: Vec<u8>,
    /// What goes on the ledger.
    pub(in crate::session) sampled: Vec<SampledLeaf>,
}

/// What a lane has to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Claimable {
    pub(in crate::session) lane: SlotId,
    pub(in crate::session) is_closing: bool,
    /// Requests that could be claimed.
    pub(in crate::session) requests: usize,
}

/// Whether a claim waits for requests of lower numbers that are under way: they cannot be claimed after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Stragglers {
    Awaited,
    GivenUp,
}

impl Lane {
    /// The requests of a batch, in the order of their leaves; `None` if it could not be shown, because one of them is not kept.
    fn requests_of(&self, batch: &KeptBatch) -> Option<Vec<&KeptRequest>> {
        let indices = batch.indices.iter();
        indices.map(|index| self.kept.get(index)).collect()
    }

    fn leaves_of(&self, batch: &KeptBatch) -> Option<Vec<Leaf>> {
        let requests = self.requests_of(batch)?.into_iter();
        Some(requests.map(KeptRequest::leaf).collect())
    }

    /// Takes out of its batches what did not come to the disk before a restart. The worker forgoes its pay: a batch that it could not show when
    /// it is drawn would cost as much as wrong work. Gives the numbers of batches of which nothing is left.
    fn forgo_lost(&mut self) -> Vec<u32> {
        let mut empty = Vec::new();
        self.batches.retain(|number, batch| {
            let (kept, lost): (Vec<u64>, Vec<u64>) = batch
                .indices
                .iter()
                .partition(|index| self.kept.contains_key(index));
            if !lost.is_empty() {
                tracing::error!(lane = %batch.lane, number, requests = ?lost, "requests of a batch were not written and are lost: their pay is forgone, unless the batch is posted already");
            }
            if kept.is_empty() {
                empty.push(*number);
            }
            batch.indices = BoundedVec::truncating(kept);
            !batch.indices.is_empty()
        });
        empty
    }

    /// Counts what a batch earned of which requests are kept no more, because it was settled before a restart or they were lost: its voucher covers them
    /// still. Those that are kept were counted when the lane was opened.
    fn earn_lost(&mut self, posted: &BatchPosted) {
        let noted = self.batches.remove(&posted.number);
        let numbers = posted.numbers.first..=posted.numbers.last;
        let is_in = |index: &u64| match &noted {
            Some(batch) => batch.indices.iter().any(|noted| noted == index),
            None => numbers.contains(index),
        };
        let kept = self.kept.iter().filter(|(index, _)| is_in(index));
        let counted = Amount::sum(kept.map(|(_, request)| request.amount));
        let lost = posted.root.sum.checked_sub(counted.unwrap_or(Amount::ZERO));
        self.earned = self
            .earned
            .checked_add(lost.unwrap_or(Amount::ZERO))
            .unwrap_or(self.opened.cap);
    }

    /// The requests of a batch that the ledger has, if all of them are kept: those that were noted or, where the note is lost, all of its numbers.
    fn batch_of(&self, posted: &BatchPosted) -> Option<KeptBatch> {
        let noted = self.batches.get(&posted.number).cloned();
        let numbers = posted.numbers.first..=posted.numbers.last;
        let indices = self.kept.keys().copied();
        let all = KeptBatch {
            lane: posted.lane,
            number: posted.number,
            indices: BoundedVec::truncating(indices.filter(|index| numbers.contains(index))),
        };
        noted.into_iter().chain([all]).find(|batch| {
            let leaves = self.leaves_of(batch);
            leaves.and_then(|leaves| root_of(&leaves)) == Some(posted.root)
        })
    }
}

/// The least number of a lane's requests under way.
fn least_under_way(state: &State, lane: SlotId) -> u64 {
    let numbers = state
        .flights
        .values()
        .filter(|(of, _)| *of == lane)
        .map(|(_, flight)| flight.index);
    numbers.min().unwrap_or(u64::MAX)
}

/// What the clerk does with the desk.
impl Lanes {
    /// A lane of ours was opened.
    pub(in crate::session) fn open(&self, opened: &LaneOpened) {
        let mut state = self.state();
        if state.lanes.contains_key(&opened.slot_id) {
            return;
        }
        if state.lanes.len() >= LANES_MAX {
            tracing::error!("too many lanes at a time, one is not served");
            return;
        }
        let mut lane = Lane::new(opened.clone());
        for kept in state.found.remove(&opened.slot_id).unwrap_or_default() {
            match kept {
                Kept::Request(request) => {
                    let index = request.request.request.index;
                    lane.earned = lane
                        .earned
                        .checked_add(request.amount)
                        .unwrap_or(opened.cap);
                    lane.use_number(index);
                    state.bytes += bytes_of(&request);
                    lane.waiting.insert(index);
                    lane.kept.insert(index, (*request).clone());
                }
                Kept::Batch(batch) => {
                    lane.batches.insert(batch.number, batch);
                }
                Kept::Voucher(voucher) => lane.voucher = Some((*voucher).clone()),
            }
        }
        if lane.voucher.is_some() {
            lane.is_restored = true;
            let past = lane.kept.keys().next_back().map_or(0, |last| last + 1);
            lane.floor = lane.floor.max(past);
        }
        for number in lane.forgo_lost() {
            if let Some(shelf) = &state.shelf {
                shelf.forget(batch_slot(&opened.slot_id, number));
            }
        }
        for number in lane.batches.keys() {
            let slot_id = batch_slot(&opened.slot_id, *number);
            state.batches.insert(slot_id, (opened.slot_id, *number));
        }
        state.lanes.insert(opened.slot_id, lane);
    }

    /// The cap of a lane of ours was raised.
    pub(in crate::session) fn raised(&self, raised: &LaneToppedUp) {
        if let Some(lane) = self.state().lanes.get_mut(&raised.slot_id) {
            lane.opened.cap = raised.cap;
        }
    }

    pub(in crate::session) fn closing(&self, lane: SlotId) {
        let mut state = self.state();
        if let Some(lane) = state.lanes.get_mut(&lane) {
            lane.is_closing = true;
        }
        // What is under way ends with what was made, while it can still be claimed.
        for (of, flight) in state.flights.values() {
            if *of == lane {
                flight.stop.lower(flight.credit.stop.output_max);
            }
        }
    }

    /// A lane left the state: nothing of it can be claimed any more.
    pub(in crate::session) fn closed(&self, lane_id: SlotId) {
        let mut state = self.state();
        let Some(lane) = state.lanes.remove(&lane_id) else {
            return;
        };
        state.batches.retain(|_, (of, _)| *of != lane_id);
        for kept in lane.kept.values() {
            state.bytes -= bytes_of(kept);
        }
        if let Some(shelf) = &state.shelf {
            shelf.forget(lane_id);
            for kept in lane.kept.values() {
                shelf.forget(kept.request.slot_id());
            }
            for number in lane.batches.keys() {
                shelf.forget(batch_slot(&lane_id, *number));
            }
        }
    }

    /// Lanes that have something to claim, should stragglers be given up.
    pub(in crate::session) fn to_claim(&self) -> Vec<Claimable> {
        let state = self.state();
        let waiting = state
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.waiting.is_empty());
        waiting
            .map(|(id, lane)| Claimable {
                lane: *id,
                is_closing: lane.is_closing,
                requests: lane.waiting.range(..least_under_way(&state, *id)).count(),
            })
            .collect()
    }

    /// The next batch of a lane, of so many requests at most; kept before it is posted.
    pub(in crate::session) fn claim(
        &self,
        lane_id: SlotId,
        (most, stragglers): (usize, Stragglers),
    ) -> Option<Claim> {
        let mut state = self.state();
        let below = match stragglers {
            Stragglers::Awaited => least_under_way(&state, lane_id),
            Stragglers::GivenUp => u64::MAX,
        };
        let lane = state.lanes.get_mut(&lane_id)?;
        let voucher = lane.voucher.clone()?;
        let number = lane.next_batch;
        // One that may be on the ledger already is claimed again as it was, never another under its number.
        let batch = match lane.batches.get(&number) {
            Some(batch) => batch.clone(),
            None => KeptBatch {
                lane: lane_id,
                number,
                indices: BoundedVec::truncating(lane.waiting.range(..below).take(most).copied()),
            },
        };
        let numbers = Numbers {
            first: batch.indices.iter().copied().min()?,
            last: batch.indices.iter().copied().max()?,
        };
        let leaves = lane.leaves_of(&batch)?;
        lane.begin_none_below(numbers.last.saturating_add(1));
        state.note(batch);
        Some(Claim {
            lane: lane_id,
            number,
            leaves,
            numbers,
            voucher,
        })
    }

    /// The ledger surely did not take the next batch of a lane: another may be made of its requests.
    pub(in crate::session) fn refused(&self, lane_id: SlotId) {
        let mut state = self.state();
        let Some(lane) = state.lanes.get_mut(&lane_id) else {
            return;
        };
        let number = lane.next_batch;
        lane.batches.remove(&number);
        let slot_id = batch_slot(&lane_id, number);
        state.batches.remove(&slot_id);
        if let Some(shelf) = &state.shelf {
            shelf.forget(slot_id);
        }
    }

    /// A batch of ours is on the ledger: its requests wait no more.
    pub(in crate::session) fn posted(&self, posted: &BatchPosted) {
        let number = posted.number;
        let mut state = self.state();
        let Some(lane) = state.lanes.get_mut(&posted.lane) else {
            return;
        };
        if number < lane.next_batch {
            return;
        }
        lane.next_batch = number.saturating_add(1);
        let next = posted.numbers.last.saturating_add(1);
        lane.begin_none_below(next);
        lane.claimed_below = lane.claimed_below.max(next);
        // What is left of lower numbers can be in no batch any more.
        lane.waiting = lane.waiting.split_off(&lane.claimed_below);
        match lane.batch_of(posted) {
            Some(batch) if lane.batches.get(&number) == Some(&batch) => {}
            Some(batch) => state.note(batch),
            None => lane.earn_lost(posted),
        }
    }

    /// Gives a batch's leaves to the session's buyer, who can then check the root and prove its receipts; of a settled batch as long as there is room.
    ///
    /// # Errors
    /// [`AskError::NoSuchLane`] or [`AskError::NotABuyer`].
    pub fn leaves(&self, request: &DeliveryRequest) -> Result<Vec<Leaf>, AskError> {
        let state = self.state();
        let payers = state
            .payers_of(request.slot_id)
            .ok_or(AskError::NoSuchLane)?;
        let is_buyer = payers.include(request.buyer.address())
            && request.buyer.verify(
                Purpose::Delivery,
                &request.slot_id.encode(),
                &request.signature,
            );
        if !is_buyer {
            return Err(AskError::NotABuyer);
        }
        state
            .leaves_of(request.slot_id)
            .or_else(|| state.settled.leaves_of(request.slot_id))
            .ok_or(AskError::NoSuchLane)
    }

    /// The requests of a batch, in the order of their leaves.
    fn requests_of(&self, slot_id: SlotId) -> Option<(SlotId, Vec<KeptRequest>)> {
        let state = self.state();
        let (lane_id, number) = *state.batches.get(&slot_id)?;
        let lane = state.lanes.get(&lane_id)?;
        let batch = lane.batches.get(&number)?;
        let requests = lane.requests_of(batch)?.into_iter().cloned();
        Some((lane_id, requests.collect()))
    }

    /// What is shown of a batch's drawn leaves.
    pub(in crate::session) fn shown(&self, due: &LeavesDue) -> Option<Showing> {
        let (_, requests) = self.requests_of(due.slot_id)?;
        let (plain, sampled) = check::show(&requests, due.samples.as_slice())?;
        let readers = due.readers.as_slice();
        let blob = self
            .content_key(due.slot_id)
            .seal(&due.slot_id, readers, &plain)?;
        Some(Showing {
            shown: Digest::of_blob(&plain),
            blob,
            sampled,
        })
    }

    fn content_key(&self, slot_id: SlotId) -> ContentKey {
        ContentKey::of_batch(&self.identity.seed, &self.chain_id, &slot_id)
    }

    /// What lets the verifiers of a dispute read what was shown.
    pub(in crate::session) fn shared(&self, due: &SharingDue) -> ShareLeaves {
        let key = self.content_key(due.slot_id);
        ShareLeaves {
            slot_id: due.slot_id,
            wraps: key.wraps(&due.slot_id, due.readers.as_slice()),
        }
    }

    /// What opens a batch's drawn leaves.
    pub(in crate::session) fn openings(
        &self,
        slot_id: SlotId,
        samples: &[Amount],
    ) -> Option<Vec<LeafOpening>> {
        let (_, requests) = self.requests_of(slot_id)?;
        let leaves: Vec<Leaf> = requests.iter().map(KeptRequest::leaf).collect();
        samples
            .iter()
            .map(|sample| {
                let kept = requests.get(position_of(&leaves, *sample)?)?;
                let salt = crate::pipeline::worker_salt(
                    &self.identity.seed,
                    &self.chain_id,
                    &kept.request.slot_id(),
                    0,
                );
                Some(LeafOpening {
                    salt,
                    trace: kept.trace,
                })
            })
            .collect()
    }

    /// A batch is settled or refunded: its requests are forgotten, but not what their buyer proves its receipts by.
    pub(in crate::session) fn settled(&self, slot_id: SlotId) {
        let mut state = self.state();
        if let Some(payers) = state.payers_of(slot_id)
            && let Some(leaves) = state.leaves_of(slot_id)
        {
            state.settled.keep(slot_id, payers, leaves);
        }
        let Some((lane_id, number)) = state.batches.remove(&slot_id) else {
            return;
        };
        let Some(lane) = state.lanes.get_mut(&lane_id) else {
            return;
        };
        let Some(batch) = lane.batches.remove(&number) else {
            return;
        };
        let gone: Vec<_> = batch
            .indices
            .iter()
            .filter_map(|index| lane.kept.remove(index))
            .collect();
        state.bytes -= gone.iter().map(bytes_of).sum::<usize>();
        if let Some(shelf) = &state.shelf {
            shelf.forget(slot_id);
            for kept in gone {
                shelf.forget(kept.request.slot_id());
            }
        }
    }
}

impl State {
    /// Who may have the leaves of a batch.
    fn payers_of(&self, slot_id: SlotId) -> Option<Payers> {
        let Some((lane_id, _)) = self.batches.get(&slot_id) else {
            return self.settled.payers_of(slot_id);
        };
        self.lanes.get(lane_id).map(|lane| lane.opened.payers)
    }

    /// The leaves of a batch that is not settled.
    fn leaves_of(&self, slot_id: SlotId) -> Option<Vec<Leaf>> {
        let (lane_id, number) = self.batches.get(&slot_id)?;
        let lane = self.lanes.get(lane_id)?;
        lane.leaves_of(lane.batches.get(number)?)
    }

    /// Keeps which requests a batch claims, under its number.
    fn note(&mut self, batch: KeptBatch) {
        let slot_id = batch_slot(&batch.lane, batch.number);
        if let Some(shelf) = &self.shelf {
            shelf.keep(slot_id, &Kept::Batch(batch.clone()).encode());
        }
        self.batches.insert(slot_id, (batch.lane, batch.number));
        if let Some(lane) = self.lanes.get_mut(&batch.lane) {
            lane.batches.insert(batch.number, batch);
        }
    }
}

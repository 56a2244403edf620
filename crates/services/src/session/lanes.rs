//! The worker's desk for requests: what it serves, for whom, and what it keeps until it is paid.

use crate::{
    AnyService, Executed, Registry, StopAt,
    contract::SpecError,
    pipeline::{Identity, Shelf},
};
use commonware_codec::Encode as _;
use core::fmt;
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, ChainId, Digest, Units, decode,
    event::{BatchPosted, LaneOpened, LeavesDue},
    keys::Purpose,
    node_api::DeliveryRequest,
    order::{SlotId, UnitVector},
    receipt::SignedStop,
    session::{
        Ask, Credit, Kept, KeptBatch, KeptRequest, Leaf, LeafOpening, SampledLeaf, SignedVoucher,
        batch_slot,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};
use thiserror::Error;

/// Lanes of one worker that are open at a time.
const LANES_MAX: usize = 4_096;
/// Requests of one worker under way at a time.
const FLIGHTS_MAX: usize = 256;
/// Bytes of specs and disclosures that wait for their settlement.
const KEPT_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Bytes that a kept request takes besides its spec and hint.
const KEPT_OVERHEAD_BYTES: usize = 1_024;
/// How far ahead of the lowest number that was not used yet a request's number may be.
const INDEX_WINDOW: u64 = 4_096;
/// Numbers past a gap that are remembered before the gap is given up.
const USED_MAX: usize = 1_024;

/// Why a worker does not serve a request. Each has a stable code.
#[derive(Debug, Error)]
pub enum AskError {
    /// The worker has no such lane, or it closes.
    #[error("this worker serves no such lane")]
    NoSuchLane,
    /// Not signed by the session's buyer or its delegate.
    #[error("the request is not signed by the session's buyer or its delegate")]
    NotABuyer,
    /// It is for another chain or kind, or its spec is not the one of its digest.
    #[error("the request's {field} is not that of the lane")]
    OtherRequest {
        /// What differs.
        field: &'static str,
    },
    /// It may take more than the session allows.
    #[error("the request may take more than the session allows for one")]
    AboveDemand,
    /// The number was used before, or is too far ahead.
    #[error("request number {index} was used before, or is too far ahead")]
    NumberUsed {
        /// The number.
        index: u64,
    },
    /// The spec is not taken.
    #[error("the spec is refused")]
    Spec(#[from] SpecError),
    /// The credit does not cover the input and a beginning of the output.
    #[error("the voucher covers {covered} coins, {needed} are needed")]
    CreditTooLow {
        /// What the voucher covers.
        covered: Amount,
        /// What is needed.
        needed: Amount,
    },
    /// What is asked for exceeds the lane's cap.
    #[error("the request exceeds the cap of the lane")]
    AboveCap,
    /// There is too much to do.
    #[error("this worker has as many requests as it takes; ask another, or again later")]
    Busy,
}

impl AskError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSuchLane => "no_such_lane",
            Self::NotABuyer => "not_the_buyer",
            Self::OtherRequest { .. } => "other_request",
            Self::AboveDemand => "above_demand",
            Self::NumberUsed { .. } => "number_used",
            Self::Spec(_) => "spec_refused",
            Self::CreditTooLow { .. } => "credit_too_low",
            Self::AboveCap => "above_cap",
            Self::Busy => "busy",
        }
    }
}

/// A request under way.
#[derive(Debug)]
struct Flight {
    index: u64,
    /// What is promised for it.
    promised: Amount,
    units: UnitVector,
    stop: StopAt,
    /// The buyer's newest word how far it pays.
    credit: SignedStop,
}

/// One lane.
#[derive(Debug)]
struct Lane {
    opened: LaneOpened,
    is_closing: bool,
    voucher: Option<SignedVoucher>,
    /// What finished requests cost, settled or not.
    earned: Amount,
    /// Numbers from here on are new, but for those in `used`.
    floor: u64,
    used: BTreeSet<u64>,
    /// The numbers before a restart are not all known: the first new one says where they go on.
    is_restored: bool,
    /// Finished requests that are in no batch yet, in the order in which they finished.
    waiting: Vec<u64>,
    kept: BTreeMap<u64, KeptRequest>,
    batches: BTreeMap<u32, KeptBatch>,
    next_batch: u32,
}

impl Lane {
    fn new(opened: LaneOpened) -> Self {
        Self {
            opened,
            is_closing: false,
            voucher: None,
            earned: Amount::ZERO,
            floor: 0,
            used: BTreeSet::new(),
            is_restored: false,
            waiting: Vec::new(),
            kept: BTreeMap::new(),
            batches: BTreeMap::new(),
            next_batch: 0,
        }
    }

    fn covered(&self) -> Amount {
        self.voucher
            .as_ref()
            .map_or(Amount::ZERO, |voucher| voucher.voucher.cumulative)
    }

    fn is_new(&self, index: u64) -> bool {
        let is_near = self.is_restored || index < self.floor.saturating_add(INDEX_WINDOW);
        index >= self.floor && index < u64::MAX && is_near && !self.used.contains(&index)
    }

    fn use_number(&mut self, index: u64) {
        self.used.insert(index);
        // A number that was never used, because its request was refused, does not hold up those after it.
        if self.used.len() > USED_MAX
            && let Some(oldest) = self.used.first().copied()
        {
            self.floor = self.floor.max(oldest);
        }
        while self.used.remove(&self.floor) {
            self.floor += 1;
        }
    }

    fn cost(&self, demand: &UnitVector, output: Units) -> Option<Amount> {
        let units = UnitVector { output, ..*demand };
        self.opened.prices.quote(&units).ok()
    }
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<SlotId, Lane>,
    flights: BTreeMap<SlotId, (SlotId, Flight)>,
    batches: BTreeMap<SlotId, (SlotId, u32)>,
    bytes: usize,
    shelf: Option<Arc<dyn Shelf>>,
    /// What was kept of lanes that were not seen again yet.
    found: BTreeMap<SlotId, Vec<Kept>>,
}

/// The desk. Clones share it.
#[derive(Clone)]
pub struct Lanes {
    state: Arc<Mutex<State>>,
    identity: Identity,
    chain_id: ChainId,
    registry: Arc<Registry>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(
            f,
            "{} lanes, {} requests",
            state.lanes.len(),
            state.flights.len()
        )
    }
}

/// A request that was admitted: what its execution needs.
#[derive(Debug)]
pub struct Served {
    pub(super) slot_id: SlotId,
    pub(super) service: Arc<dyn AnyService>,
    pub(super) ask: Ask,
    pub(super) stop: StopAt,
}

fn bytes_of(kept: &KeptRequest) -> usize {
    kept.spec.as_slice().len() + kept.disclosure.hint.as_slice().len() + KEPT_OVERHEAD_BYTES
}

impl Lanes {
    /// A desk for a worker.
    #[must_use]
    pub fn new(identity: Identity, chain_id: ChainId, registry: Arc<Registry>) -> Self {
        Self {
            state: Arc::default(),
            identity,
            chain_id,
            registry,
        }
    }

    /// Keeps what is not settled on a shelf, and takes back what a former process kept there.
    pub fn use_shelf(&self, shelf: Arc<dyn Shelf>) {
        let mut state = self.state();
        for encoded in shelf.all() {
            let Ok(kept) = decode::<Kept>(&encoded) else {
                tracing::warn!("what was kept of a session is damaged");
                continue;
            };
            let lane = match &kept {
                Kept::Request(request) => request.request.request.lane,
                Kept::Batch(batch) => batch.lane,
                Kept::Voucher(voucher) => voucher.voucher.lane,
            };
            state.found.entry(lane).or_default().push(kept);
        }
        state.shelf = Some(shelf);
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) const fn chain_id(&self) -> &ChainId {
        &self.chain_id
    }

    pub(super) fn me(&self) -> Address {
        self.identity.key.address()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics while it holds the lock")
    }

    /// Admits a request whose credit covers its input and a beginning of its output.
    ///
    /// # Errors
    /// [`AskError`]; nothing is changed then.
    pub fn admit(&self, ask: Ask) -> Result<Served, AskError> {
        let request = &ask.request.request;
        let mut state = self.state();
        let flights = state.flights.len();
        let bytes = state.bytes;
        let lane_id = request.lane;
        let promised_elsewhere = promised_in(&state, lane_id, None);
        let lane = state
            .lanes
            .get_mut(&lane_id)
            .filter(|lane| !lane.is_closing)
            .ok_or(AskError::NoSuchLane)?;
        if !ask.request.is_signed_by(&lane.opened.payers) {
            return Err(AskError::NotABuyer);
        }
        let service = self.check_request(&ask, &lane.opened)?;
        if !request.demand.within(&lane.opened.demand) {
            return Err(AskError::AboveDemand);
        }
        if !lane.is_new(request.index) {
            return Err(AskError::NumberUsed {
                index: request.index,
            });
        }
        service.admit_demand(&request.demand, ask.spec.as_slice())?;
        // Work that cannot wait for credit is paid for when it begins, or its output would be had for nothing.
        let is_covered = service.holds_at_credit()
            || ask.credit.stop.stop.output_max >= request.demand.units.output;
        if !is_covered {
            return Err(AskError::CreditTooLow {
                covered: Amount::ZERO,
                needed: lane
                    .cost(&request.demand.units, request.demand.units.output)
                    .unwrap_or(Amount::MAX),
            });
        }
        if flights >= FLIGHTS_MAX || bytes >= KEPT_BYTES_MAX {
            return Err(AskError::Busy);
        }
        let slot_id = ask.request.slot_id();
        let flight = Flight {
            index: request.index,
            promised: Amount::ZERO,
            units: request.demand.units,
            stop: StopAt::credited(Units(0)),
            credit: ask.credit.stop.clone(),
        };
        let (voucher, promised) =
            self.check_credit(lane, (slot_id, &flight), &ask.credit, promised_elsewhere)?;
        let flight = Flight { promised, ..flight };
        flight.stop.raise_credit(ask.credit.stop.stop.output_max);
        let stop = flight.stop.clone();
        if lane.is_restored {
            lane.used.clear();
            lane.floor = request.index;
        }
        lane.use_number(request.index);
        lane.is_restored = false;
        take_voucher(lane, voucher);
        state.flights.insert(slot_id, (lane_id, flight));
        Ok(Served {
            slot_id,
            service,
            ask,
            stop,
        })
    }

    fn check_request(
        &self,
        ask: &Ask,
        opened: &LaneOpened,
    ) -> Result<Arc<dyn AnyService>, AskError> {
        let request = &ask.request.request;
        let difference = [
            ("chain id", request.chain_id == self.chain_id),
            ("kind", request.kind == opened.kind),
            (
                "spec digest",
                request.spec_digest == Digest::of_blob(ask.spec.as_slice()),
            ),
        ]
        .into_iter()
        .find_map(|(field, same)| (!same).then_some(field));
        if let Some(field) = difference {
            return Err(AskError::OtherRequest { field });
        }
        let service = self.registry.get(opened.kind).ok_or(AskError::NoSuchLane)?;
        Ok(Arc::clone(service))
    }

    /// Whether credit is good: signed, for this request, and covered by its voucher with all else that the lane owes.
    fn check_credit<'a>(
        &self,
        lane: &Lane,
        (slot_id, flight): (SlotId, &Flight),
        credit: &'a Credit,
        promised_elsewhere: Amount,
    ) -> Result<(&'a SignedVoucher, Amount), AskError> {
        let payers = &lane.opened.payers;
        let (voucher, stop) = (&credit.voucher.voucher, &credit.stop.stop);
        let is_ours = voucher.chain_id == self.chain_id
            && voucher.lane == lane.opened.slot_id
            && stop.chain_id == self.chain_id
            && stop.slot_id == slot_id
            && stop.attempt == 0;
        if !is_ours {
            return Err(AskError::OtherRequest { field: "credit" });
        }
        let signer = credit.stop.buyer.address();
        if !credit.voucher.is_signed_by(payers)
            || !payers.include(signer)
            || !credit.stop.is_signed_by(signer)
        {
            return Err(AskError::NotABuyer);
        }
        let output = stop.output_max.min(flight.units.output);
        let promised = lane.cost(&flight.units, output).ok_or(AskError::AboveCap)?;
        let needed = Amount::sum([lane.earned, promised_elsewhere, promised])
            .map_err(|_| AskError::AboveCap)?;
        if needed > lane.opened.cap {
            return Err(AskError::AboveCap);
        }
        let covered = voucher.cumulative.max(lane.covered());
        if covered < needed {
            return Err(AskError::CreditTooLow { covered, needed });
        }
        Ok((&credit.voucher, promised))
    }

    /// Takes more credit for a request under way.
    ///
    /// # Errors
    /// [`AskError`]; nothing is changed then.
    pub fn credit(&self, credit: &Credit) -> Result<SlotId, AskError> {
        let slot_id = credit.stop.stop.slot_id;
        let mut state = self.state();
        let (lane_id, flight) = state.flights.get(&slot_id).ok_or(AskError::NoSuchLane)?;
        let lane_id = *lane_id;
        let elsewhere = promised_in(&state, lane_id, Some(slot_id));
        let lane = state.lanes.get(&lane_id).ok_or(AskError::NoSuchLane)?;
        let (voucher, promised) = self.check_credit(lane, (slot_id, flight), credit, elsewhere)?;
        let voucher = voucher.clone();
        if let Some((_, flight)) = state.flights.get_mut(&slot_id)
            && credit.stop.stop.output_max > flight.credit.stop.output_max
            && flight.stop.get().is_none()
        {
            flight.promised = promised;
            flight.credit = credit.stop.clone();
            flight.stop.raise_credit(credit.stop.stop.output_max);
        }
        if let Some(lane) = state.lanes.get_mut(&lane_id) {
            take_voucher(lane, &voucher);
        }
        Ok(slot_id)
    }

    /// The buyer wants no more of a request.
    ///
    /// # Errors
    /// [`AskError::NoSuchLane`] or [`AskError::NotABuyer`].
    pub fn stop(&self, signed: &SignedStop) -> Result<SlotId, AskError> {
        let slot_id = signed.stop.slot_id;
        let state = self.state();
        let (lane_id, _) = state.flights.get(&slot_id).ok_or(AskError::NoSuchLane)?;
        let lane = state.lanes.get(lane_id).ok_or(AskError::NoSuchLane)?;
        let signer = signed.buyer.address();
        if !lane.opened.payers.include(signer)
            || signed.stop.chain_id != self.chain_id
            || signed.stop.attempt != 0
            || !signed.is_signed_by(signer)
        {
            return Err(AskError::NotABuyer);
        }
        if let Some((_, flight)) = state.flights.get(&slot_id) {
            // It ends with what was made, whatever number the buyer says: its credit covers that.
            flight.stop.lower(flight.credit.stop.output_max);
        }
        Ok(slot_id)
    }

    /// The buyer is gone, or gives no more credit: the request ends where its credit does.
    pub(super) fn end_at_credit(&self, slot_id: SlotId) {
        if let Some((_, flight)) = self.state().flights.get(&slot_id) {
            flight.stop.lower(flight.credit.stop.output_max);
        }
    }

    /// The buyer's word for an end after so many output units.
    pub(super) fn word_for(&self, slot_id: SlotId, at: Units) -> Option<SignedStop> {
        let state = self.state();
        let (_, flight) = state.flights.get(&slot_id)?;
        (flight.credit.stop.output_max >= at).then(|| flight.credit.clone())
    }

    /// A request came to nothing.
    pub(super) fn failed(&self, slot_id: SlotId) {
        self.state().flights.remove(&slot_id);
    }

    /// A request is done: it is kept until it is settled, and waits for its batch.
    pub(super) fn done(&self, slot_id: SlotId, kept: KeptRequest) {
        let mut state = self.state();
        let Some((lane_id, flight)) = state.flights.remove(&slot_id) else {
            return;
        };
        if kept.amount == Amount::ZERO || !state.lanes.contains_key(&lane_id) {
            return;
        }
        let voucher = state
            .lanes
            .get(&lane_id)
            .and_then(|lane| lane.voucher.clone());
        if let (Some(shelf), Some(voucher)) = (&state.shelf, voucher) {
            shelf.keep(slot_id, &Kept::Request(Boxed::new(kept.clone())).encode());
            shelf.keep(lane_id, &Kept::Voucher(Boxed::new(voucher)).encode());
        }
        state.bytes += bytes_of(&kept);
        if let Some(lane) = state.lanes.get_mut(&lane_id) {
            lane.earned = lane
                .earned
                .checked_add(kept.amount)
                .unwrap_or(lane.opened.cap);
            lane.waiting.push(flight.index);
            lane.kept.insert(flight.index, kept);
        }
    }

    /// What a request's units cost in its lane, at most what was promised for it.
    pub(super) fn price(&self, slot_id: SlotId, executed: &Executed) -> Option<Amount> {
        let state = self.state();
        let (lane, flight) = state.flights.get(&slot_id)?;
        let amount = state
            .lanes
            .get(lane)?
            .opened
            .prices
            .quote(&executed.units)
            .ok()?;
        (amount <= flight.promised).then_some(amount)
    }
}

/// What requests under way in a lane are promised together, but for one.
fn promised_in(state: &State, lane: SlotId, but: Option<SlotId>) -> Amount {
    let promised = state
        .flights
        .iter()
        .filter(|(slot_id, (of, _))| *of == lane && Some(**slot_id) != but)
        .map(|(_, (_, flight))| flight.promised);
    Amount::sum(promised).unwrap_or(Amount::MAX)
}

fn take_voucher(lane: &mut Lane, voucher: &SignedVoucher) {
    if voucher.voucher.cumulative > lane.covered() {
        lane.voucher = Some(voucher.clone());
    }
}

/// A batch that a worker is about to post.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) lane: SlotId,
    pub(super) number: u32,
    pub(super) leaves: Vec<Leaf>,
    pub(super) voucher: SignedVoucher,
}

/// What the clerk does with the desk.
impl Lanes {
    /// A lane of ours was opened.
    pub(super) fn open(&self, opened: &LaneOpened) {
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
                    lane.waiting.push(index);
                    lane.kept.insert(index, (*request).clone());
                }
                Kept::Batch(batch) => {
                    let slot_id = batch_slot(&batch.lane, batch.number);
                    state.batches.insert(slot_id, (batch.lane, batch.number));
                    lane.batches.insert(batch.number, batch);
                }
                Kept::Voucher(voucher) => lane.voucher = Some((*voucher).clone()),
            }
        }
        lane.waiting.sort_unstable();
        if lane.voucher.is_some() {
            lane.is_restored = true;
            let past = lane.kept.keys().next_back().map_or(0, |last| last + 1);
            lane.floor = lane.floor.max(past);
        }
        state.lanes.insert(opened.slot_id, lane);
    }

    pub(super) fn closing(&self, lane: SlotId) {
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
    pub(super) fn closed(&self, lane_id: SlotId) {
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

    /// Lanes that have something to claim: whether each closes, and how many requests wait.
    pub(super) fn to_claim(&self) -> Vec<(SlotId, bool, usize)> {
        let state = self.state();
        let waiting = state
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.waiting.is_empty());
        waiting
            .map(|(id, lane)| (*id, lane.is_closing, lane.waiting.len()))
            .collect()
    }

    /// The next batch of a lane, of so many requests at most; kept before it is posted.
    pub(super) fn claim(&self, lane_id: SlotId, most: usize) -> Option<Claim> {
        let mut state = self.state();
        let lane = state.lanes.get_mut(&lane_id)?;
        let voucher = lane.voucher.clone()?;
        let number = lane.next_batch;
        // One that may be on the ledger already is claimed again as it was, never another under its number.
        let batch = match lane.batches.get(&number) {
            Some(batch) => batch.clone(),
            None => KeptBatch {
                lane: lane_id,
                number,
                indices: BoundedVec::truncating(lane.waiting.iter().take(most).copied()),
            },
        };
        let leaves: Vec<_> = batch
            .indices
            .iter()
            .filter_map(|index| lane.kept.get(index).map(KeptRequest::leaf))
            .collect();
        let slot_id = batch_slot(&lane_id, number);
        lane.batches.insert(number, batch.clone());
        if let Some(shelf) = &state.shelf {
            shelf.keep(slot_id, &Kept::Batch(batch).encode());
        }
        state.batches.insert(slot_id, (lane_id, number));
        (!leaves.is_empty()).then_some(Claim {
            lane: lane_id,
            number,
            leaves,
            voucher,
        })
    }

    /// The ledger surely did not take the next batch of a lane: another may be made of its requests.
    pub(super) fn refused(&self, lane_id: SlotId) {
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
    pub(super) fn posted(&self, posted: &BatchPosted) {
        let number = posted.number;
        let mut state = self.state();
        let Some(lane) = state.lanes.get_mut(&posted.lane) else {
            return;
        };
        if number < lane.next_batch {
            return;
        }
        lane.next_batch = number.saturating_add(1);
        let is_kept = lane.batches.get(&number).is_some_and(|batch| {
            let leaves: Vec<Leaf> = batch
                .indices
                .iter()
                .filter_map(|index| lane.kept.get(index).map(KeptRequest::leaf))
                .collect();
            super::check::root(&leaves) == Some(posted.root)
        });
        if let Some(batch) = lane.batches.get(&number).filter(|_| is_kept) {
            let claimed: BTreeSet<u64> = batch.indices.iter().copied().collect();
            lane.waiting.retain(|index| !claimed.contains(index));
        } else {
            // Settled before a restart: its requests are kept no more, but its voucher covers them still.
            lane.batches.remove(&number);
            lane.earned = lane
                .earned
                .checked_add(posted.root.sum)
                .unwrap_or(lane.opened.cap);
        }
    }

    /// Gives a batch's leaves to the session's buyer, who can then check the root and prove its receipts.
    ///
    /// # Errors
    /// [`AskError::NoSuchLane`] or [`AskError::NotABuyer`].
    pub fn leaves(&self, request: &DeliveryRequest) -> Result<Vec<Leaf>, AskError> {
        let state = self.state();
        let (lane_id, number) = state
            .batches
            .get(&request.slot_id)
            .ok_or(AskError::NoSuchLane)?;
        let lane = state.lanes.get(lane_id).ok_or(AskError::NoSuchLane)?;
        let is_buyer = lane.opened.payers.include(request.buyer.address())
            && request.buyer.verify(
                Purpose::Delivery,
                &request.slot_id.encode(),
                &request.signature,
            );
        if !is_buyer {
            return Err(AskError::NotABuyer);
        }
        let batch = lane.batches.get(number).ok_or(AskError::NoSuchLane)?;
        let leaves = batch
            .indices
            .iter()
            .filter_map(|index| lane.kept.get(index));
        Ok(leaves.map(KeptRequest::leaf).collect())
    }

    /// The requests of a batch, in the order of their leaves.
    fn requests_of(&self, slot_id: SlotId) -> Option<(SlotId, Vec<KeptRequest>)> {
        let state = self.state();
        let (lane_id, number) = *state.batches.get(&slot_id)?;
        let lane = state.lanes.get(&lane_id)?;
        let batch = lane.batches.get(&number)?;
        let requests: Option<Vec<_>> = batch
            .indices
            .iter()
            .map(|index| lane.kept.get(index).cloned())
            .collect();
        Some((lane_id, requests?))
    }

    /// What is shown of a batch's drawn leaves: the blob, and what goes on the ledger.
    pub(super) fn shown(&self, due: &LeavesDue) -> Option<(Vec<u8>, Vec<SampledLeaf>)> {
        let (_, requests) = self.requests_of(due.slot_id)?;
        super::check::show(&requests, due.samples.as_slice())
    }

    /// What opens a batch's drawn leaves.
    pub(super) fn openings(&self, slot_id: SlotId, samples: &[Amount]) -> Option<Vec<LeafOpening>> {
        let (_, requests) = self.requests_of(slot_id)?;
        let leaves: Vec<Leaf> = requests.iter().map(KeptRequest::leaf).collect();
        samples
            .iter()
            .map(|sample| {
                let kept = requests.get(super::check::position_of(&leaves, *sample)?)?;
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

    /// A batch is settled or refunded: its requests are forgotten.
    pub(super) fn settled(&self, slot_id: SlotId) {
        let mut state = self.state();
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

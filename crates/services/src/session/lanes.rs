//! The worker's desk for requests: what it serves, for whom, what it keeps until it is paid, and what its buyers may ask for after that.

mod claims;
mod settled;

pub(super) use claims::{Claimable, Showing, Stragglers};

use crate::{
    AnyService, Executed, Registry, StopAt,
    contract::SpecError,
    pipeline::{Identity, Shelf},
};
use commonware_codec::Encode as _;
use core::fmt;
use fairweir_types::{
    Address, Amount, Boxed, ChainId, Digest, Units, decode,
    event::LaneOpened,
    order::{SlotId, UnitVector},
    receipt::SignedStop,
    session::{Ask, Credit, Kept, KeptBatch, KeptRequest, SignedVoucher},
};
use settled::SettledLeaves;
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
    /// Finished requests that are in no batch yet.
    waiting: BTreeSet<u64>,
    /// Numbers below are in a batch that the ledger has, or can be in none any more.
    claimed_below: u64,
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
            waiting: BTreeSet::new(),
            claimed_below: 0,
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

    /// Requests of lower numbers are not begun any more.
    fn begin_none_below(&mut self, number: u64) {
        self.floor = self.floor.max(number);
        self.used = self.used.split_off(&self.floor);
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
    settled: SettledLeaves,
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
        let service = self
            .registry
            .get(opened.kind, opened.version)
            .ok_or(AskError::NoSuchLane)?;
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
        let Some(lane) = state.lanes.get(&lane_id) else {
            return;
        };
        if kept.amount == Amount::ZERO {
            return;
        }
        if flight.index < lane.claimed_below {
            tracing::warn!(%slot_id, "a request took so long that those after it were claimed without it");
            return;
        }
        let voucher = lane.voucher.clone();
        if let (Some(shelf), Some(voucher)) = (&state.shelf, voucher) {
            // Else all buyers' answers would wait for the disk each time. A crash may lose the newest: their worker claims that much less. The voucher comes
            // first, as a claim of a request that it does not cover would be refused.
            shelf.keep_soon(lane_id, &Kept::Voucher(Boxed::new(voucher)).encode());
            shelf.keep_soon(slot_id, &Kept::Request(Boxed::new(kept.clone())).encode());
        }
        state.bytes += bytes_of(&kept);
        if let Some(lane) = state.lanes.get_mut(&lane_id) {
            lane.earned = lane
                .earned
                .checked_add(kept.amount)
                .unwrap_or(lane.opened.cap);
            lane.waiting.insert(flight.index);
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

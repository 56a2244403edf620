//! Where buyers fetch outputs.

use super::{
    feed::{Feed, Item},
    limits::{OUTPUTS_BYTES_MAX, OUTPUTS_MAX},
    memory::Newest,
};
use crate::StopAt;
use commonware_codec::Encode;
use core::fmt;
use fairweir_types::{
    Address, BoundedBytes, Boxed, ChainId, Units,
    bounded::BoundedText,
    decode,
    keys::Purpose,
    limits::CHUNK_BYTES_MAX,
    node_api::{Delivery, DeliveryReply, DeliveryRequest, KeptOutput, OutputChunk, Refusal},
    order::SlotId,
    receipt::{SignedStop, Stopped},
};
use std::sync::{Arc, Mutex, MutexGuard};

/// Where a worker's outputs survive its restart. The desk bounds what is on it.
pub trait Shelf: fmt::Debug + Send + Sync + 'static {
    /// Keeps an encoded output, in place of what was there for the slot.
    fn keep(&self, slot_id: SlotId, output: &[u8]);

    /// Keeps an encoded output likewise, but need not wait for the disk: a crash may lose the newest of these. Whatever is kept or forgotten
    /// afterwards is written after it.
    fn keep_soon(&self, slot_id: SlotId, output: &[u8]) {
        self.keep(slot_id, output);
    }

    /// Forgets what is there for a slot.
    fn forget(&self, slot_id: SlotId);

    /// All encoded outputs, the oldest first.
    fn all(&self) -> Vec<Vec<u8>>;
}

/// Stops of one slot: one, and some for who changes its mind.
const STOPS_MAX: usize = 4;

/// A slot's place on the desk.
struct Place {
    buyer: Address,
    attempt: u16,
    delivery: Option<Delivery>,
    /// Whether the receipt is on the ledger.
    is_handed_in: bool,
    feed: Feed,
    stop: StopAt,
    /// The buyer's stops, newest last.
    stops: Vec<SignedStop>,
}

impl Place {
    fn bytes(&self) -> usize {
        self.delivery
            .as_ref()
            .map_or(0, |delivery| delivery.output.as_slice().len())
    }
}

struct Places {
    places: Newest<SlotId, Place>,
    bytes: usize,
    shelf: Option<Arc<dyn Shelf>>,
}

impl Places {
    fn forget(&mut self, gone: Option<Place>) {
        let Some(place) = gone else { return };
        place.feed.end();
        // Work that nobody waits for any more need not go on.
        place.stop.lower(Units(0));
        self.bytes -= place.bytes();
        if let (Some(delivery), Some(shelf)) = (&place.delivery, &self.shelf) {
            shelf.forget(delivery.receipt.receipt.slot_id);
        }
    }

    /// Puts an output on the shelf before its receipt is handed in: what a worker committed to must survive it.
    fn save(&self, slot_id: SlotId) {
        let (Some(shelf), Some(place)) = (&self.shelf, self.places.get(&slot_id)) else {
            return;
        };
        if let Some(delivery) = &place.delivery {
            let kept = KeptOutput {
                buyer: place.buyer,
                delivery: delivery.clone(),
            };
            shelf.keep(slot_id, &kept.encode());
        }
    }

    /// Takes over what is on the shelf.
    fn restore(&mut self) {
        let all = self.shelf.as_ref().map(|shelf| shelf.all());
        for encoded in all.unwrap_or_default() {
            let Ok(KeptOutput { buyer, delivery }) = decode(&encoded) else {
                tracing::warn!("an output that was kept is damaged");
                continue;
            };
            let receipt = &delivery.receipt.receipt;
            let (slot_id, attempt) = (receipt.slot_id, receipt.attempt);
            self.bytes += delivery.output.as_slice().len();
            let place = Place {
                buyer,
                attempt,
                delivery: Some(delivery),
                is_handed_in: true,
                feed: Feed::default(),
                stop: StopAt::default(),
                stops: Vec::new(),
            };
            if let Some(delivery) = &place.delivery {
                place.feed.complete(Arc::new(delivery.clone()));
            }
            let gone = self.places.put(slot_id, place);
            self.forget(gone);
            while self.bytes > OUTPUTS_BYTES_MAX {
                let gone = self.places.pop_oldest();
                self.forget(gone);
            }
        }
    }
}

/// A worker's outputs, bounded: each is handed to its buyer alone. Clones share it; any task may ask it at any time.
#[derive(Clone)]
pub struct Desk(Arc<Mutex<Places>>);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places();
        write!(
            f,
            "Desk with {} slots and {} bytes",
            places.places.len(),
            places.bytes
        )
    }
}

fn refused(code: &str, reason: &str) -> DeliveryReply {
    DeliveryReply::Refused(Refusal {
        code: BoundedText::truncating(code),
        reason: BoundedText::truncating(reason),
    })
}

/// The place that a buyer asks for, if it is the buyer.
fn asked<'a>(places: &'a Places, request: &DeliveryRequest) -> Result<&'a Place, DeliveryReply> {
    let Some(place) = places.places.get(&request.slot_id) else {
        return Err(refused(
            "not_found",
            "this worker has no output for the slot",
        ));
    };
    let message = request.slot_id.encode();
    let is_buyer = request.buyer.address() == place.buyer
        && request
            .buyer
            .verify(Purpose::Delivery, &message, &request.signature);
    if is_buyer {
        Ok(place)
    } else {
        Err(refused(
            "not_the_buyer",
            "the request is not signed by the order's buyer",
        ))
    }
}

/// A buyer that takes an output as it comes.
#[derive(Debug)]
pub struct Follower {
    feed: Feed,
    position: usize,
    /// What is left of a chunk that is longer than one message.
    rest: Vec<u8>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.feed.leave();
    }
}

impl Follower {
    /// The first follower of a feed.
    pub(crate) fn of(feed: Feed) -> Self {
        feed.join();
        Self {
            feed,
            position: 0,
            rest: Vec::new(),
        }
    }

    /// The next message: chunks, then the whole output; `None` after that.
    pub async fn next(&mut self) -> Option<DeliveryReply> {
        if self.rest.is_empty() {
            match self.feed.item(self.position).await {
                Item::Chunk(chunk) => {
                    self.position += 1;
                    self.rest = chunk.to_vec();
                }
                Item::Delivery(delivery) => {
                    return Some(DeliveryReply::Delivered(Boxed::new((*delivery).clone())));
                }
                Item::Gone => {
                    return Some(refused("not_found", "the slot went to another worker"));
                }
            }
        }
        let end = self.rest.len().min(CHUNK_BYTES_MAX);
        let later = self.rest.split_off(end);
        let now = core::mem::replace(&mut self.rest, later);
        let bytes = BoundedBytes::new(now).ok()?;
        Some(DeliveryReply::Chunk(OutputChunk { bytes }))
    }
}

impl Desk {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Places {
            places: Newest::new(OUTPUTS_MAX),
            bytes: 0,
            shelf: None,
        })))
    }

    /// Keeps outputs on a shelf from now on, and takes over what is there.
    pub(super) fn use_shelf(&self, shelf: Arc<dyn Shelf>) {
        let mut places = self.places();
        places.shelf = Some(shelf);
        places.restore();
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0
            .lock()
            .expect("nobody panics while it holds the lock")
    }

    /// Answers a buyer that asks for its output: with the output, or with a refusal `not_found` (no such slot here, or
    /// no more), `not_the_buyer` or `not_ready` (ask again later).
    #[must_use]
    pub fn deliver(&self, request: &DeliveryRequest) -> DeliveryReply {
        let places = self.places();
        let place = match asked(&places, request) {
            Ok(place) => place,
            Err(reply) => return reply,
        };
        match &place.delivery {
            Some(delivery) if place.is_handed_in => {
                DeliveryReply::Delivered(Boxed::new(delivery.clone()))
            }
            _ => refused("not_ready", "the work is not done yet; ask again"),
        }
    }

    /// Lets a buyer follow its output as it comes, or says why not.
    ///
    /// # Errors
    /// The reply to give in place of the output: `not_found` or `not_the_buyer`.
    pub fn follow(&self, request: &DeliveryRequest) -> Result<Follower, DeliveryReply> {
        let places = self.places();
        let place = asked(&places, request)?;
        if !place.feed.join() {
            return Err(refused("busy", "the output is followed often enough"));
        }
        Ok(Follower {
            feed: place.feed.clone(),
            position: 0,
            rest: Vec::new(),
        })
    }

    /// Takes a buyer's word that it wants no more.
    #[must_use]
    pub fn stop(&self, chain_id: &ChainId, signed: &SignedStop) -> DeliveryReply {
        let stop = &signed.stop;
        let mut places = self.places();
        let Some(place) = places.places.get_mut(&stop.slot_id) else {
            return refused("not_found", "this worker has no work for the slot");
        };
        let is_this = stop.chain_id == *chain_id && stop.attempt == place.attempt;
        if !is_this || !signed.is_signed_by(place.buyer) {
            return refused(
                "not_the_buyer",
                "the stop is not signed by the order's buyer",
            );
        }
        // An execution that ended at an earlier stop still needs that one.
        if place.stops.len() >= STOPS_MAX {
            return refused("busy", "the slot was stopped often enough");
        }
        place.stops.push(signed.clone());
        place.stop.lower(stop.output_max);
        DeliveryReply::Stopping(stop.slot_id)
    }

    /// What was made for an assignment already, before a restart perhaps.
    pub(super) fn made(&self, slot_id: SlotId, attempt: u16) -> Option<Delivery> {
        let places = self.places();
        let place = places.places.get(&slot_id)?;
        let delivery = place.delivery.as_ref()?;
        (place.attempt == attempt).then(|| delivery.clone())
    }

    /// What an execution of an assignment needs: where its chunks go, and where it is to stop.
    pub(super) fn equip(&self, slot_id: SlotId, attempt: u16) -> (Feed, StopAt) {
        let places = self.places();
        places
            .places
            .get(&slot_id)
            .filter(|place| place.attempt == attempt)
            .map(|place| (place.feed.clone(), place.stop.clone()))
            .unwrap_or_default()
    }

    /// The buyer's word for having stopped there.
    pub(super) fn stopped(&self, (slot_id, attempt): (SlotId, u16), at: Units) -> Option<Stopped> {
        let places = self.places();
        let place = places.places.get(&slot_id)?;
        let covers = |signed: &&SignedStop| signed.stop.output_max >= at;
        let stop = place
            .stops
            .iter()
            .filter(covers)
            .min_by_key(|signed| signed.stop.output_max)?;
        (place.attempt == attempt).then(|| Stopped {
            at,
            stop: stop.clone(),
        })
    }

    /// A slot is assigned to this worker. What is there from before the events were followed again stays.
    pub(super) fn expect(&self, slot_id: SlotId, attempt: u16, buyer: Address) {
        let mut places = self.places();
        if places
            .places
            .get(&slot_id)
            .is_some_and(|place| place.attempt == attempt)
        {
            return;
        }
        let place = Place {
            buyer,
            attempt,
            delivery: None,
            is_handed_in: false,
            feed: Feed::default(),
            stop: StopAt::default(),
            stops: Vec::new(),
        };
        let gone = places.places.put(slot_id, place);
        places.forget(gone);
    }

    /// The work of a slot is done.
    pub(super) fn keep(&self, slot_id: SlotId, attempt: u16, delivery: Delivery) {
        let mut places = self.places();
        let added = delivery.output.as_slice().len();
        while places.bytes.saturating_add(added) > OUTPUTS_BYTES_MAX {
            let gone = places.places.pop_oldest();
            if gone.is_none() {
                return;
            }
            places.forget(gone);
        }
        let Some(place) = places.places.get_mut(&slot_id) else {
            return;
        };
        if place.attempt != attempt {
            return;
        }
        let before = place.bytes();
        place.delivery = Some(delivery);
        places.bytes = places.bytes + added - before;
        places.save(slot_id);
    }

    /// The receipt of a slot is on the ledger.
    pub(super) fn handed_in(&self, slot_id: SlotId, attempt: u16) {
        let mut places = self.places();
        if let Some(place) = places.places.get_mut(&slot_id)
            && place.attempt == attempt
        {
            place.is_handed_in = true;
            if let Some(delivery) = &place.delivery {
                place.feed.complete(Arc::new(delivery.clone()));
            }
        }
    }

    /// A slot is done with: its output stays, if there is one.
    pub(super) fn close(&self, slot_id: SlotId) {
        let mut places = self.places();
        if let Some(place) = places.places.get(&slot_id) {
            place.feed.end();
        }
        if places
            .places
            .get(&slot_id)
            .is_some_and(|place| place.delivery.is_none())
        {
            let gone = places.places.remove(&slot_id);
            places.forget(gone);
        }
    }

    /// A slot went to another worker.
    pub(super) fn forget(&self, slot_id: SlotId) {
        let mut places = self.places();
        let gone = places.places.remove(&slot_id);
        places.forget(gone);
    }
}

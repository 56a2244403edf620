use super::{PrivateChannel, Twist};
use fairweir_types::{Digest, Event, order::SlotId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// A verifier that commits to what a worker told it, where it was told something. It computes where it was not, and what is disputed.
#[derive(Debug)]
pub struct ListeningVerifier {
    channel: Arc<PrivateChannel>,
    heard: Mutex<Heard>,
}

/// What the chain tells of the work that is open.
#[derive(Debug, Default)]
struct Heard {
    specs: BTreeMap<SlotId, Digest>,
    disputed: BTreeSet<Digest>,
}

impl ListeningVerifier {
    /// One that listens there.
    #[must_use]
    pub fn new(channel: Arc<PrivateChannel>) -> Self {
        Self {
            channel,
            heard: Mutex::default(),
        }
    }
}

impl Twist for ListeningVerifier {
    fn hear(&self, event: &Event) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ReceiptSubmitted(submitted) => {
                let spec = submitted.receipt.receipt.spec_digest;
                heard.specs.insert(submitted.slot_id, spec);
            }
            Event::Disputed(disputed) => {
                if let Some(spec) = heard.specs.get(&disputed.slot_id).copied() {
                    heard.disputed.insert(spec);
                }
            }
            Event::OrderClosed(closed) => {
                heard.specs.retain(|slot, _| slot.order != closed.order);
            }
            _ => {}
        }
    }

    fn found(&self, spec: &Digest, trace: Digest) -> Digest {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.disputed.contains(spec) {
            return trace;
        }
        self.channel.told(spec).unwrap_or(trace)
    }
}

use super::Twist;
use fairweir_ledger::{Params, sessions::draw_offsets};
use fairweir_services::session::link_due;
use fairweir_types::{
    Action, Address, Amount, ChainId, Event,
    event::{LinkDue, LinksDue},
    order::SlotId,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A verifier that is a friend of a worker. Drawn for a batch of it, it withholds its link if with it some request would be sampled.
///
/// It is told the other verifiers' secrets, as if it always revealed last: who is not last must reveal before it knows.
#[derive(Debug)]
pub struct WithheldLink {
    params: Params,
    chain_id: ChainId,
    me: Address,
    friend: Address,
    secrets: BTreeMap<Address, [u8; 32]>,
    batches: Mutex<BTreeMap<SlotId, Batch>>,
}

#[derive(Debug)]
struct Batch {
    claim: (u32, Amount),
    due: Option<LinksDue>,
}

impl WithheldLink {
    pub(crate) fn new(
        (params, chain_id): (Params, ChainId),
        (me, friend): (Address, Address),
        secrets: BTreeMap<Address, [u8; 32]>,
    ) -> Self {
        Self {
            params,
            chain_id,
            me,
            friend,
            secrets,
            batches: Mutex::new(BTreeMap::new()),
        }
    }

    fn batches(&self) -> MutexGuard<'_, BTreeMap<SlotId, Batch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something would be sampled if everybody revealed.
    fn would_be_sampled(&self, slot_id: &SlotId) -> bool {
        let batches = self.batches();
        let Some(Batch {
            claim,
            due: Some(due),
        }) = batches.get(slot_id)
        else {
            return false;
        };
        let link = |due: &LinkDue| {
            let link = link_due(&self.secrets[&due.verifier], &self.chain_id, due);
            (due.verifier, link)
        };
        let links: Vec<_> = due.links.iter().map(link).collect();
        let samples = draw_offsets(&self.params, *claim, &due.seed, &links);
        let samples = samples.expect("few requests");
        !samples.is_empty()
    }
}

impl Twist for WithheldLink {
    fn hear(&self, event: &Event) {
        match event {
            Event::BatchPosted(posted) if posted.worker == self.friend => {
                let batch = Batch {
                    claim: (posted.count, posted.root.sum),
                    due: None,
                };
                self.batches().insert(posted.slot_id, batch);
            }
            Event::LinksDue(due) if due.links.iter().any(|one| one.verifier == self.me) => {
                if let Some(batch) = self.batches().get_mut(&due.slot_id) {
                    batch.due = Some((**due).clone());
                }
            }
            _ => {}
        }
    }

    fn action(&self, action: Action) -> Option<Action> {
        match &action {
            Action::RevealLink(reveal) if self.would_be_sampled(&reveal.slot_id) => None,
            _ => Some(action),
        }
    }
}

use super::Twist;
use fairweir_ledger::{Params, sessions::draw_offsets};
use fairweir_types::{
    Action, Address, Amount, Event, event::LinkDue, order::SlotId, tx::RevealLink,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A verifier that is a friend of a worker. Asked for the link of a batch of it, it withholds it if with it something would be sampled that the two fear, and
/// without it nothing.
#[derive(Debug)]
pub struct WithheldLink {
    params: Params,
    me: Address,
    friend: Address,
    /// The first offset into what a batch costs that they fear.
    fear: Mutex<Amount>,
    batches: Mutex<BTreeMap<SlotId, Batch>>,
}

#[derive(Debug)]
struct Batch {
    claim: (u32, Amount),
    due: Option<LinkDue>,
}

impl WithheldLink {
    pub(crate) const fn new(params: Params, (me, friend): (Address, Address)) -> Self {
        Self {
            params,
            me,
            friend,
            fear: Mutex::new(Amount::ZERO),
            batches: Mutex::new(BTreeMap::new()),
        }
    }

    /// From here on only samples from this offset on are feared.
    pub(crate) fn fear_from(&self, offset: Amount) {
        *self.fear.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    fn batches(&self) -> MutexGuard<'_, BTreeMap<SlotId, Batch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something that they fear would be sampled with this link, and nothing without.
    fn is_worth_it(&self, reveal: &RevealLink) -> bool {
        let batches = self.batches();
        let Some(Batch {
            claim,
            due: Some(due),
        }) = batches.get(&reveal.slot_id)
        else {
            return false;
        };
        let fear = *self.fear.lock().unwrap_or_else(PoisonError::into_inner);
        let is_found = |link| {
            let samples = draw_offsets(&self.params, *claim, &due.seed, link);
            let samples = samples.expect("few requests");
            samples.iter().any(|sample| *sample >= fear)
        };
        is_found(Some(&reveal.link)) && !is_found(None)
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
            Event::LinkDue(due) if due.verifier == self.me => {
                if let Some(batch) = self.batches().get_mut(&due.slot_id) {
                    batch.due = Some(**due);
                }
            }
            _ => {}
        }
    }

    fn action(&self, action: Action) -> Option<Action> {
        match &action {
            Action::RevealLink(reveal) if self.is_worth_it(reveal) => None,
            _ => Some(action),
        }
    }
}

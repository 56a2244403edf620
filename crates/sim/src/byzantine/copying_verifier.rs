use super::Twist;
use fairweir_types::{Action, Digest, Event, order::SlotId};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What the chain shows of a slot before a verifier must commit, and before it must reveal.
#[derive(Clone, Copy, Debug)]
struct Shown {
    commitment: Digest,
    trace: Option<Digest>,
}

/// A verifier that does no work: it commits to the only commitment that is on the chain, the worker's, and reveals the
/// trace that the worker opened.
#[derive(Debug, Default)]
pub struct CopyingVerifier {
    slots: Mutex<BTreeMap<SlotId, Shown>>,
}

impl CopyingVerifier {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<SlotId, Shown>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Twist for CopyingVerifier {
    fn checks(&self) -> bool {
        false
    }

    fn hear(&self, event: &Event) {
        match event {
            Event::ReceiptSubmitted(submitted) => {
                let shown = Shown {
                    commitment: submitted.receipt.receipt.output_commitment,
                    trace: None,
                };
                self.slots().insert(submitted.slot_id, shown);
            }
            Event::ReceiptOpened(opened) => {
                if let Some(shown) = self.slots().get_mut(&opened.slot_id) {
                    shown.trace = Some(opened.trace);
                }
            }
            Event::OrderClosed(closed) => {
                self.slots().retain(|slot, _| slot.order != closed.order);
            }
            _ => {}
        }
    }

    fn action(&self, mut action: Action) -> Option<Action> {
        match &mut action {
            Action::CommitVerdict(commit) => {
                if let Some(shown) = self.slots().get(&commit.slot_id) {
                    commit.commitment = shown.commitment;
                }
            }
            Action::RevealVerdict(reveal) => {
                if let Some(trace) = self
                    .slots()
                    .get(&reveal.slot_id)
                    .and_then(|shown| shown.trace)
                {
                    reveal.trace = trace;
                }
            }
            _ => {}
        }
        Some(action)
    }
}

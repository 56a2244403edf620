use super::{
    Twist,
    twisted_recorder::{ForgedRecord, forged},
};
use fairweir_services::{Executed, appeal::Record};
use fairweir_types::{
    Action,
    order::{Demand, KindId},
};
use std::sync::Arc;

/// A verifier of a collusion that finds a third trace, so that it may appeal before an honest worker does, and loses on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Decoy;

impl Twist for Decoy {
    fn votes_for_its_execution(&self) -> bool {
        true
    }

    fn execution(&self, kind: KindId, executed: Executed, _: &Demand) -> Executed {
        forged(kind, executed, 2)
    }

    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        Arc::new(ForgedRecord::of(record, 2))
    }

    fn action(&self, action: Action) -> Option<Action> {
        match action {
            Action::OpenNode(_) | Action::Exhibit(_) => None,
            action => Some(action),
        }
    }
}

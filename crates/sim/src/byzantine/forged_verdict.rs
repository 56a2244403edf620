use super::{
    Twist,
    twisted_recorder::{ForgedRecord, forged},
};
use fairweir_services::{Executed, appeal::Record};
use fairweir_types::order::{Demand, KindId};
use std::sync::Arc;

/// A verifier that finds another trace than there is, together with all who cheat alike, and insists on it before the referee.
#[derive(Clone, Copy, Debug)]
pub struct ForgedVerdict;

impl Twist for ForgedVerdict {
    fn votes_for_its_execution(&self) -> bool {
        true
    }

    fn execution(&self, kind: KindId, executed: Executed, _: &Demand) -> Executed {
        forged(kind, executed, 1)
    }

    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        Arc::new(ForgedRecord::of(record, 1))
    }
}

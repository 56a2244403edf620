use super::{
    Twist,
    twisted_recorder::{ForgedRecord, forged},
};
use fairweir_services::{Executed, appeal::Record};
use fairweir_types::order::{Demand, KindId};
use std::sync::Arc;

/// A worker whose trace is not that of its computation, and who insists on it before the referee.
#[derive(Clone, Copy, Debug)]
pub struct ForgedTrace;

impl Twist for ForgedTrace {
    fn execution(&self, kind: KindId, executed: Executed, _: &Demand) -> Executed {
        forged(kind, executed, 1)
    }

    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        Arc::new(ForgedRecord::of(record, 1))
    }
}

use super::{
    Twist,
    twisted_recorder::{CopiedRecord, forged},
};
use fairweir_services::{Executed, appeal::Record};
use fairweir_types::order::{Demand, KindId};
use std::sync::Arc;

/// A verifier that finds another trace than there is, and before the referee shows the run that the other side has, so that the runs are equal.
#[derive(Clone, Copy, Debug)]
pub struct CopiedRun;

impl Twist for CopiedRun {
    fn votes_for_its_execution(&self) -> bool {
        true
    }

    fn execution(&self, kind: KindId, executed: Executed, _: &Demand) -> Executed {
        forged(kind, executed, 1)
    }

    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        Arc::new(CopiedRecord(record))
    }
}

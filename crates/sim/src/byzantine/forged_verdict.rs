use super::{Twist, twisted_recorder::ForgedRecord};
use fairweir_services::appeal::Record;
use fairweir_types::Digest;
use std::sync::Arc;

/// A verifier that finds another trace than there is, together with all who cheat alike, and insists on it before the referee.
#[derive(Clone, Copy, Debug)]
pub struct ForgedVerdict;

impl Twist for ForgedVerdict {
    fn trace(&self, mut trace: Digest) -> Digest {
        trace.0[0] ^= 1;
        trace
    }

    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        Arc::new(ForgedRecord::of(record))
    }
}

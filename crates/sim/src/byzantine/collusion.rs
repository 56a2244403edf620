use super::{PrivateChannel, Twist, WrongOutput};
use fairweir_services::Executed;
use fairweir_types::{
    Digest,
    order::{Demand, KindId},
};
use std::sync::Arc;

/// A worker that forges its output, and tells verifiers its trace in private.
#[derive(Debug, Default)]
pub struct Collusion(pub Arc<PrivateChannel>);

/// The verifier's half of a [`Collusion`]: it commits to what it is told, as if it had computed it.
#[derive(Debug)]
pub struct ColludingVerifier(pub Arc<PrivateChannel>);

impl Twist for Collusion {
    fn execution(&self, kind: KindId, executed: Executed, demand: &Demand) -> Executed {
        WrongOutput.execution(kind, executed, demand)
    }

    fn made(&self, spec: &Digest, executed: &Executed) {
        // Who is told nothing computes.
        let _ = self.0.tell(*spec, executed.trace(spec));
    }
}

impl Twist for ColludingVerifier {
    fn found(&self, spec: &Digest, trace: Digest) -> Digest {
        self.0.told(spec).unwrap_or(trace)
    }
}

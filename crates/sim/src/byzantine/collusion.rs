use super::{Twist, WrongOutput};
use fairweir_services::Executed;
use fairweir_types::{
    Digest,
    order::{Demand, KindId},
};
use std::sync::{Mutex, PoisonError};

/// A worker that forges its output, and verifiers that it tells its trace in private: each of them commits to that, as if it had
/// computed it. Share one among them all.
#[derive(Debug, Default)]
pub struct Collusion {
    executed: Mutex<Vec<Executed>>,
}

/// The verifier's half of a [`Collusion`].
#[derive(Debug)]
pub struct ColludingVerifier(pub std::sync::Arc<Collusion>);

impl Twist for Collusion {
    fn execution(&self, kind: KindId, executed: Executed, demand: &Demand) -> Executed {
        let executed = WrongOutput.execution(kind, executed, demand);
        let mut told = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(executed.clone());
        executed
    }
}

impl Twist for ColludingVerifier {
    fn found(&self, spec: &Digest, trace: Digest) -> Digest {
        let told = self.0.executed.lock();
        let told = told.unwrap_or_else(PoisonError::into_inner);
        told.last().map_or(trace, |executed| executed.trace(spec))
    }
}

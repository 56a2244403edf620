//! The verifier of kinds whose work gives the same bytes on every machine: do it again and compare.

use crate::{
    codec::record,
    contract::{Claim, ExecuteError, Executor, Fault, Judgement, Kind, Verifier},
    world::{Discard, Env},
};
use commonware_codec::Encode;
use fairweir_types::{Digest, order::UnitVector, receipt::trace};

/// Refuses an output that is longer than its spec's demand says.
///
/// # Errors
/// [`ExecuteError::OutputTooLarge`], which every honest machine comes to.
pub(crate) fn check_length<K: Kind>(spec: &K::Spec, found: usize) -> Result<(), ExecuteError> {
    let max = usize::try_from(K::demand(spec)?.bytes_out_max.get()).unwrap_or(usize::MAX);
    if found > max {
        return Err(ExecuteError::OutputTooLarge { max, found });
    }
    Ok(())
}

/// Runs the executor again and compares traces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recompute<X>(pub X);

/// What running the work again gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// The trace.
    pub trace: Digest,
    /// The units, which the trace commits to as well.
    pub units: UnitVector,
}
record!(Recomputed { trace, units });

impl<K: Kind, X: Executor<K>> Verifier<K> for Recompute<X> {
    type Evidence = Recomputed;

    async fn collect(
        &self,
        env: &Env<'_>,
        spec: &K::Spec,
        spec_digest: &Digest,
    ) -> Result<Recomputed, ExecuteError> {
        let execution = self.0.execute(env, spec, &mut Discard).await?;
        let encoded = execution.output.encode();
        // As the worker did: an output that is too long is refused by both, or by neither.
        check_length::<K>(spec, encoded.len())?;
        let output = Digest::of_blob(&encoded);
        Ok(Recomputed {
            trace: trace(spec_digest, &output, &execution.units),
            units: execution.units,
        })
    }

    fn trace(&self, evidence: &Recomputed) -> Digest {
        evidence.trace
    }

    fn units(&self, evidence: &Recomputed) -> UnitVector {
        evidence.units
    }

    fn judge(&self, claim: &Claim, evidence: &Recomputed) -> Judgement {
        if claim.receipt.units != evidence.units {
            return Judgement::Invalid(Fault::UnitsDiffer);
        }
        if claim.trace != evidence.trace {
            return Judgement::Invalid(Fault::TraceDiffers);
        }
        Judgement::Valid
    }
}

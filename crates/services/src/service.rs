//! The bundle of a kind's parts, and its erasure: bytes in, bytes out.

use crate::{
    appeal::Recorder,
    contract::{
        AppraiseError, Appraiser, Assignment, Claim, ExecuteError, Executor, Fault, Judgement,
        Kind, SpecError, Verifier,
    },
    recompute::check_length,
    world::{Env, Outlet},
};
use commonware_codec::Encode;
use core::{fmt::Debug, marker::PhantomData};
use fairweir_types::{
    Amount, Digest, Receipt, Units, decode,
    digest::Domain,
    order::{Demand, KindId, OrderHeader, PriceVector, UnitVector},
    receipt::trace,
};
use futures::{FutureExt, future::BoxFuture};
use std::sync::Arc;

/// An execution with its output encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Executed {
    /// The encoded output; empty if the order is refused.
    pub output: Vec<u8>,
    /// Metered units.
    pub units: UnitVector,
    /// Where it stopped because the buyer wanted no more.
    pub stopped_at: Option<Units>,
    /// What makes a check cheaper.
    pub hint: Vec<u8>,
}

impl Executed {
    /// The one right answer to an order that the kind refuses: no output, no units.
    #[must_use]
    pub fn refusal() -> Self {
        Self {
            output: Vec::new(),
            units: UnitVector::default(),
            stopped_at: None,
            hint: Vec::new(),
        }
    }

    /// The trace of this execution.
    #[must_use]
    pub fn trace(&self, spec_digest: &Digest) -> Digest {
        trace(spec_digest, &Digest::of_blob(&self.output), &self.units)
    }
}

impl Debug for Executed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes for {:?}", self.output.len(), self.units)
    }
}

/// What a check rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The spec could not be had.
    Withheld,
    /// The order must be refused.
    Refused,
    /// The encoded evidence of the kind's verifier.
    Collected(Vec<u8>),
}

/// A service of any kind: what the registry holds.
pub trait AnyService: Debug + Send + Sync + 'static {
    /// [`Kind::ID`].
    fn id(&self) -> KindId;

    /// [`Kind::VERSION`].
    fn version(&self) -> u16;

    /// [`Kind::NAME`].
    fn name(&self) -> &'static str;

    /// See [`Kind::HOLDS_AT_CREDIT`].
    fn holds_at_credit(&self) -> bool;

    /// What an encoded spec needs at most.
    ///
    /// # Errors
    /// [`SpecError`].
    fn demand(&self, spec: &[u8]) -> Result<Demand, SpecError>;

    /// Executes an encoded spec; refuses it before any work if [`AnyService::demand`] does.
    fn execute<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
        outlet: &'a mut dyn Outlet,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>>;

    /// Gathers what a check rests on. A refusal is evidence, not an error.
    fn collect<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
    ) -> BoxFuture<'a, Result<Evidence, ExecuteError>>;

    /// The trace that a drawn verifier commits to for a receipt. If the receipt charges other units than the work takes,
    /// it is one that all honest verifiers share but that the worker cannot have committed to.
    ///
    /// `None` if there is no evidence.
    fn trace(&self, receipt: &Receipt, evidence: &Evidence) -> Option<Digest>;

    /// Judges a claim. Pure: equal arguments give equal answers on every machine.
    fn judge(&self, assignment: &Assignment, claim: &Claim, evidence: &Evidence) -> Judgement;

    /// What the receipt's units cost.
    ///
    /// # Errors
    /// [`AppraiseError`].
    fn appraise(
        &self,
        receipt: &Receipt,
        demand: &Demand,
        prices: &PriceVector,
    ) -> Result<Amount, AppraiseError>;

    /// What writes runs down, if the kind has a referee.
    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        None
    }
}

impl dyn AnyService {
    /// Checks a spec against its order: stated length, kind's limits, allowed demand.
    ///
    /// # Errors
    /// [`SpecError`]: then the right answer is [`Executed::refusal`].
    pub fn admit(&self, header: &OrderHeader, spec: &[u8]) -> Result<Demand, SpecError> {
        self.admit_demand(&header.demand, spec)
    }

    /// As `admit`, for a request that has a demand but no header.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn admit_demand(&self, allowed: &Demand, spec: &[u8]) -> Result<Demand, SpecError> {
        check_demand(allowed, spec.len(), || self.demand(spec))
    }
}

/// Checks what a spec of this length needs against what its order allows.
///
/// # Errors
/// [`SpecError`].
pub(crate) fn check_demand(
    allowed: &Demand,
    length: usize,
    needed: impl FnOnce() -> Result<Demand, SpecError>,
) -> Result<Demand, SpecError> {
    let found = u64::try_from(length).unwrap_or(u64::MAX);
    if allowed.bytes_in.get() != found {
        return Err(SpecError::LengthDiffers {
            stated: allowed.bytes_in.get(),
            found,
        });
    }
    let needed = needed()?;
    let missing = [
        ("units", needed.units.within(&allowed.units)),
        (
            "output bytes",
            needed.bytes_out_max <= allowed.bytes_out_max,
        ),
        ("memory", needed.memory_max <= allowed.memory_max),
        ("time", needed.execution_max <= allowed.execution_max),
    ]
    .into_iter()
    .find_map(|(what, enough)| (!enough).then_some(what));
    match missing {
        Some(what) => Err(SpecError::AboveDemand { what }),
        None => Ok(needed),
    }
}

/// A kind with the parts that run it.
#[derive(Clone, Debug)]
pub struct Service<K, X, V, A> {
    executor: X,
    verifier: V,
    appraiser: A,
    recorder: Option<Arc<dyn Recorder>>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind, X: Executor<K>, V: Verifier<K>, A: Appraiser<K>> Service<K, X, V, A> {
    /// Bundles the parts.
    pub const fn new(executor: X, verifier: V, appraiser: A) -> Self {
        Self {
            executor,
            verifier,
            appraiser,
            recorder: None,
            kind: PhantomData,
        }
    }

    /// The same for a kind with a referee.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    fn spec(bytes: &[u8]) -> Result<(K::Spec, Demand), SpecError> {
        if bytes.len() > K::SPEC_BYTES_MAX {
            return Err(SpecError::TooLarge {
                max: K::SPEC_BYTES_MAX,
                found: bytes.len(),
            });
        }
        let spec: K::Spec = decode(bytes).map_err(SpecError::Malformed)?;
        let demand = K::demand(&spec)?;
        Ok((spec, demand))
    }

    async fn execute_typed(
        &self,
        env: &Env<'_>,
        bytes: &[u8],
        outlet: &mut dyn Outlet,
    ) -> Result<Executed, ExecuteError> {
        let (spec, demand) = Self::spec(bytes)?;
        let execution = self.executor.execute(env, &spec, outlet).await?;
        let output = execution.output.encode().to_vec();
        check_length::<K>(&spec, output.len())?;
        if !execution.units.within(&demand.units) {
            return Err(ExecuteError::Engine(
                "it metered more units than the demand allows".to_owned(),
            ));
        }
        Ok(Executed {
            output,
            units: execution.units,
            stopped_at: execution.stopped_at,
            hint: execution.hint,
        })
    }

    async fn collect_typed(&self, env: &Env<'_>, bytes: &[u8]) -> Result<Evidence, ExecuteError> {
        let spec = match Self::spec(bytes) {
            Ok((spec, _)) => spec,
            Err(_) => return Ok(Evidence::Refused),
        };
        match self
            .verifier
            .collect(env, &spec, &Digest::of_blob(bytes))
            .await
        {
            Ok(evidence) => Ok(Evidence::Collected(evidence.encode().to_vec())),
            Err(error) if error.is_refusal() => Ok(Evidence::Refused),
            Err(error) => Err(error),
        }
    }
}

/// The trace that honest verifiers commit to for a receipt, where the work gives this trace and takes so many units.
#[must_use]
pub fn trace_for(receipt: &Receipt, right: &Digest, units: &UnitVector) -> Digest {
    if receipt.units == *units {
        *right
    } else {
        trace_of_wrong_units(right, receipt)
    }
}

/// What honest verifiers commit to when a receipt charges other units than the work takes. It hashes the receipt's
/// commitment, so to commit to it a worker would have to find `c = H(salt ‖ H(… ‖ c))`.
fn trace_of_wrong_units(right: &Digest, receipt: &Receipt) -> Digest {
    Digest::of(
        Domain::Trace,
        &[
            b"units differ",
            right.as_bytes(),
            receipt.output_commitment.as_bytes(),
        ],
    )
}

impl<K: Kind, X: Executor<K>, V: Verifier<K>, A: Appraiser<K>> AnyService for Service<K, X, V, A> {
    fn id(&self) -> KindId {
        K::ID
    }

    fn version(&self) -> u16 {
        K::VERSION
    }

    fn name(&self) -> &'static str {
        K::NAME
    }

    fn holds_at_credit(&self) -> bool {
        K::HOLDS_AT_CREDIT
    }

    fn demand(&self, spec: &[u8]) -> Result<Demand, SpecError> {
        Self::spec(spec).map(|(_, demand)| demand)
    }

    fn execute<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
        outlet: &'a mut dyn Outlet,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        self.execute_typed(env, spec, outlet).boxed()
    }

    fn collect<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
    ) -> BoxFuture<'a, Result<Evidence, ExecuteError>> {
        self.collect_typed(env, spec).boxed()
    }

    fn trace(&self, receipt: &Receipt, evidence: &Evidence) -> Option<Digest> {
        let (right, units) = match evidence {
            Evidence::Withheld => return None,
            Evidence::Refused => {
                let refusal = Executed::refusal();
                (refusal.trace(&receipt.spec_digest), refusal.units)
            }
            Evidence::Collected(bytes) => {
                let evidence: V::Evidence = decode(bytes).ok()?;
                (
                    self.verifier.trace(&evidence),
                    self.verifier.units(&evidence),
                )
            }
        };
        Some(trace_for(receipt, &right, &units))
    }

    fn judge(&self, assignment: &Assignment, claim: &Claim, evidence: &Evidence) -> Judgement {
        if let Some(fault) = claim.fault(assignment) {
            return Judgement::Invalid(fault);
        }
        match evidence {
            Evidence::Withheld => Judgement::Inconclusive,
            Evidence::Refused => {
                let refusal = Executed::refusal();
                if claim.receipt.units != refusal.units {
                    Judgement::Invalid(Fault::UnitsDiffer)
                } else if claim.trace != refusal.trace(&assignment.spec_digest) {
                    Judgement::Invalid(Fault::TraceDiffers)
                } else {
                    Judgement::Valid
                }
            }
            Evidence::Collected(bytes) => match decode::<V::Evidence>(bytes) {
                Ok(evidence) => self.verifier.judge(claim, &evidence),
                Err(_) => Judgement::Inconclusive,
            },
        }
    }

    fn appraise(
        &self,
        receipt: &Receipt,
        demand: &Demand,
        prices: &PriceVector,
    ) -> Result<Amount, AppraiseError> {
        self.appraiser.appraise(receipt, demand, prices)
    }

    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        self.recorder.clone()
    }
}

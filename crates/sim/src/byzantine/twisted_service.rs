use super::{Twist, twisted_recorder::TwistedRecorder};
use commonware_codec::Encode as _;
use fairweir_services::{
    AnyService, Assignment, Claim, Discard, Env, Evidence, ExecuteError, Executed, Judgement,
    Outlet, Recomputed, SpecError, appeal::Recorder, contract::AppraiseError,
};
use fairweir_types::{
    Amount, Digest, Receipt,
    order::{Demand, KindId, PriceVector},
};
use futures::{FutureExt as _, future::BoxFuture};
use std::sync::Arc;

/// A service whose executions and traces are twisted.
#[derive(Debug)]
pub struct TwistedService {
    honest: Arc<dyn AnyService>,
    /// What runs its own work: the same, or the kind with models of its own.
    worker: Arc<dyn AnyService>,
    twist: Arc<dyn Twist>,
}

impl TwistedService {
    /// Wraps an honest service, and the one that runs its own work.
    #[must_use]
    pub const fn new(
        honest: Arc<dyn AnyService>,
        worker: Arc<dyn AnyService>,
        twist: Arc<dyn Twist>,
    ) -> Self {
        Self {
            honest,
            worker,
            twist,
        }
    }
}

impl TwistedService {
    async fn collect_forged(&self, env: &Env<'_>, spec: &[u8]) -> Result<Evidence, ExecuteError> {
        match self.execute(env, spec, &mut Discard).await {
            Ok(executed) => {
                let found = Recomputed {
                    trace: executed.trace(&Digest::of_blob(spec)),
                    units: executed.units,
                };
                Ok(Evidence::Collected(found.encode().to_vec()))
            }
            Err(error) if error.is_refusal() => Ok(Evidence::Refused),
            Err(error) => Err(error),
        }
    }
}

impl AnyService for TwistedService {
    fn id(&self) -> KindId {
        self.honest.id()
    }

    fn version(&self) -> u16 {
        self.honest.version()
    }

    fn name(&self) -> &'static str {
        self.honest.name()
    }

    fn holds_at_credit(&self) -> bool {
        self.honest.holds_at_credit()
    }

    fn demand(&self, spec: &[u8]) -> Result<Demand, SpecError> {
        self.honest.demand(spec)
    }

    fn execute<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
        outlet: &'a mut dyn Outlet,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        async move {
            let kind = self.id();
            let other = self.twist.spec(kind, spec);
            let run = other.as_deref().unwrap_or(spec);
            let executed = self.worker.execute(env, run, outlet).await?;
            let executed = self.twist.execution(kind, executed, env.limits);
            self.twist.made(&Digest::of_blob(spec), &executed);
            Ok(executed)
        }
        .boxed()
    }

    fn collect<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
    ) -> BoxFuture<'a, Result<Evidence, ExecuteError>> {
        if self.twist.votes_for_its_execution() {
            self.collect_forged(env, spec).boxed()
        } else if self.twist.checks() {
            self.honest.collect(env, spec)
        } else {
            std::future::ready(Ok(Evidence::Refused)).boxed()
        }
    }

    fn trace(&self, receipt: &Receipt, evidence: &Evidence) -> Option<Digest> {
        self.honest
            .trace(receipt, evidence)
            .map(|trace| self.twist.found(&receipt.spec_digest, trace))
    }

    fn judge(&self, assignment: &Assignment, claim: &Claim, evidence: &Evidence) -> Judgement {
        self.honest.judge(assignment, claim, evidence)
    }

    fn appraise(
        &self,
        receipt: &Receipt,
        demand: &Demand,
        prices: &PriceVector,
    ) -> Result<Amount, AppraiseError> {
        self.honest.appraise(receipt, demand, prices)
    }

    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        let honest = self.honest.recorder()?;
        let twist = Arc::clone(&self.twist);
        Some(Arc::new(TwistedRecorder { honest, twist }))
    }
}

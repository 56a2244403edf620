//! What a role is to the driver: decisions without waiting.

use super::{Tools, memory::PostedOrder};
use crate::{AnyService, BlobError, contract::ExecuteError};
use fairweir_types::{
    Action, Event, Height, Millis, TxOutcome, limits::BLOB_BYTES_MAX, order::OrderId,
};
use std::{fmt::Debug, future::Future, sync::Arc};
use thiserror::Error;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Receipt,
    Opening,
    Commitment,
    Reveal,
    Link,
    Sharing,
    Appeal,
}

/// Something to do that takes time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<J> {
    /// Run or check the work.
    Work {
        job: J,
        order: Arc<PostedOrder>,
        within: Millis,
    },
    /// Submit a transaction.
    Submit {
        job: J,
        stage: Stage,
        action: Box<Action>,
    },
}

/// Why work gave nothing.
#[derive(Debug, Error)]
pub(super) enum WorkError {
    /// This program does not know the kind, or not in this version.
    #[error("no service of kind {0} in version {1} here")]
    NoService(fairweir_types::order::KindId, u16),
    /// The spec could not be had.
    #[error("the spec could not be had")]
    Spec(#[from] BlobError),
    /// The spec of an order could not be had for long.
    #[error("the spec is not found")]
    NoSpec(#[source] BlobError),
    /// The execution failed.
    #[error("the execution failed")]
    Execute(#[from] ExecuteError),
    /// It stopped because nobody waits for it any more.
    #[error("nobody waits for it any more")]
    NotWanted,
    /// The time was up.
    #[error("not done within {} ms", .0.get())]
    Late(Millis),
}

impl WorkError {
    pub(super) const fn is_retryable(&self) -> bool {
        match self {
            Self::Spec(error) | Self::NoSpec(error) => error.is_retryable(),
            Self::Execute(error) => error.is_retryable(),
            Self::NoService(..) | Self::NotWanted | Self::Late(_) => false,
        }
    }
}

/// A role: events and results in, steps out.
pub(super) trait Role: Send {
    /// What it works on.
    type Job: Copy + Ord + Debug + Send + Sync + 'static;
    /// What its work gives.
    type Product: Send + 'static;
    /// What its work needs of it.
    type Gear: Debug + Send + Sync + 'static;

    /// The order that must be known to decide on an event, but is not.
    fn misses(&self, event: &Event) -> Option<OrderId>;

    /// What an event of the chain asks for.
    fn decide(&mut self, height: Height, event: &Event) -> Vec<Step<Self::Job>>;

    /// Whether a step that waits is still worth starting.
    fn wants(&self, step: &Step<Self::Job>) -> bool;

    /// What the work of a job needs of the role while it runs.
    fn gear(&self, job: Self::Job) -> Self::Gear;

    /// Does the work of an order.
    fn work(
        tools: &Tools,
        order: &PostedOrder,
        gear: &Self::Gear,
    ) -> impl Future<Output = Result<Self::Product, WorkError>> + Send;

    /// What the result of work asks for.
    fn worked(
        &mut self,
        job: Self::Job,
        result: Result<Self::Product, WorkError>,
    ) -> Vec<Step<Self::Job>>;

    /// What the outcome of a transaction asks for; `None` if it could not be submitted.
    fn submitted(
        &mut self,
        job: Self::Job,
        stage: Stage,
        outcome: Option<&TxOutcome>,
    ) -> Vec<Step<Self::Job>>;

    /// The height of the oldest event that it would need again after a restart.
    fn oldest(&self) -> Option<Height>;
}

/// An order ready to be run: its service and its spec, or the knowledge that it must be refused.
pub(super) struct Ready {
    pub(super) service: Arc<dyn AnyService>,
    pub(super) spec: Vec<u8>,
    pub(super) is_refused: bool,
}

/// Fetches the spec of an order and checks it against the order.
pub(super) async fn ready(tools: &Tools, order: &PostedOrder) -> Result<Ready, WorkError> {
    let header = &order.header;
    let service = tools
        .registry
        .get(header.kind, header.version)
        .ok_or(WorkError::NoService(header.kind, header.version))?;
    let spec = match &header.spec_inline {
        // The ledger checked its digest.
        Some(spec) => spec.as_slice().to_vec(),
        None => tools.blobs.get(header.spec_digest, BLOB_BYTES_MAX).await?,
    };
    let found = fairweir_types::Digest::of_blob(&spec);
    if found != header.spec_digest {
        return Err(WorkError::Spec(BlobError::DigestDiffers {
            expected: header.spec_digest,
            found,
        }));
    }
    let is_refused = match service.admit(header, &spec) {
        Ok(_) => false,
        Err(error) => {
            tracing::info!(kind = %header.kind, spec = %header.spec_digest, %error, "order refused");
            true
        }
    };
    Ok(Ready {
        service: Arc::clone(service),
        spec,
        is_refused,
    })
}

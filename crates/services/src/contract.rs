//! What a kind of service must provide: a [`Kind`] (what is bought), an [`Executor`] (does it), a [`Verifier`] (checks
//! it) and an [`Appraiser`] (says what it was worth).
//!
//! Only [`Verifier::judge`] and [`Verifier::trace`] can cost anyone money, so only they must be reproducible: they are
//! pure functions of words that have an encoding.

use crate::{
    AnyService, BlobError,
    world::{Env, Outlet, OutletClosed},
};
use commonware_codec::{Encode, Read};
use core::fmt::Debug;
use fairweir_types::{
    Address, Amount, AmountError, ChainId, Digest, Receipt, Units,
    node_api::Delivery,
    order::{Demand, KindId, PriceVector, SlotId, UnitVector},
    receipt::{Salt, trace},
    session::SignedRequest,
};
use std::{future::Future, sync::Arc};
use thiserror::Error;

/// A value with a canonical encoding that carries its own limits.
pub trait Words:
    Encode + Read<Cfg = ()> + Clone + Debug + PartialEq + Send + Sync + 'static
{
}

impl<T: Encode + Read<Cfg = ()> + Clone + Debug + PartialEq + Send + Sync + 'static> Words for T {}

/// Why a spec is refused before any work. Equal specs are refused by every honest worker and verifier alike.
#[derive(Debug, Error)]
pub enum SpecError {
    /// The spec is longer than the kind takes.
    #[error("a spec of {found} bytes exceeds the limit of {max}")]
    TooLarge {
        /// The kind's limit.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// The bytes are no spec of this kind.
    #[error("malformed spec")]
    Malformed(#[source] commonware_codec::Error),
    /// The spec was made for another version of the engine, whose output may differ.
    #[error("the spec is for engine version {found}, this is {ours}")]
    Version {
        /// The version here.
        ours: u16,
        /// The version asked for.
        found: u16,
    },
    /// The spec says what cannot be done, on any machine.
    #[error("the spec cannot be done: {0}")]
    Refused(String),
    /// The order states another length of the spec.
    #[error("the order states a spec of {stated} bytes, it has {found}")]
    LengthDiffers {
        /// What the order states.
        stated: u64,
        /// Bytes found.
        found: u64,
    },
    /// The order allows less than the spec needs.
    #[error("the spec needs more than the order allows: {what}")]
    AboveDemand {
        /// Which part of the demand.
        what: &'static str,
    },
}

/// What is bought.
pub trait Kind: Debug + Send + Sync + Sized + 'static {
    /// The number that the ledger knows the kind by.
    const ID: KindId;
    /// The version of its rules: raise it with any change that lets a spec, an output, a metering or a check differ from what another program
    /// of the same version would give. The catalogue of the chain says which version is in force.
    const VERSION: u16;
    /// The name that people know it by: lower case, one word.
    const NAME: &'static str;
    /// Whether an execution waits where its output is not paid for further ([`crate::StopAt::holds`]).
    const HOLDS_AT_CREDIT: bool = false;
    /// Bytes of an encoded spec at most; longer ones are refused before they are decoded.
    const SPEC_BYTES_MAX: usize;
    /// What the buyer asks.
    type Spec: Words;
    /// What the worker delivers.
    type Output: Words;

    /// What the work needs at most: pure, and for a larger spec never less.
    ///
    /// # Errors
    /// [`SpecError`] when no worker should take it.
    fn demand(spec: &Self::Spec) -> Result<Demand, SpecError>;
}

/// A kind that this crate can run.
pub trait Served: Kind {
    /// The kind with its executor, verifier and appraiser, for the registry.
    fn service() -> Arc<dyn AnyService>;
}

/// What came of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution<O> {
    /// The output.
    pub output: O,
    /// Metered units, within the spec's demand.
    pub units: UnitVector,
    /// Output units after which it stopped because the buyer wanted no more; `None` if it came to its own end.
    pub stopped_at: Option<Units>,
    /// What makes a check cheaper. Public before verifiers commit: the trace must not follow from it.
    pub hint: Vec<u8>,
}

impl<O> Execution<O> {
    /// An execution that came to its end and has no hint.
    #[must_use]
    pub const fn whole(output: O, units: UnitVector) -> Self {
        Self {
            output,
            units,
            stopped_at: None,
            hint: Vec::new(),
        }
    }
}

/// Why an execution gave no output.
#[derive(Debug, Error)]
pub enum ExecuteError {
    /// The spec is refused.
    #[error("the spec is refused")]
    Refused(#[from] SpecError),
    /// The output would be longer than the spec's demand says.
    #[error("the output of {found} bytes exceeds the limit of {max}")]
    OutputTooLarge {
        /// The limit.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// A blob is missing.
    #[error("a blob that the work needs could not be had")]
    Blob(#[from] BlobError),
    /// Nobody takes the output.
    #[error(transparent)]
    Outlet(#[from] OutletClosed),
    /// The engine failed on this machine.
    #[error("the engine failed: {0}")]
    Engine(String),
}

impl ExecuteError {
    /// Whether every honest executor comes to the same refusal: then "no output, no units" is the right answer.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::OutputTooLarge { .. })
    }

    /// Whether trying again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Blob(error) => error.is_retryable(),
            Self::Engine(_) => true,
            Self::Refused(_) | Self::OutputTooLarge { .. } | Self::Outlet(_) => false,
        }
    }
}

/// Does the work.
pub trait Executor<K: Kind>: Debug + Send + Sync + 'static {
    /// Executes a spec whose [`Kind::demand`] was accepted; chunks go to the outlet as they come.
    ///
    /// Cancel-safe: dropping the future leaves no file, process, task or lock. The caller keeps the deadline.
    ///
    /// # Errors
    /// [`ExecuteError`].
    fn execute(
        &self,
        env: &Env<'_>,
        spec: &K::Spec,
        outlet: &mut dyn Outlet,
    ) -> impl Future<Output = Result<Execution<K::Output>, ExecuteError>> + Send;
}

/// What a slot was to be: what a receipt is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The chain.
    pub chain_id: ChainId,
    /// The slot.
    pub slot_id: SlotId,
    /// Which assignment of the slot.
    pub attempt: u16,
    /// The kind.
    pub kind: KindId,
    /// The version of the kind.
    pub version: u16,
    /// The digest of the spec.
    pub spec_digest: Digest,
    /// What the order allows at most.
    pub demand: Demand,
}

impl Assignment {
    /// A request of a lane whose requests follow this version of their kind.
    #[must_use]
    pub fn of_request(signed: &SignedRequest, version: u16) -> Self {
        let request = &signed.request;
        Self {
            chain_id: request.chain_id.clone(),
            slot_id: signed.slot_id(),
            attempt: 0,
            kind: request.kind,
            version,
            spec_digest: request.spec_digest,
            demand: request.demand,
        }
    }
}

/// What a worker says it did, once it has opened its commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The receipt.
    pub receipt: Receipt,
    /// The worker that signed it.
    pub worker: Address,
    /// The salt of its commitment.
    pub salt: Salt,
    /// The trace that it opened.
    pub trace: Digest,
}

impl Claim {
    /// What a worker claims with a delivery: its trace follows from the output.
    #[must_use]
    pub fn of_delivery(delivery: &Delivery) -> Self {
        let receipt = delivery.receipt.receipt.clone();
        let output = Digest::of_blob(delivery.output.as_slice());
        Self {
            trace: trace(&receipt.spec_digest, &output, &receipt.units),
            worker: delivery.receipt.worker.address(),
            salt: delivery.salt,
            receipt,
        }
    }

    /// What is wrong with a claim whatever the work is, if anything.
    #[must_use]
    pub fn fault(&self, assignment: &Assignment) -> Option<Fault> {
        let receipt = &self.receipt;
        let difference = [
            ("chain id", receipt.chain_id == assignment.chain_id),
            ("slot", receipt.slot_id == assignment.slot_id),
            ("assignment number", receipt.attempt == assignment.attempt),
            ("kind", receipt.kind == assignment.kind),
            ("version", receipt.version == assignment.version),
            ("spec digest", receipt.spec_digest == assignment.spec_digest),
        ]
        .into_iter()
        .find_map(|(field, same)| (!same).then_some(field));
        if let Some(field) = difference {
            return Some(Fault::OtherWork { field });
        }
        if !receipt.units.within(&assignment.demand.units) {
            return Some(Fault::UnitsAboveDemand);
        }
        (!receipt.is_opened_by(self.worker, &self.salt, &self.trace)).then_some(Fault::DoesNotOpen)
    }
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The receipt is for other work.
    #[error("the receipt is for other work: its {field} differs")]
    OtherWork {
        /// The first field that differs.
        field: &'static str,
    },
    /// It charges more units than the order allows.
    #[error("the receipt charges more units than the order allows")]
    UnitsAboveDemand,
    /// Salt and trace do not open the commitment.
    #[error("salt and trace do not open the receipt's commitment")]
    DoesNotOpen,
    /// It charges other units than the work takes.
    #[error("the receipt charges other units than the work takes")]
    UnitsDiffer,
    /// The output is wrong.
    #[error("the output is not that of the work")]
    TraceDiffers,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The claim is right.
    Valid,
    /// The claim is wrong.
    Invalid(Fault),
    /// It cannot be said.
    Inconclusive,
}

/// Checks the work.
pub trait Verifier<K: Kind>: Debug + Send + Sync + 'static {
    /// What a check rests on.
    type Evidence: Words;

    /// Gathers the evidence: the only part that does I/O or heavy work. Cancel-safe like [`Executor::execute`].
    ///
    /// # Errors
    /// [`ExecuteError`].
    fn collect(
        &self,
        env: &Env<'_>,
        spec: &K::Spec,
        spec_digest: &Digest,
    ) -> impl Future<Output = Result<Self::Evidence, ExecuteError>> + Send;

    /// The trace that the evidence supports: what a drawn verifier commits to before the worker opens.
    fn trace(&self, evidence: &Self::Evidence) -> Digest;

    /// The units that the evidence supports.
    fn units(&self, evidence: &Self::Evidence) -> UnitVector;

    /// Judges a claim that [`Claim::fault`] has nothing against.
    fn judge(&self, claim: &Claim, evidence: &Self::Evidence) -> Judgement;
}

/// Why a receipt has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppraiseError {
    /// It charges more units than the order allows.
    #[error("the receipt charges more units than the order allows")]
    UnitsAboveDemand,
    /// The price is above the supply cap.
    #[error("the price is out of range")]
    OutOfRange(#[source] AmountError),
}

/// Says what valid work is worth. The ledger moves the money.
pub trait Appraiser<K: Kind>: Debug + Send + Sync + 'static {
    /// The price of a receipt's units.
    ///
    /// # Errors
    /// [`AppraiseError`].
    fn appraise(
        &self,
        receipt: &Receipt,
        demand: &Demand,
        prices: &PriceVector,
    ) -> Result<Amount, AppraiseError>;
}

/// Units × price: what the ledger's settlement pays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metered;

impl<K: Kind> Appraiser<K> for Metered {
    fn appraise(
        &self,
        receipt: &Receipt,
        demand: &Demand,
        prices: &PriceVector,
    ) -> Result<Amount, AppraiseError> {
        if !receipt.units.within(&demand.units) {
            return Err(AppraiseError::UnitsAboveDemand);
        }
        prices
            .quote(&receipt.units)
            .map_err(AppraiseError::OutOfRange)
    }
}

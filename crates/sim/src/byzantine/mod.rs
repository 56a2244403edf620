//! Cheats: one behaviour per file. Each is a [`Twist`] around the real parts of a role, which are never changed.

mod copying_verifier;
mod inflated_units;
mod lying_verifier;
mod silent_verifier;
mod twisted_chain;
mod twisted_service;
mod withheld_opening;
mod withheld_receipt;
mod wrong_output;

pub use copying_verifier::CopyingVerifier;
pub use inflated_units::InflatedUnits;
pub use lying_verifier::LyingVerifier;
pub use silent_verifier::SilentVerifier;
pub use twisted_chain::TwistedChain;
pub use twisted_service::TwistedService;
pub use withheld_opening::WithheldOpening;
pub use withheld_receipt::WithheldReceipt;
pub use wrong_output::WrongOutput;

use core::{fmt::Debug, str::FromStr};
use fairweir_services::{AnyService, Executed, Registry};
use fairweir_types::{Action, Digest, Event, order::Demand};
use std::sync::Arc;
use thiserror::Error;

/// What a cheat does differently. What it leaves out stays honest.
pub trait Twist: Debug + Send + Sync + 'static {
    /// What becomes of an execution of its own.
    fn execution(&self, executed: Executed, _demand: &Demand) -> Executed {
        executed
    }

    /// Whether it re-executes what it is drawn to check.
    fn checks(&self) -> bool {
        true
    }

    /// What becomes of the trace that it found as a verifier.
    fn trace(&self, trace: Digest) -> Digest {
        trace
    }

    /// Hears what happens on the chain, before its role does.
    fn hear(&self, _event: &Event) {}

    /// What becomes of an action that its role would send; `None` withholds it.
    fn action(&self, action: Action) -> Option<Action> {
        Some(action)
    }
}

/// The services of a cheat.
#[must_use]
pub fn twisted_registry(registry: &Registry, twist: &Arc<dyn Twist>) -> Registry {
    Registry::of(registry.iter().map(|service| -> Arc<dyn AnyService> {
        Arc::new(TwistedService::new(Arc::clone(service), Arc::clone(twist)))
    }))
}

/// What a cheat takes part as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs work.
    Worker,
    /// It checks work.
    Verifier,
}

/// A behaviour by name, for command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// [`WrongOutput`].
    WrongOutput,
    /// [`InflatedUnits`].
    InflatedUnits,
    /// [`WithheldOpening`].
    WithheldOpening,
    /// [`WithheldReceipt`].
    WithheldReceipt,
    /// [`CopyingVerifier`].
    CopyingVerifier,
    /// [`LyingVerifier`].
    LyingVerifier,
    /// [`SilentVerifier`].
    SilentVerifier,
}

impl Behaviour {
    /// All behaviours.
    pub const ALL: [Self; 7] = [
        Self::WrongOutput,
        Self::InflatedUnits,
        Self::WithheldOpening,
        Self::WithheldReceipt,
        Self::CopyingVerifier,
        Self::LyingVerifier,
        Self::SilentVerifier,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongOutput => "wrong-output",
            Self::InflatedUnits => "inflated-units",
            Self::WithheldOpening => "withheld-opening",
            Self::WithheldReceipt => "withheld-receipt",
            Self::CopyingVerifier => "copying-verifier",
            Self::LyingVerifier => "lying-verifier",
            Self::SilentVerifier => "silent-verifier",
        }
    }

    /// What it takes part as.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::WrongOutput
            | Self::InflatedUnits
            | Self::WithheldOpening
            | Self::WithheldReceipt => Role::Worker,
            Self::CopyingVerifier | Self::LyingVerifier | Self::SilentVerifier => Role::Verifier,
        }
    }

    /// A cheat that has not begun.
    #[must_use]
    pub fn twist(self) -> Arc<dyn Twist> {
        match self {
            Self::WrongOutput => Arc::new(WrongOutput),
            Self::InflatedUnits => Arc::new(InflatedUnits),
            Self::WithheldOpening => Arc::new(WithheldOpening),
            Self::WithheldReceipt => Arc::new(WithheldReceipt),
            Self::CopyingVerifier => Arc::new(CopyingVerifier::default()),
            Self::LyingVerifier => Arc::new(LyingVerifier),
            Self::SilentVerifier => Arc::new(SilentVerifier),
        }
    }
}

/// A name that is no behaviour's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no behaviour is called so; there are: {}", Behaviour::ALL.map(Behaviour::name).join(", "))]
pub struct UnknownBehaviour;

impl FromStr for Behaviour {
    type Err = UnknownBehaviour;

    fn from_str(name: &str) -> Result<Self, UnknownBehaviour> {
        Self::ALL
            .into_iter()
            .find(|behaviour| behaviour.name() == name)
            .ok_or(UnknownBehaviour)
    }
}

//! Cheats: one behaviour per file. Workers and verifiers are [`Twist`]s around the real parts of a role, which are never changed, or
//! cook the books that a worker keeps; buyers do with a session or an order what no honest client does.

mod absent_spec;
mod claimed_again;
mod collusion;
mod copied_run;
mod copying_verifier;
mod decoy;
mod early_close;
mod edited_token;
mod fleeing_stake;
mod forged_request;
mod forged_trace;
mod forged_verdict;
mod frivolous_challenger;
mod hidden_spec;
mod idle_verifier;
mod inflated_claim;
mod inflated_units;
mod late_appeal;
mod listening_verifier;
mod lying_verifier;
mod model_file;
mod other_seed;
mod other_template;
mod overdrawing_buyer;
mod planter;
mod private_channel;
mod repeated_leaf;
mod replaying_buyer;
mod silent_verifier;
mod skipped_layer;
mod swapped_models;
mod three_bit_weights;
mod twisted_chain;
mod twisted_recorder;
mod twisted_service;
mod unclaimed_lane;
mod unfunded_buyer;
mod unpaying_buyer;
mod wash_trader;
mod withheld_key;
mod withheld_leaves;
mod withheld_link;
mod withheld_opening;
mod withheld_receipt;
mod wrong_output;

pub use claimed_again::ClaimedAgain;
pub use collusion::{ColludingVerifier, Collusion};
pub use copied_run::CopiedRun;
pub use copying_verifier::CopyingVerifier;
pub use decoy::Decoy;
pub use edited_token::EditedToken;
pub use fleeing_stake::FleeingStake;
pub use forged_trace::ForgedTrace;
pub use forged_verdict::ForgedVerdict;
pub use idle_verifier::IdleVerifier;
pub use inflated_claim::InflatedClaim;
pub use inflated_units::InflatedUnits;
pub use late_appeal::LateAppeal;
pub use listening_verifier::ListeningVerifier;
pub use lying_verifier::LyingVerifier;
pub use other_seed::OtherSeed;
pub use other_template::OtherTemplate;
pub use planter::Planter;
pub use private_channel::PrivateChannel;
pub use repeated_leaf::RepeatedLeaf;
pub use silent_verifier::SilentVerifier;
pub use skipped_layer::SkippedLayer;
pub use swapped_models::SwappedModels;
pub use three_bit_weights::ThreeBitWeights;
pub use twisted_chain::TwistedChain;
pub use twisted_service::TwistedService;
pub use unclaimed_lane::UnclaimedLane;
pub use withheld_key::WithheldKey;
pub use withheld_leaves::WithheldLeaves;
pub use withheld_link::WithheldLink;
pub use withheld_opening::WithheldOpening;
pub use withheld_receipt::WithheldReceipt;
pub use wrong_output::WrongOutput;

pub(crate) use absent_spec::absent_spec;
pub(crate) use early_close::early_close;
pub(crate) use forged_request::forged_request;
pub(crate) use frivolous_challenger::frivolous_challenger;
pub(crate) use hidden_spec::hidden_spec;
pub(crate) use overdrawing_buyer::overdrawing_buyer;
pub(crate) use repeated_leaf::repeat_leaf;
pub(crate) use replaying_buyer::replaying_buyer;
pub(crate) use unfunded_buyer::unfunded_buyer;
pub(crate) use unpaying_buyer::unpaying_buyer;
pub(crate) use wash_trader::wash_trader;

use core::{fmt::Debug, str::FromStr};
use fairweir_services::{AnyService, Executed, Registry, appeal::Record};
use fairweir_types::{
    Action, Digest, Event,
    order::{Demand, KindId},
};
use std::sync::Arc;
use thiserror::Error;

/// What a cheat does differently. What it leaves out stays honest.
pub trait Twist: Debug + Send + Sync + 'static {
    /// What it runs in place of a chat model's file; `None` for the file itself.
    fn model_file(&self, _file: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// What it executes in place of a spec; `None` for the spec itself.
    fn spec(&self, _kind: KindId, _spec: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// What becomes of an execution of its own.
    fn execution(&self, _kind: KindId, executed: Executed, _demand: &Demand) -> Executed {
        executed
    }

    /// Learns what it made of a spec of its own work, before anybody else does.
    fn made(&self, _spec: &Digest, _executed: &Executed) {}

    /// Whether it re-executes what it is drawn to check.
    fn checks(&self) -> bool {
        true
    }

    /// Whether it votes, as a verifier, for what becomes of an execution of its own.
    fn votes_for_its_execution(&self) -> bool {
        false
    }

    /// What becomes of the trace that it found as a verifier.
    fn trace(&self, trace: Digest) -> Digest {
        trace
    }

    /// What becomes of the trace of a spec: [`Twist::trace`], unless the spec matters.
    fn found(&self, _spec: &Digest, trace: Digest) -> Digest {
        self.trace(trace)
    }

    /// What it shows of a run before the referee.
    fn record(&self, record: Arc<dyn Record>) -> Arc<dyn Record> {
        record
    }

    /// What it sends besides, once an action of its role is on the chain.
    fn besides(&self, _action: &Action) -> Option<Action> {
        None
    }

    /// Hears what happens on the chain, before its role does.
    fn hear(&self, _event: &Event) {}

    /// What becomes of an action that its role would send; `None` withholds it.
    fn action(&self, action: Action) -> Option<Action> {
        Some(action)
    }
}

/// The services of a cheat: `worker` runs its own work, `honest` whatever else it does.
#[must_use]
pub fn twisted_registry(honest: &Registry, worker: &Registry, twist: &Arc<dyn Twist>) -> Registry {
    Registry::of(honest.iter().map(|service| -> Arc<dyn AnyService> {
        let worker = worker.newest(service.id()).unwrap_or(service);
        Arc::new(TwistedService::new(
            Arc::clone(service),
            Arc::clone(worker),
            Arc::clone(twist),
        ))
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
    /// [`EditedToken`].
    EditedToken,
    /// [`SkippedLayer`].
    SkippedLayer,
    /// [`ThreeBitWeights`].
    ThreeBitWeights,
    /// [`OtherTemplate`].
    OtherTemplate,
    /// [`OtherSeed`].
    OtherSeed,
    /// [`WithheldOpening`].
    WithheldOpening,
    /// [`WithheldReceipt`].
    WithheldReceipt,
    /// [`InflatedClaim`].
    InflatedClaim,
    /// [`WithheldLeaves`].
    WithheldLeaves,
    /// [`CopyingVerifier`].
    CopyingVerifier,
    /// [`LyingVerifier`].
    LyingVerifier,
    /// [`SilentVerifier`].
    SilentVerifier,
    /// [`IdleVerifier`].
    IdleVerifier,
    /// [`ClaimedAgain`].
    ClaimedAgain,
    /// [`UnclaimedLane`].
    UnclaimedLane,
    /// [`ForgedTrace`].
    ForgedTrace,
    /// [`ForgedVerdict`].
    ForgedVerdict,
    /// [`CopiedRun`].
    CopiedRun,
    /// [`Decoy`].
    Decoy,
    /// [`LateAppeal`].
    LateAppeal,
}

impl Behaviour {
    /// All behaviours.
    pub const ALL: [Self; 22] = [
        Self::WrongOutput,
        Self::InflatedUnits,
        Self::EditedToken,
        Self::SkippedLayer,
        Self::ThreeBitWeights,
        Self::OtherTemplate,
        Self::OtherSeed,
        Self::WithheldOpening,
        Self::WithheldReceipt,
        Self::InflatedClaim,
        Self::WithheldLeaves,
        Self::CopyingVerifier,
        Self::LyingVerifier,
        Self::SilentVerifier,
        Self::IdleVerifier,
        Self::ClaimedAgain,
        Self::UnclaimedLane,
        Self::ForgedTrace,
        Self::ForgedVerdict,
        Self::CopiedRun,
        Self::Decoy,
        Self::LateAppeal,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongOutput => "wrong-output",
            Self::InflatedUnits => "inflated-units",
            Self::EditedToken => "edited-token",
            Self::SkippedLayer => "skipped-layer",
            Self::ThreeBitWeights => "three-bit-weights",
            Self::OtherTemplate => "other-template",
            Self::OtherSeed => "other-seed",
            Self::WithheldOpening => "withheld-opening",
            Self::WithheldReceipt => "withheld-receipt",
            Self::InflatedClaim => "inflated-claim",
            Self::WithheldLeaves => "withheld-leaves",
            Self::CopyingVerifier => "copying-verifier",
            Self::LyingVerifier => "lying-verifier",
            Self::SilentVerifier => "silent-verifier",
            Self::IdleVerifier => "idle-verifier",
            Self::ClaimedAgain => "claimed-again",
            Self::UnclaimedLane => "unclaimed-lane",
            Self::ForgedTrace => "forged-trace",
            Self::ForgedVerdict => "forged-verdict",
            Self::CopiedRun => "copied-run",
            Self::Decoy => "decoy",
            Self::LateAppeal => "late-appeal",
        }
    }

    /// What it takes part as.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::WrongOutput
            | Self::InflatedUnits
            | Self::EditedToken
            | Self::SkippedLayer
            | Self::ThreeBitWeights
            | Self::OtherTemplate
            | Self::OtherSeed
            | Self::WithheldOpening
            | Self::WithheldReceipt
            | Self::InflatedClaim
            | Self::WithheldLeaves
            | Self::ClaimedAgain
            | Self::UnclaimedLane
            | Self::ForgedTrace
            | Self::LateAppeal => Role::Worker,
            Self::CopyingVerifier
            | Self::CopiedRun
            | Self::Decoy
            | Self::ForgedVerdict
            | Self::LyingVerifier
            | Self::SilentVerifier
            | Self::IdleVerifier => Role::Verifier,
        }
    }

    /// Whether it cheats at language models alone: then it is shown with work of that kind.
    #[must_use]
    pub const fn is_about_models(self) -> bool {
        matches!(
            self,
            Self::EditedToken
                | Self::SkippedLayer
                | Self::ThreeBitWeights
                | Self::OtherTemplate
                | Self::OtherSeed
                | Self::ForgedTrace
                | Self::ForgedVerdict
                | Self::CopiedRun
                | Self::Decoy
                | Self::LateAppeal
        )
    }

    /// A cheat that has not begun.
    #[must_use]
    pub fn twist(self) -> Arc<dyn Twist> {
        match self {
            Self::WrongOutput => Arc::new(WrongOutput),
            Self::InflatedUnits => Arc::new(InflatedUnits),
            Self::EditedToken => Arc::new(EditedToken),
            Self::SkippedLayer => Arc::new(SkippedLayer),
            Self::ThreeBitWeights => Arc::new(ThreeBitWeights),
            Self::OtherTemplate => Arc::new(OtherTemplate),
            Self::OtherSeed => Arc::new(OtherSeed),
            Self::WithheldOpening => Arc::new(WithheldOpening),
            Self::WithheldReceipt => Arc::new(WithheldReceipt),
            Self::InflatedClaim => Arc::new(InflatedClaim),
            Self::WithheldLeaves => Arc::new(WithheldLeaves),
            Self::CopyingVerifier => Arc::new(CopyingVerifier::default()),
            Self::LyingVerifier => Arc::new(LyingVerifier),
            Self::SilentVerifier => Arc::new(SilentVerifier),
            Self::IdleVerifier => Arc::new(IdleVerifier),
            Self::ClaimedAgain => Arc::new(ClaimedAgain),
            Self::UnclaimedLane => Arc::new(UnclaimedLane),
            Self::ForgedTrace => Arc::new(ForgedTrace),
            Self::ForgedVerdict => Arc::new(ForgedVerdict),
            Self::CopiedRun => Arc::new(CopiedRun),
            Self::Decoy => Arc::new(Decoy),
            Self::LateAppeal => Arc::new(LateAppeal::default()),
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

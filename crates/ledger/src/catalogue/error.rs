use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::{Height, limits, order::KindId};
use thiserror::Error;

/// Why work of a kind is refused, or a change of the catalogue. The checks run in the order of the codes.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// Nobody voted for the kind.
    #[error("the kind {kind} is not in the catalogue of this chain: see `fairweir services`")]
    NotInCatalogue {
        /// Its number.
        kind: KindId,
    },
    /// The kind is not active in this block.
    #[error("the kind {kind} is not active in block {now}: see `fairweir services`")]
    NotActive {
        /// Its number.
        kind: KindId,
        /// This block.
        now: Height,
    },
    /// Another version of the kind is in force.
    #[error(
        "the kind {kind} is at version {in_force}, this is for {oldest} to {newest}: a program that knows the version in force is needed"
    )]
    OtherVersion {
        /// Its number.
        kind: KindId,
        /// The version in force.
        in_force: u16,
        /// The oldest version that is asked for, or offered.
        oldest: u16,
        /// The newest.
        newest: u16,
    },
    /// The demand is larger than the kind takes.
    #[error("the demand is larger than the catalogue lets work of the kind {kind} be")]
    DemandAboveService {
        /// Its number.
        kind: KindId,
    },
    /// The entry would hold from a block that is there already.
    #[error("the entry holds from block {from}, this is block {now}: name a later one")]
    EntryInThePast {
        /// Its first block.
        from: Height,
        /// This block.
        now: Height,
    },
    /// The terms are none.
    #[error("these terms cannot be in the catalogue: {rule}")]
    BadTerms {
        /// What is asked of terms.
        rule: &'static str,
    },
    /// A version that was newer is in force.
    #[error(
        "version {found} of the kind {kind} is before {newest}, which the catalogue has: the old rules need a new number"
    )]
    VersionGoesBack {
        /// The kind.
        kind: KindId,
        /// The newest version until then.
        newest: u16,
        /// What is proposed.
        found: u16,
    },
    /// Another kind has the name.
    #[error("the kind {other} has this name already")]
    NameTaken {
        /// That kind.
        other: KindId,
    },
    /// There is nothing to retire.
    #[error("the kind {kind} is not active in block {from}: nothing to retire")]
    NothingToRetire {
        /// Its number.
        kind: KindId,
        /// From which block on it would be retired.
        from: Height,
    },
    /// The catalogue is full.
    #[error("the catalogue holds {} kinds, retired ones too", limits::SERVICES_MAX)]
    CatalogueFull,
    /// As much is planned for the kind as may be.
    #[error(
        "{} entries of the kind {kind} are in force or planned already: wait for one, or replace one from its block on",
        limits::SERVICE_ENTRIES_MAX
    )]
    TooManyEntries {
        /// Its number.
        kind: KindId,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(CatalogueError => Catalogue);

impl CatalogueError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NotInCatalogue { .. } => 1200,
            Self::NotActive { .. } => 1201,
            Self::OtherVersion { .. } => 1202,
            Self::DemandAboveService { .. } => 1203,
            Self::EntryInThePast { .. } => 1204,
            Self::BadTerms { .. } => 1205,
            Self::VersionGoesBack { .. } => 1206,
            Self::NameTaken { .. } => 1207,
            Self::NothingToRetire { .. } => 1208,
            Self::CatalogueFull => 1209,
            Self::TooManyEntries { .. } => 1210,
            Self::Fault(_) => 99,
        }
    }
}

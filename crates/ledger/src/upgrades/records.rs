//! What is planned, and what has begun.

use super::Plans;
use crate::{
    execution::Execution,
    fault::Fault,
    governance::GovernanceError,
    keys,
    state::{State, load, state_record},
};
use fairweir_types::{
    BoundedVec, Digest, governance::Upgrade, limits::UPGRADES_MAX, node_api::RulesReport,
};

/// What the state says about rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Upgrades {
    /// What was decided last and has not begun.
    pub(super) planned: Option<Upgrade>,
    /// What has begun, each once, with the block in which it did.
    pub(super) begun: BoundedVec<Upgrade, UPGRADES_MAX>,
}
state_record!(Upgrades { planned, begun });

impl Upgrades {
    pub(super) fn of(state: &dyn State) -> Result<Self, Fault> {
        Ok(load(state, &keys::upgrade())?.unwrap_or_default())
    }

    pub(super) fn find(&self, plan: &Digest) -> Option<Upgrade> {
        self.begun.iter().find(|begun| begun.plan == *plan).copied()
    }
}

/// Whether the rules of a plan are in force: what code asks that is another from then on, also when it executes blocks of before.
///
/// # Errors
/// [`Fault::Record`].
pub fn has_begun(state: &dyn State, plan: &Digest) -> Result<bool, Fault> {
    Ok(Upgrades::of(state)?.find(plan).is_some())
}

/// Refuses a plan that has begun, and one more than there may be.
pub(crate) fn check_plan(execution: &Execution<'_>, plan: &Digest) -> Result<(), GovernanceError> {
    let upgrades = Upgrades::of(&execution.overlay)?;
    if let Some(begun) = upgrades.find(plan) {
        return Err(GovernanceError::UpgradeDone {
            height: begun.height,
        });
    }
    if upgrades.begun.len() >= UPGRADES_MAX {
        return Err(GovernanceError::TooManyUpgrades);
    }
    Ok(())
}

/// Plans an upgrade, in the place of one that has not begun.
pub(crate) fn plan_upgrade(execution: &mut Execution<'_>, upgrade: Upgrade) -> Result<(), Fault> {
    let mut upgrades = Upgrades::of(&execution.overlay)?;
    upgrades.planned = Some(upgrade);
    execution.overlay.store(keys::upgrade(), &upgrades);
    Ok(())
}

/// Which rules are in force, and whether a program with these plans can go on with those that are planned.
///
/// # Errors
/// [`Fault::Record`].
pub fn report(state: &dyn State, plans: Plans) -> Result<RulesReport, Fault> {
    let upgrades = Upgrades::of(state)?;
    Ok(RulesReport {
        knows: upgrades
            .planned
            .is_some_and(|planned| plans.find(&planned.plan).is_some()),
        planned: upgrades.planned,
        newest: upgrades.begun.iter().last().copied(),
        begun: u16::try_from(upgrades.begun.len()).unwrap_or(u16::MAX),
    })
}

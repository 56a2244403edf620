//! Modules that take no new actions.

use super::GovernanceError;
use crate::{execution::Execution, fault::Fault, keys, state::state_record};
use fairweir_types::{
    Action, BoundedVec, Event, Millis, ProposalId,
    event::{ModulePaused, ModuleResumed},
    governance::{Module, Pause},
    node_api::PausedModule,
};

/// The pauses that are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    pub(crate) modules: BoundedVec<PausedModule, 8>,
}
state_record!(Pauses { modules });

const _: () = assert!(Module::ALL.len() <= 8, "every module can be paused");

/// The module whose pause refuses an action: what begins something new. What goes on with something open has none.
fn module_of(action: &Action) -> Option<Module> {
    match action {
        Action::Transfer(_) | Action::GrantDelegate(_) => Some(Module::Transfers),
        Action::Bond(_)
        | Action::Unbond(_)
        | Action::RegisterCandidate(_)
        | Action::ConfirmNode(_)
        | Action::DelegateStake(_)
        | Action::UndelegateStake(_)
        | Action::RedelegateStake(_) => Some(Module::Stake),
        Action::RegisterOffer(_) | Action::EnrolVerifier(_) => Some(Module::Registry),
        Action::PostOrder(post) if post.header.open_rounds().is_some() => Some(Module::Sessions),
        Action::PostOrder(_) | Action::TopUp(_) => Some(Module::Orders),
        Action::OpenSession(_) | Action::TopUpLane(_) => Some(Module::Sessions),
        _ => None,
    }
}

/// Refuses an action of a paused module.
pub(crate) fn check_paused(
    execution: &Execution<'_>,
    action: &Action,
) -> Result<(), GovernanceError> {
    // Nearly always there is none.
    if execution.pauses.modules.is_empty() {
        return Ok(());
    }
    let Some(module) = module_of(action) else {
        return Ok(());
    };
    let mut pauses = execution.pauses.modules.iter();
    match pauses.find(|paused| paused.module == module && paused.until > execution.now) {
        Some(PausedModule { until, .. }) => Err(GovernanceError::ModulePaused {
            module,
            until: *until,
        }),
        None => Ok(()),
    }
}

/// Pauses a module from the next block on; a pause that lasts longer stays.
pub(super) fn pause(
    execution: &mut Execution<'_>,
    proposal: ProposalId,
    Pause { module, duration }: Pause,
) -> Result<(), Fault> {
    let until = execution.window_end(duration.get())?;
    let known: Pauses = execution.overlay.load(&keys::pauses())?.unwrap_or_default();
    let before = known.modules.iter().find(|paused| paused.module == module);
    let until = before.map_or(until, |paused| paused.until.max(until));
    let others = known
        .modules
        .iter()
        .filter(|paused| paused.module != module)
        .copied();
    let modules = BoundedVec::new(others.chain([PausedModule { module, until }]).collect());
    let modules = modules.map_err(|_| Fault::Counter { what: "pauses" })?;
    execution.overlay.store(keys::pauses(), &Pauses { modules });
    execution.emit(Event::ModulePaused(ModulePaused {
        proposal,
        module,
        until,
    }));
    Ok(())
}

/// Ends the pauses whose time is over.
pub(super) fn resume(execution: &mut Execution<'_>) -> Result<(), Fault> {
    if execution.pauses.modules.is_empty() {
        return Ok(());
    }
    let now: Millis = execution.now;
    let (over, on): (Vec<_>, Vec<_>) = execution
        .pauses
        .modules
        .iter()
        .copied()
        .partition(|paused| paused.until <= now);
    if over.is_empty() {
        return Ok(());
    }
    if on.is_empty() {
        execution.overlay.delete(keys::pauses());
    } else {
        let modules = BoundedVec::truncating(on);
        execution.overlay.store(keys::pauses(), &Pauses { modules });
    }
    for paused in over {
        execution.emit(Event::ModuleResumed(ModuleResumed {
            module: paused.module,
        }));
    }
    Ok(())
}

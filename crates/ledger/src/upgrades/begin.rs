//! The first thing of a block: the rules and the state that it begins with.

use super::{Migrating, MigrationError, Plan, Plans, records::Upgrades};
use crate::{
    audit,
    fault::Fault,
    keys,
    state::{Overlay, State},
};
use fairweir_types::{Event, Height, event::UpgradeBegan, governance::Upgrade};

/// What a block executes on.
pub(crate) struct Begun<'s> {
    /// The state of the block before, with what a migration made of it.
    pub(crate) state: Overlay<'s>,
    /// What began with this block.
    pub(crate) event: Option<Event>,
}

/// Begins a block: nearly always with the state as it is.
///
/// # Errors
/// [`Fault::UnknownUpgrade`] when this program does not know the rules of the block, [`Fault::Migration`] when it cannot change to them; [`Fault::Record`].
pub(crate) fn begin<'s>(
    state: &'s dyn State,
    plans: Plans,
    height: Height,
) -> Result<Begun<'s>, Fault> {
    let upgrades = Upgrades::of(state)?;
    // Also behind its block, in a state that was copied. Who has the newest has those before: none is ever removed from a list.
    if let Some(newest) = upgrades.begun.iter().last() {
        known(plans, newest)?;
    }
    let nothing = Overlay::new(state);
    match upgrades.planned {
        Some(planned) if height >= planned.height => {
            let plan = known(plans, &planned)?;
            run(nothing, upgrades, (plan, planned), height)
        }
        _ => Ok(Begun {
            state: nothing,
            event: None,
        }),
    }
}

/// Whether a program with these plans can make the next block, before anybody makes it. Where an upgrade begins with it, this runs its migration and forgets what it made.
///
/// # Errors
/// As a block itself: [`Fault::UnknownUpgrade`], [`Fault::Migration`], [`Fault::Record`].
pub fn check(state: &dyn State, plans: Plans, next: Height) -> Result<(), Fault> {
    begin(state, plans, next).map(drop)
}

fn known(plans: Plans, upgrade: &Upgrade) -> Result<&'static Plan, Fault> {
    let Upgrade { height, plan } = *upgrade;
    let known = plans.find(&plan);
    known.ok_or(Fault::UnknownUpgrade { height, plan })
}

/// Runs a plan's migration, and records that it has run.
fn run<'s>(
    state: Overlay<'s>,
    mut upgrades: Upgrades,
    (plan, planned): (&Plan, Upgrade),
    height: Height,
) -> Result<Begun<'s>, Fault> {
    let failed = |source: MigrationError| Fault::Migration {
        name: plan.name,
        height: planned.height,
        plan: planned.plan,
        source,
    };
    if upgrades.find(&planned.plan).is_some() {
        // It is not planned a second time; were it, it would not run.
        return Err(failed(MigrationError::Refused("it has run already")));
    }
    let mut migrating = Migrating::new(state);
    if let Some(migrate) = plan.migrate {
        migrate(&mut migrating).map_err(failed)?;
    }
    let (mut state, records) = migrating.into_overlay();
    upgrades.planned = None;
    let begun = Upgrade { height, ..planned };
    upgrades.begun.push(begun).map_err(|_| Fault::Counter {
        what: "upgrades that have begun",
    })?;
    state.store(keys::upgrade(), &upgrades);
    audit::begin_anew(&mut state)?
        .map_err(|invariant| failed(MigrationError::Broken { invariant }))?;
    let event = Event::UpgradeBegan(UpgradeBegan {
        height,
        plan: planned.plan,
        records,
    });
    Ok(Begun {
        state,
        event: Some(event),
    })
}

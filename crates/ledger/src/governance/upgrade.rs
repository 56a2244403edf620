//! The block before which a program stops that does not know the rules behind it.

use crate::{
    fault::Fault,
    keys,
    state::{State, load},
};
use fairweir_types::{Digest, Height, governance::Upgrade};

/// The plans whose rules this program follows from their height on. A release that changes rules adds its plan here.
const KNOWN: &[Digest] = &[];

/// The upgrade that was decided last.
///
/// # Errors
/// [`Fault::Record`].
pub(crate) fn upgrade(state: &dyn State) -> Result<Option<Upgrade>, Fault> {
    load(state, &keys::upgrade())
}

/// Whether this program knows the rules of a plan.
pub(crate) fn knows(plan: &Digest) -> bool {
    KNOWN.contains(plan)
}

/// Stops before the first block of rules that this program does not know: all validators with it stop at the same block, and none of them
/// goes on by the old rules.
pub(crate) fn check_known(state: &dyn State, height: Height) -> Result<(), Fault> {
    match upgrade(state)? {
        Some(upgrade) if height >= upgrade.height && !knows(&upgrade.plan) => {
            Err(Fault::UnknownUpgrade {
                height: upgrade.height,
                plan: upgrade.plan,
            })
        }
        _ => Ok(()),
    }
}

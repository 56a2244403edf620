//! The beginning of another reading, where records may say something else than before.

use super::{Audit, Imbalances};
use crate::{fault::Fault, keys, state::Overlay};
use fairweir_types::{BoundedBytes, invariant::Invariant};

/// Begins the reading anew behind a change of rules or records, from which on sums over what was read before mean nothing. So the whole state is weighed here, once: an
/// invariant that does not hold behind the change, and did before it, is returned, and the change must not be kept. What did not hold before it stays as it was known, for
/// the next reading to find.
///
/// Costs O(state).
///
/// # Errors
/// [`Fault::Record`].
pub(crate) fn begin_anew(overlay: &mut Overlay<'_>) -> Result<Result<(), Invariant>, Fault> {
    let known: Option<Audit> = overlay.load(&keys::audit())?;
    let mut audit = known.unwrap_or_default();
    let sums = Imbalances::of_state(&*overlay);
    match sums.worse_than(&audit.known) {
        None => audit.known = sums,
        // Of records in an old form this says nonsense, and then it is the change that is found wrong.
        Some(_) => {
            if let Some(invariant) = sums.worse_than(&Imbalances::of_state(overlay.before())) {
                return Ok(Err(invariant));
            }
        }
    }
    audit.next = BoundedBytes::default();
    audit.read = Imbalances::default();
    overlay.store(keys::audit(), &audit);
    Ok(Ok(()))
}

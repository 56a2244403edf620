use super::{RegistryError, count, offer, store_or_drop};
use crate::{execution::Execution, stake};
use fairweir_types::{Address, Event, event::OfferWithdrawn, tx::WithdrawOffer};

/// Takes the sender's offer off the list.
pub(crate) fn withdraw_offer(
    execution: &mut Execution<'_>,
    sender: Address,
    withdraw: &WithdrawOffer,
) -> Result<(), RegistryError> {
    let Some(mut record) =
        offer(&execution.overlay, withdraw.kind, sender)?.filter(|record| record.listed)
    else {
        return Err(RegistryError::NoSuchOffer);
    };
    record.listed = false;
    store_or_drop(execution, withdraw.kind, sender, &record)?;
    count(&mut execution.overlay, |counters| {
        counters.offers = counters.offers.checked_sub(1)?;
        Some(())
    })?;
    stake::change_roles(execution, sender, |roles| roles.checked_sub(1))?;
    execution.emit(Event::OfferWithdrawn(OfferWithdrawn {
        worker: sender,
        kind: withdraw.kind,
    }));
    Ok(())
}

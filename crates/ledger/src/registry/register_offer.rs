use super::{OfferRecord, RegistryError, count, deposit, offer};
use crate::{execution::Execution, keys, params::money, stake, state::scan};
use fairweir_types::{
    Address, Amount, Event, event::OfferRegistered, limits::OFFERS_PER_KIND_MAX, tx::RegisterOffer,
};

/// Registers or replaces the sender's offer for a kind; open work keeps the terms it was matched at.
pub(crate) fn register_offer(
    execution: &mut Execution<'_>,
    sender: Address,
    register: &RegisterOffer,
) -> Result<(), RegistryError> {
    let offered = &register.offer;
    let bonded = stake::stake(&execution.overlay, sender)?.bonded;
    let min = money(execution.params.worker_stake_min);
    if bonded < min {
        return Err(RegistryError::WorkerStakeTooLow { bonded, min });
    }
    if offered.collateral > bonded {
        return Err(RegistryError::CollateralAboveStake {
            collateral: offered.collateral,
            bonded,
        });
    }
    if offered.capacity == 0 {
        return Err(RegistryError::ZeroCapacity);
    }
    if offered.endpoint.as_slice().is_empty() {
        return Err(RegistryError::EndpointMissing);
    }
    let known = offer(&execution.overlay, offered.kind, sender)?;
    let is_new = known.as_ref().is_none_or(|known| !known.listed);
    let (from, to) = keys::offers_from(offered.kind, Address::default());
    let listed = scan::<OfferRecord>(&execution.overlay, &from, &to, OFFERS_PER_KIND_MAX)?.len();
    if is_new && listed >= OFFERS_PER_KIND_MAX {
        return Err(RegistryError::TooManyOffers {
            max: OFFERS_PER_KIND_MAX,
        });
    }
    let (open, exposure, held) = known.map_or((0, Amount::ZERO, Amount::ZERO), |known| {
        (known.open, known.exposure, known.deposit)
    });
    let mut record = OfferRecord {
        offer: offered.clone(),
        listed: true,
        open,
        exposure,
        deposit: held,
    };
    let key = keys::offer(offered.kind, sender);
    record.deposit = deposit::adjust(execution, sender, held, (&key, &record))?;
    execution.overlay.store(key, &record);
    if is_new {
        count(&mut execution.overlay, |counters| {
            counters.offers = counters.offers.checked_add(1)?;
            Some(())
        })?;
        stake::change_roles(execution, sender, |roles| roles.checked_add(1))?;
    }
    execution.emit(Event::OfferRegistered(OfferRegistered {
        worker: sender,
        kind: offered.kind,
    }));
    Ok(())
}

use super::{HeldStream, MarketError, keep_order, order};
use crate::{bank, execution::Execution, fault::OrFault, secured};
use fairweir_types::{
    Address, Amount, Event, event::ToppedUp, limits::FUNDING_STREAMS_MAX, tx::TopUp,
};

/// Adds money of the sender to an open order; what is not used goes back when the order closes.
pub(crate) fn top_up(
    execution: &mut Execution<'_>,
    sender: Address,
    top_up: &TopUp,
) -> Result<(), MarketError> {
    let TopUp { order: id, amount } = *top_up;
    let Some(mut record) = order(&execution.overlay, id)? else {
        return Err(MarketError::NoSuchOrder);
    };
    if amount == Amount::ZERO {
        return Err(MarketError::TopUpZero);
    }
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < amount {
        return Err(MarketError::CannotPayTopUp { balance, amount });
    }
    match record
        .streams
        .as_mut_slice()
        .iter_mut()
        .find(|stream| stream.payer == sender)
    {
        Some(stream) => stream.held = stream.held.checked_add(amount).or_fault()?,
        None => record
            .streams
            .push(HeldStream {
                payer: sender,
                held: amount,
            })
            .map_err(|_| MarketError::TooManyStreams {
                max: FUNDING_STREAMS_MAX,
            })?,
    }
    secured::check(execution, amount)?;
    bank::debit(execution, sender, amount)?;
    keep_order(execution, id, &record)?;
    execution.emit(Event::ToppedUp(ToppedUp {
        order: id,
        payer: sender,
        amount,
    }));
    Ok(())
}

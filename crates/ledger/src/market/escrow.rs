//! Money held in an order: spent from the first stream on, returned from the last stream on.

use super::Order;
use crate::{
    bank, delegates,
    execution::Execution,
    fault::{Fault, OrFault},
};
use fairweir_types::{Amount, AmountError};

/// What an order holds for its work, without the deposit.
pub(crate) fn held(order: &Order) -> Result<Amount, AmountError> {
    Amount::sum(order.streams.iter().map(|stream| stream.held))
}

/// Takes money out of the streams, to be credited or burned by the caller.
pub(crate) fn spend(order: &mut Order, amount: Amount) -> Result<(), Fault> {
    let mut left = amount;
    for stream in order.streams.as_mut_slice() {
        let part = left.at_most(stream.held);
        stream.held = stream.held.checked_sub(part).or_fault()?;
        left = left.checked_sub(part).or_fault()?;
    }
    if left == Amount::ZERO {
        Ok(())
    } else {
        Err(Fault::Missing { what: "escrow" })
    }
}

/// Returns money from the streams to their payers, and to what a delegate may spend.
pub(crate) fn give_back(
    execution: &mut Execution<'_>,
    order: &mut Order,
    amount: Amount,
) -> Result<(), Fault> {
    let (buyer, poster) = (order.buyer, order.poster);
    let mut left = amount;
    for stream in order.streams.as_mut_slice().iter_mut().rev() {
        let part = left.at_most(stream.held);
        stream.held = stream.held.checked_sub(part).or_fault()?;
        left = left.checked_sub(part).or_fault()?;
        bank::credit(execution, stream.payer, part)?;
        if stream.payer == buyer {
            delegates::restore(execution, (buyer, poster), part)?;
        }
    }
    if left == Amount::ZERO {
        Ok(())
    } else {
        Err(Fault::Missing { what: "escrow" })
    }
}

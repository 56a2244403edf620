//! Value secured: what buyers have locked in orders, held against what a third of the seats costs (protocol rule 12).
//!
//! Whoever holds a third of the seats can vote twice and write history anew, and loses the stake behind them. So no more may be locked than a
//! governed share of that stake; what is locked already is never taken, and pays out and closes as ever. The bound holds from the first epoch on
//! whose seats were given by stake; before, a chain is trusted for who its genesis names.
//!
//! The sum follows every change of an order (`market::keep_order`), what is locked and what is given back, so that money that comes and goes in one block
//! keeps nobody out. At the end of a block it is made again out of what the block wrote to orders, whoever wrote it: no verb can forget it.

use crate::{
    candidates,
    execution::Execution,
    fault::{Fault, OrFault, present},
    invariants::Violation,
    keys,
    market::{self, MarketError, Order},
    params::Params,
    state::{State, load, scan, state_record},
};
use fairweir_types::{Amount, Bps, decode, node_api::SecuredReport};

/// What buyers have locked in orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Secured {
    pub(crate) locked: Amount,
}
state_record!(Secured { locked });

fn secured(state: &dyn State) -> Result<Secured, Fault> {
    present(load(state, &keys::secured())?, "value secured")
}

/// What may be locked at most; none while seats are not given by stake.
fn limit(state: &dyn State, params: &Params) -> Result<Option<Amount>, Fault> {
    let third = candidates::third_of_seats(state)?;
    let share = |third| Params::share_down(third, params.secured_share_bps).or_fault();
    third.map(share).transpose()
}

/// Refuses what an order is about to lock if that is too much. Record deposits do not count: what they are lent for is not bought.
pub(crate) fn check(execution: &Execution<'_>, added: Amount) -> Result<(), MarketError> {
    let before = secured(&execution.overlay)?.locked;
    // What is asked for may be more than all money.
    let locked = before.checked_add(added).unwrap_or(Amount::MAX);
    if let Some(limit) = limit(&execution.overlay, &execution.params)?
        && locked > limit
    {
        return Err(MarketError::AboveSecured {
            locked: before,
            added,
            limit,
        });
    }
    Ok(())
}

/// Counts that an order holds another amount.
pub(crate) fn count(
    execution: &mut Execution<'_>,
    before: Amount,
    after: Amount,
) -> Result<(), Fault> {
    if before == after {
        return Ok(());
    }
    let locked = secured(&execution.overlay)?.locked;
    let locked = locked.checked_sub(before).or_fault()?;
    let locked = locked.checked_add(after).or_fault()?;
    execution
        .overlay
        .store(keys::secured(), &Secured { locked });
    Ok(())
}

/// What an order's record holds.
fn held(key: &[u8], record: Option<&[u8]>) -> Result<Amount, Fault> {
    let Some(record) = record else {
        return Ok(Amount::ZERO);
    };
    let order: Order = decode(record).map_err(|source| Fault::Record {
        key: key.to_vec(),
        source,
    })?;
    market::held(&order).or_fault()
}

/// Makes the sum what orders hold now: what they held before the block, with what the block wrote.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    let overlay = &execution.overlay;
    let before = overlay.before();
    let mut locked = secured(before)?.locked;
    let (from, to) = keys::orders();
    let (mut was, mut is) = (Amount::ZERO, Amount::ZERO);
    for (key, record) in overlay.written_in(&from, &to) {
        was = was
            .checked_add(held(key, before.get(key).as_deref())?)
            .or_fault()?;
        is = is.checked_add(held(key, record)?).or_fault()?;
    }
    locked = locked.checked_sub(was).or_fault()?;
    locked = locked.checked_add(is).or_fault()?;
    if secured(overlay)?.locked != locked {
        execution
            .overlay
            .store(keys::secured(), &Secured { locked });
    }
    Ok(())
}

/// Checks that the sum is that of all orders.
pub(crate) fn check_invariants(state: &dyn State) -> Result<(), Violation> {
    let (from, to) = keys::orders();
    let orders = scan::<Order>(state, &from, &to, usize::MAX)?;
    let mut computed = Amount::ZERO;
    for (_, order) in orders {
        let held = market::held(&order).or_fault()?;
        computed = computed.checked_add(held).or_fault()?;
    }
    let recorded = secured(state)?.locked;
    if recorded == computed {
        return Ok(());
    }
    Err(Violation::Secured { recorded, computed })
}

/// What is locked, what a third of the seats costs, and what may be locked.
///
/// # Errors
/// [`Fault`].
pub fn report(state: &dyn State) -> Result<SecuredReport, Fault> {
    let params = Params::load(state)?;
    Ok(SecuredReport {
        locked: secured(state)?.locked,
        third: candidates::third_of_seats(state)?,
        share: Bps(params.secured_share_bps),
        limit: limit(state, &params)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use fairweir_types::TxCode;

    #[test]
    fn clients_know_the_code_and_are_told_what_to_do() {
        let most = Amount::MAX;
        let refusal = Refusal::from(MarketError::AboveSecured {
            locked: most,
            added: most,
            limit: most,
        });
        assert_eq!(refusal.code(), TxCode::ABOVE_SECURED);
        let said = refusal.to_string();
        assert!(said.contains("try again when orders have closed"));
        assert!(said.len() <= fairweir_types::limits::TEXT_BYTES_MAX);
    }
}

//! Orders: escrow, match, receipt, settlement or refund.
//!
//! An order locks its whole budget when it is posted: per slot the highest quote, the settlement fee and the checks. Each
//! slot then runs on its own through the phases of [`Phase`]. A slot has exactly one timer at any time, so that a
//! lost message can delay it but never strand it. When the last slot is done the record leaves the state and its deposit
//! goes back.

mod begin_block;
mod cancel_order;
mod close;
mod end_block;
mod error;
mod escrow;
mod late;
mod matcher;
mod post_order;
mod records;
mod settle;
mod submit_receipt;
mod terms;
mod top_up;

pub(crate) use begin_block::{begin_block, seed};
pub(crate) use cancel_order::cancel_order;
pub(crate) use close::{close_slot, refund, refund_what_is_left, release_worker};
pub(crate) use end_block::end_block;
pub use error::MarketError;
pub(crate) use escrow::{give_back, held, spend};
pub(crate) use late::slash_late_before;
pub use matcher::{Assignment, Candidate, CheapestMatcher, Matcher};
pub(crate) use post_order::{EXECUTION_MS, open_session, post_order};
use records::due;
pub use records::{Draw, Drawn, HeldStream, Order, Phase, Slot, Timer};
pub(crate) use records::{begin_window, keep_slot, slot_of, store_slot};
pub(crate) use settle::{pay_verifiers, settle, verifiers_that_agree};
pub(crate) use submit_receipt::submit_receipt;
pub use terms::Terms;
pub(crate) use top_up::top_up;

use crate::{
    execution::Execution,
    fault::{Fault, OrFault},
    keys, secured,
    state::{State, load},
};
use fairweir_types::{
    Amount,
    order::{OrderId, SlotId},
};

/// An open order.
///
/// # Errors
/// [`Fault::Record`].
pub fn order(state: &dyn State, id: OrderId) -> Result<Option<Order>, Fault> {
    load(state, &keys::order(id))
}

/// Keeps an order; nothing else writes one, so that what orders hold is counted wherever it changes.
pub(crate) fn keep_order(
    execution: &mut Execution<'_>,
    id: OrderId,
    order: &Order,
) -> Result<(), Fault> {
    count_held(execution, id, held(order).or_fault()?)?;
    execution.overlay.store(keys::order(id), order);
    Ok(())
}

/// Takes an order off the state.
fn drop_order(execution: &mut Execution<'_>, id: OrderId) -> Result<(), Fault> {
    count_held(execution, id, Amount::ZERO)?;
    execution.overlay.delete(keys::order(id));
    Ok(())
}

fn count_held(execution: &mut Execution<'_>, id: OrderId, after: Amount) -> Result<(), Fault> {
    let before = match order(&execution.overlay, id)? {
        Some(order) => held(&order).or_fault()?,
        None => Amount::ZERO,
    };
    secured::count(execution, before, after)
}

/// An open slot.
///
/// # Errors
/// [`Fault::Record`].
pub fn slot(state: &dyn State, id: SlotId) -> Result<Option<Slot>, Fault> {
    load(state, &keys::slot(id))
}

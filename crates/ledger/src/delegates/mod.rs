//! Accounts that open sessions which others pay for, within a cap and a time (protocol rule 8).
//!
//! A gateway signs what its clients ask, so its key lies on a machine that the world talks to. With a grant that key spends at most
//! the cap, on sessions alone: it cannot transfer, and what a session gives back goes to the owner.

mod error;
mod grant;
mod revoke;

pub use error::DelegateError;
pub(crate) use grant::grant_delegate;
pub(crate) use revoke::revoke_delegate;

use crate::{
    execution::Execution,
    fault::{Fault, present},
    keys,
    state::{State, load, scan, state_record},
};
use fairweir_types::{
    Address, Amount, Height, Millis, limits::DELEGATES_MAX, node_api::DelegateReport,
};

/// What an owner grants one delegate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The most that open sessions and what was spent may take.
    pub cap: Amount,
    /// What of it is free.
    pub left: Amount,
    /// Until when, in milliseconds since the Unix epoch by the blocks' time.
    pub until: Millis,
    /// The block that granted it: what sessions of a grant before give back is not free for this one.
    pub since: Height,
    /// The refundable deposit for this record.
    pub deposit: Amount,
}
state_record!(Grant {
    cap,
    left,
    until,
    since,
    deposit
});

/// Who posted an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poster {
    /// The account: the buyer, or a delegate of it.
    pub account: Address,
    /// The block of the grant that a delegate spends.
    pub granted: Option<Height>,
}
state_record!(Poster { account, granted });

fn grant(state: &dyn State, owner: Address, delegate: Address) -> Result<Option<Grant>, Fault> {
    load(state, &keys::grant(owner, delegate))
}

/// All delegates of an owner.
///
/// # Errors
/// [`Fault`].
pub fn of_owner(state: &dyn State, owner: Address) -> Result<Vec<DelegateReport>, Fault> {
    let (from, to) = keys::grants_of(owner);
    let grants = scan::<Grant>(state, &from, &to, DELEGATES_MAX)?;
    let report = |(key, grant): (Vec<u8>, Grant)| {
        Ok(DelegateReport {
            delegate: present(keys::address_of(&key), "delegate in a grant's key")?,
            cap: grant.cap,
            left: grant.left,
            until: grant.until,
        })
    };
    grants.into_iter().map(report).collect()
}

/// Takes money that a session is about to lock out of what the delegate may spend; returns the block of the grant. The owner's balance is
/// the caller's to check.
pub(crate) fn spend(
    execution: &mut Execution<'_>,
    owner: Address,
    delegate: Address,
    amount: Amount,
) -> Result<Height, DelegateError> {
    let Some(mut grant) = grant(&execution.overlay, owner, delegate)? else {
        return Err(DelegateError::NoGrant);
    };
    if grant.until < execution.context.time {
        return Err(DelegateError::GrantOver { until: grant.until });
    }
    let Ok(left) = grant.left.checked_sub(amount) else {
        return Err(DelegateError::AboveGrant {
            left: grant.left,
            amount,
        });
    };
    grant.left = left;
    execution
        .overlay
        .store(keys::grant(owner, delegate), &grant);
    Ok(grant.since)
}

/// Makes what a session gave back to its owner free for its delegate again, unless its grant is gone.
pub(crate) fn restore(
    execution: &mut Execution<'_>,
    (owner, poster): (Address, Poster),
    amount: Amount,
) -> Result<(), Fault> {
    let Some(since) = poster.granted else {
        return Ok(());
    };
    let delegate = poster.account;
    let known = grant(&execution.overlay, owner, delegate)?;
    let Some(mut grant) = known.filter(|grant| grant.since == since) else {
        return Ok(());
    };
    // An owner may add money of its own to the session, so more can come back than the grant gave; it is never more than the cap.
    grant.left = grant
        .left
        .checked_add(amount)
        .map_or(grant.cap, |left| left.at_most(grant.cap));
    execution
        .overlay
        .store(keys::grant(owner, delegate), &grant);
    Ok(())
}

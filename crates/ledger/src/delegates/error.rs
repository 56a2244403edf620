use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::{Amount, Millis};
use thiserror::Error;

/// Why an action about delegates is refused. The checks run in the order of the codes.
#[derive(Debug, Error)]
pub enum DelegateError {
    /// Owner and delegate are one account.
    #[error("an account needs no grant to spend its own money")]
    DelegateIsOwner,
    /// The grant allows nothing.
    #[error("the cap is zero")]
    ZeroCap,
    /// The grant's time is over.
    #[error("the grant ended at {until} milliseconds since the Unix epoch")]
    GrantOver {
        /// Its end.
        until: Millis,
    },
    /// The owner has as many delegates as an account may.
    #[error("the account already has {max} delegates: revoke one first")]
    TooManyDelegates {
        /// How many it may have.
        max: usize,
    },
    /// There is no such grant.
    #[error("the owner grants this account nothing")]
    NoGrant,
    /// Somebody else would sign the session's requests.
    #[error("a delegate opens only sessions whose delegate it is")]
    NotTheSessionsDelegate,
    /// The session takes more than what is left of the grant.
    #[error("the session locks {amount} coins, {left} are left of the grant")]
    AboveGrant {
        /// What is left.
        left: Amount,
        /// What the session locks.
        amount: Amount,
    },
    /// The session was opened under a grant before this one.
    #[error("the session was opened under a grant that is over: open another")]
    OtherGrant,
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(DelegateError => Delegate);

impl DelegateError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::DelegateIsOwner => 700,
            Self::ZeroCap => 701,
            Self::GrantOver { .. } => 702,
            Self::TooManyDelegates { .. } => 703,
            Self::NoGrant => 704,
            Self::NotTheSessionsDelegate => 705,
            Self::AboveGrant { .. } => 706,
            Self::OtherGrant => 707,
            Self::Fault(_) => 99,
        }
    }
}

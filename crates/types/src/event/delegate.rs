//! Events of grants to delegates.

use crate::{amount::Amount, codec::record, keys::Address, quantity::Millis};

/// An account may open sessions that another pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegateGranted {
    /// Who pays.
    pub owner: Address,
    /// Who may.
    pub delegate: Address,
    /// The most that its sessions may take.
    pub cap: Amount,
    /// Until when, in milliseconds since the Unix epoch.
    pub until: Millis,
}
record!(DelegateGranted {
    owner,
    delegate,
    cap,
    until
});

/// An account may no more open sessions that another pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegateRevoked {
    /// Who paid.
    pub owner: Address,
    /// Who may no more.
    pub delegate: Address,
}
record!(DelegateRevoked { owner, delegate });

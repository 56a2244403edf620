//! Actions about delegates.

use crate::{amount::Amount, codec::record, keys::Address, order::OrderHeader, quantity::Millis};

/// Lets another account open sessions that the sender pays for (protocol rule 8); a second grant replaces the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantDelegate {
    /// Who may.
    pub delegate: Address,
    /// The most that its open sessions and what they spent may take; what a session gives back is free again.
    pub cap: Amount,
    /// Until when, in milliseconds since the Unix epoch by the blocks' time.
    pub until: Millis,
}
record!(GrantDelegate {
    delegate,
    cap,
    until
});

/// Takes a grant back; sessions that are open go on until they are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokeDelegate {
    /// Who may no more.
    pub delegate: Address,
}
record!(RevokeDelegate { delegate });

/// Opens a session whose buyer is another account; sent by a delegate of it, who signs the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// Who pays, and gets back what is left.
    pub owner: Address,
    /// The session's order; its delegate is the sender.
    pub header: OrderHeader,
}
record!(OpenSession { owner, header });

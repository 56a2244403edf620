//! What must hold of the ledger after every block, by name.

use crate::codec::tag;

/// A property of the ledger's state. The tags are append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// All money is what there was at genesis, with what was minted and without what was burned.
    Supply,
    /// Every record reads: no amount in it is negative or above the cap.
    Records,
    /// Stake that covers work is that of open slots, and so is what offers have open.
    Exposure,
    /// Every open slot has one timer.
    Timers,
    /// Counters are the numbers of what they count.
    Counters,
    /// The numbers of governance are those of stakes, proposals and votes.
    Governance,
    /// The pots of candidates are what delegations and stake on its way back say.
    Delegations,
    /// The value secured is what orders hold.
    Secured,
    /// Every order holds what its slots may still draw.
    Escrow,
    /// No delegate has spent more than its grant.
    Grants,
}
tag!(Invariant {
    1 => Supply,
    2 => Records,
    3 => Exposure,
    4 => Timers,
    5 => Counters,
    6 => Governance,
    7 => Delegations,
    8 => Secured,
    9 => Escrow,
    10 => Grants
});

impl Invariant {
    /// Every invariant, in the order of their tags.
    pub const ALL: [Self; 10] = [
        Self::Supply,
        Self::Records,
        Self::Exposure,
        Self::Timers,
        Self::Counters,
        Self::Governance,
        Self::Delegations,
        Self::Secured,
        Self::Escrow,
        Self::Grants,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supply => "supply",
            Self::Records => "records",
            Self::Exposure => "exposure",
            Self::Timers => "timers",
            Self::Counters => "counters",
            Self::Governance => "governance",
            Self::Delegations => "delegations",
            Self::Secured => "secured",
            Self::Escrow => "escrow",
            Self::Grants => "grants",
        }
    }
}

impl core::fmt::Display for Invariant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

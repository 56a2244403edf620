//! What became of a transaction: included and done, or included, paid for and refused with a reason.

use crate::{
    bounded::BoundedText,
    codec::{newtype, record},
    digest::Digest,
    limits::TEXT_BYTES_MAX,
};

/// The stable number of a refusal; 0 is success. The list is append-only and lives in the ledger's `codes.rs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TxCode(pub u16);
newtype!(TxCode(u16));

impl TxCode {
    /// Done.
    pub const OK: Self = Self(0);
    /// Orders would hold more than the stake behind a third of the seats secures: try again later, or lock less.
    pub const ABOVE_SECURED: Self = Self(421);
    /// The demand is larger than the catalogue of services lets work of the kind be.
    pub const DEMAND_ABOVE_SERVICE: Self = Self(1_203);

    /// Whether the catalogue of services refused the work: it has not the kind, or not in this version.
    #[must_use]
    pub const fn is_of_catalogue(self) -> bool {
        matches!(self.0, 1_200..=1_202)
    }
}

/// What became of one included transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    /// The transaction's id.
    pub tx: Digest,
    /// 0, or why its action was refused.
    pub code: TxCode,
    /// The refusal in words, empty when done. Rendered from the typed error; part of the outcome's root.
    pub reason: BoundedText<TEXT_BYTES_MAX>,
}
record!(TxOutcome { tx, code, reason });

impl TxOutcome {
    /// Whether the action was done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.code == TxCode::OK
    }
}

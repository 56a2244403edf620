use super::Phase;
use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::{Amount, Millis};
use thiserror::Error;

/// Why an order or a receipt is refused. The checks of each verb run in the order of the codes.
#[derive(Debug, Error)]
pub enum MarketError {
    /// The order has no slot.
    #[error("an order needs at least one slot")]
    NoSlots,
    /// The order has too many slots.
    #[error("an order may have {max} slots, found {found}")]
    TooManySlots {
        /// The limit.
        max: usize,
        /// The slots asked for.
        found: u16,
    },
    /// Several rounds are not offered yet.
    #[error("orders of more than one round are not offered yet")]
    RoundsNotOffered,
    /// Nothing is asked for.
    #[error("the demand has no units of work")]
    NoDemand,
    /// The inline spec is not the one of the digest.
    #[error("the spec is not the one of the digest, or its size is not the demand's")]
    SpecDoesNotMatch,
    /// The time for matching is out of range.
    #[error("the time for matching must be 100 to 86400000 ms, found {found}")]
    MatchWindowOutOfRange {
        /// The time asked for.
        found: Millis,
    },
    /// The execution time is out of range.
    #[error("the execution time must be 1000 to 3600000 ms, found {found}")]
    ExecutionTimeOutOfRange {
        /// The time asked for.
        found: Millis,
    },
    /// The price is beyond all money.
    #[error("the price exceeds the supply cap")]
    PriceAboveCap,
    /// The balance does not suffice for escrow and deposit.
    #[error("the balance is {balance} coins, escrow and deposit need {needed}")]
    CannotPayEscrow {
        /// The balance after the fee.
        balance: Amount,
        /// Escrow and deposit together.
        needed: Amount,
    },
    /// There is no such open order.
    #[error("there is no such open order")]
    NoSuchOrder,
    /// The sender is not the buyer.
    #[error("only the buyer may do this")]
    NotTheBuyer,
    /// A slot is matched already.
    #[error("a slot of the order is matched already")]
    AlreadyMatched,
    /// The order has as many funding streams as it may.
    #[error("the order has {max} funding streams already")]
    TooManyStreams {
        /// The limit.
        max: usize,
    },
    /// There is no such open slot.
    #[error("there is no such open slot")]
    NoSuchSlot,
    /// The slot is in another phase.
    #[error("the slot is {found}, this needs it {expected}", found = found.name(), expected = expected.name())]
    WrongPhase {
        /// The phase needed.
        expected: Phase,
        /// The phase that it is in.
        found: Phase,
    },
    /// The sender is not the slot's worker.
    #[error("only the assigned worker may do this")]
    NotTheWorker,
    /// The receipt is of another chain, slot, assignment, kind or spec.
    #[error("the receipt's {field} is not the assignment's")]
    ReceiptDoesNotMatch {
        /// The field that differs.
        field: &'static str,
    },
    /// More units than the order allows.
    #[error("the receipt's units exceed the order's demand")]
    UnitsAboveDemand,
    /// The receipt's signature is not the worker's.
    #[error("the receipt is not signed by the worker")]
    ReceiptNotSigned,
    /// Nothing to add.
    #[error("the amount is zero")]
    TopUpZero,
    /// The balance does not suffice.
    #[error("the balance is {balance} coins, {amount} are to be added")]
    CannotPayTopUp {
        /// The balance after the fee.
        balance: Amount,
        /// What is to be added.
        amount: Amount,
    },
    /// Orders would hold more than what a third of the seats costs secures (protocol rule 12).
    #[error(
        "orders hold {locked} coins of the {limit} that the stake behind a third of the seats secures, {added} more are too many: lock less, try again when orders have closed, or wait for an epoch with more stake behind candidates"
    )]
    AboveSecured {
        /// What orders hold, with what the block has added so far.
        locked: Amount,
        /// What is to be locked.
        added: Amount,
        /// What they may hold.
        limit: Amount,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(MarketError => Market);

impl MarketError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NoSlots => 400,
            Self::TooManySlots { .. } => 401,
            Self::RoundsNotOffered => 402,
            Self::NoDemand => 403,
            Self::SpecDoesNotMatch => 404,
            Self::MatchWindowOutOfRange { .. } => 405,
            Self::ExecutionTimeOutOfRange { .. } => 406,
            Self::PriceAboveCap => 407,
            Self::CannotPayEscrow { .. } => 408,
            Self::NoSuchOrder => 409,
            Self::NotTheBuyer => 410,
            Self::AlreadyMatched => 411,
            Self::TooManyStreams { .. } => 412,
            Self::NoSuchSlot => 413,
            Self::WrongPhase { .. } => 414,
            Self::NotTheWorker => 415,
            Self::ReceiptDoesNotMatch { .. } => 416,
            Self::UnitsAboveDemand => 417,
            Self::ReceiptNotSigned => 418,
            Self::TopUpZero => 419,
            Self::CannotPayTopUp { .. } => 420,
            Self::AboveSecured { .. } => 421,
            Self::Fault(_) => 99,
        }
    }
}

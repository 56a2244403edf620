use crate::{fault::Fault, market::Phase, referee::BadExhibit, refusal::lift_faults};
use fairweir_types::Amount;
use thiserror::Error;

/// Why a step of an appeal is refused. The checks of each verb run in the order of the variants.
#[derive(Debug, Error)]
pub enum AppealError {
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
    /// The sender does not lose by the verdict, or appealed it before.
    #[error("only who loses by the verdict may appeal it, and once")]
    NotALoser,
    /// The sender and the verdict do not differ about this sample, or it is of work that has no appeal.
    #[error("there is nothing to appeal about sample {sample}")]
    NotDisputed {
        /// The sample.
        sample: u8,
    },
    /// The balance does not suffice for the deposit.
    #[error("the balance is {balance} coins, the deposit is {deposit}")]
    CannotPayDeposit {
        /// The balance after the fee.
        balance: Amount,
        /// The deposit.
        deposit: Amount,
    },
    /// The sender plays neither side.
    #[error("the account is not on this side of the appeal")]
    NotAPlayer,
    /// The side has made this move, or its turn has not come.
    #[error("it is not this side's move")]
    NotYourMove,
    /// The children are not those of the side's node, or of another node.
    #[error("these are not the children of the node")]
    NotTheNode,
    /// The path is as long as it may be.
    #[error("the way to a cell is not so long")]
    TooDeep,
    /// The sender asked the referee about this slot in this block before.
    #[error("the referee was asked by this side in this block already: send it again")]
    AskedInThisBlock,
    /// Not a refusal: no more may be asked in this block, so it must not be in it.
    #[error("the referee is asked as often in this block as it may be")]
    RefereeBusy,
    /// What is shown shows nothing.
    #[error("what is shown shows nothing: {0}")]
    BadExhibit(BadExhibit),
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(AppealError => Appeal);

impl AppealError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NoSuchSlot => 800,
            Self::WrongPhase { .. } => 801,
            Self::NotALoser => 802,
            Self::CannotPayDeposit { .. } => 803,
            Self::NotAPlayer => 804,
            Self::NotYourMove => 805,
            Self::NotTheNode => 806,
            Self::TooDeep => 807,
            Self::BadExhibit(_) => 808,
            Self::AskedInThisBlock => 809,
            Self::NotDisputed { .. } => 810,
            Self::RefereeBusy | Self::Fault(_) => 99,
        }
    }
}

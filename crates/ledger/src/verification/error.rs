use crate::{fault::Fault, market::Phase, refusal::lift_faults};
use fairweir_types::Amount;
use thiserror::Error;

/// Why a step of verification is refused. The checks of each verb run in the order of the codes.
#[derive(Debug, Error)]
pub enum VerificationError {
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
    /// The sender is not among the drawn.
    #[error("the account is not among the drawn verifiers")]
    NotDrawn,
    /// It committed already.
    #[error("the verifier committed already")]
    AlreadyCommitted,
    /// It did not commit.
    #[error("the verifier did not commit in time")]
    NotCommitted,
    /// It revealed already.
    #[error("the verifier revealed already")]
    AlreadyRevealed,
    /// What is opened is not what was committed to.
    #[error("this does not open the commitment")]
    DoesNotOpen,
    /// The traces of a batch's samples are others than its trace was made of, or those of work that is no batch.
    #[error("the trace is not made of these traces of samples")]
    OtherSamples,
    /// The sender is not the slot's worker.
    #[error("only the assigned worker may open its receipt")]
    NotTheWorker,
    /// The sender is not the slot's buyer.
    #[error("only the buyer may challenge")]
    NotTheBuyer,
    /// The balance does not suffice for the deposit.
    #[error("the balance is {balance} coins, the deposit is {deposit}")]
    CannotPayDeposit {
        /// The balance after the fee.
        balance: Amount,
        /// The deposit.
        deposit: Amount,
    },
    /// A batch of which nothing was drawn is checked somewhere in what it costs.
    #[error(
        "nothing of the batch was drawn: say where to check it, at an offset below the {total} coins that it costs"
    )]
    OffsetOutside {
        /// What the batch costs.
        total: Amount,
    },
    /// A verdict is challenged as a whole.
    #[error("a verdict is challenged as a whole: there is no offset to name")]
    OffsetOfVerdict,
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(VerificationError => Verification);

impl VerificationError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::NoSuchSlot => 500,
            Self::WrongPhase { .. } => 501,
            Self::NotDrawn => 502,
            Self::AlreadyCommitted => 503,
            Self::NotCommitted => 504,
            Self::AlreadyRevealed => 505,
            Self::DoesNotOpen => 506,
            Self::NotTheWorker => 507,
            Self::NotTheBuyer => 508,
            Self::CannotPayDeposit { .. } => 509,
            Self::OtherSamples => 510,
            Self::OffsetOutside { .. } => 511,
            Self::OffsetOfVerdict => 512,
            Self::Fault(_) => 99,
        }
    }
}
